"""What Google's Gemini and Amazon's Bedrock put on the wire, for :mod:`tests.support.scripted_llm`.

Gemini: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings; Bedrock:
https://docs.aws.amazon.com/bedrock/latest/APIReference (Converse, InvokeModel with Titan's embeddings).
"""

from __future__ import annotations

from typing import Any


def gemini_content(llm: Any, body: dict[str, Any], reply: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": reply.text}]},
                "finishReason": {"stop": "STOP", "length": "MAX_TOKENS"}[reply.finish],
                "index": 0,
            }
        ]
    }
    if reply.tokens:
        sent, answered = reply.tokens
        answer["usageMetadata"] = {
            "promptTokenCount": sent,
            "candidatesTokenCount": answered,
            "totalTokenCount": sent + answered,
        }
    return answer


def gemini_embeddings(llm: Any, body: dict[str, Any], reply: Any) -> dict[str, Any]:
    requests = body["requests"]
    dimensions = requests[0].get("outputDimensionality") or llm.dimensions
    texts = [request["content"]["parts"][0]["text"] for request in requests]
    return {"embeddings": [{"values": vector} for vector in llm.vectors(texts, dimensions)]}


def gemini_error(reply: Any) -> dict[str, Any]:
    return {"error": {"code": reply.status, "message": reply.error, "status": "SCRIPTED"}}


def bedrock_converse(llm: Any, body: dict[str, Any], reply: Any) -> dict[str, Any]:
    sent, answered = reply.tokens or (0, 0)
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": reply.text}]}},
        "stopReason": {"stop": "end_turn", "length": "max_tokens"}[reply.finish],
        "usage": {"inputTokens": sent, "outputTokens": answered, "totalTokens": sent + answered},
        "metrics": {"latencyMs": 1},
    }


def bedrock_titan(llm: Any, body: dict[str, Any], reply: Any) -> dict[str, Any]:
    (vector,) = llm.vectors(body["inputText"], body.get("dimensions") or llm.dimensions)
    return {"embedding": vector, "inputTextTokenCount": 1}


def bedrock_error(reply: Any) -> dict[str, Any]:
    return {"__type": "ScriptedException", "message": reply.error}
