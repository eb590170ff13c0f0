"""An add of mem0's clients, where there is a language model."""

from __future__ import annotations

import json

from tests.support.scripted_llm import ScriptedLLM

from ..conftest import Fleet


async def test_custom_instructions_reach_the_model_and_facts_are_answered(fleet: Fleet) -> None:
    with ScriptedLLM() as llm:
        llm.say(json.dumps({"memory": [{"text": "User has a cat named Miso"}]}))
        settings = {"LLM_PROVIDER": "openai", "LLM_MODEL": "scripted", "LLM_BASE_URL": llm.openai_url}
        async with fleet.replica(**settings) as replica:
            answer = await replica.client.post(
                "/v3/memories/add/",
                json={
                    "messages": [{"role": "user", "content": "I moved to Berlin with my cat Miso"}],
                    "user_id": "u",
                    "custom_instructions": "Remember nothing but pets.",
                },
            )
        assert answer.status_code == 200, answer.text
        [fact] = answer.json()["results"]
        assert (fact["memory"], fact["event"]) == ("User has a cat named Miso", "ADD")
        assert "Remember nothing but pets." in str(llm.calls)
