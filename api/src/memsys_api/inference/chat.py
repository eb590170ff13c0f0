"""One question to a language model through mem0's provider classes, which are synchronous: a few threads of its own.

A thread is never lost to a provider that drips its answer: the time that a call may take bounds it as a whole, not only
each wait for the next byte.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from memsys_api.causes import cause
from memsys_api.inference.provider_errors import refused_parameter, translate
from memsys_api.inference.provider_settings import ProviderSettings, mem0_config, ollama_options, prompt_room
from memsys_api.inference.types import InferenceRejected, InferenceUnavailable, Usage
from memsys_api.inference.usage import estimate, read_usage, was_cut_off
from memsys_api.vendors.clients import Deadline, bedrock, call_within
from memsys_api.vendors.mem0_import import llm_factory, load_class

JSON_MODE = {"type": "json_object"}


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    usage: Usage
    cut_off: bool


class Call(Deadline):
    """Until when a thread's present call may go on, and what its response told beside the text."""

    response: Any = None


class Chat:
    """One of mem0's language models. Make it with :meth:`create`.

    A parameter that the model refuses (JSON mode, temperature) is left out of this call and of all later ones.
    """

    def __init__(self, settings: ProviderSettings, llm: Any) -> None:
        self.provider = settings.provider
        self.model = str(llm.config.model)
        self._llm = llm
        self._call = Call()
        self._json_mode = True
        self._room = prompt_room(settings)
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix=f"llm-{settings.provider}")
        watch_response(llm, self._call)
        prepare(llm, settings, self._call)

    @classmethod
    async def create(cls, settings: ProviderSettings) -> Chat:
        """Make the provider's client, without calling the provider. Raises :class:`InferenceRejected`."""
        return cls(settings, await asyncio.to_thread(_make_llm, settings))

    async def complete(self, prompt: list[dict[str, str]], seconds: float) -> Completion:
        """Return the model's answer to ``prompt`` (role and content each), within ``seconds``.

        Raises :class:`InferenceUnavailable` or :class:`InferenceRejected`.
        """
        length = estimate([message["content"] for message in prompt], "").input_tokens
        if self._room is not None and length > self._room:
            raise InferenceRejected(
                f"the messages make a prompt of about {length} tokens and {self.provider} would cut it to {self._room} "
                'without a word: send fewer at once, or raise "num_ctx" in LLM_OPTIONS',
                subject="input",
            )
        deadline = time.monotonic() + seconds
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, self._complete, prompt, deadline)
        except TimeoutError:
            raise InferenceUnavailable(
                f"{self.provider} model {self.model} did not answer within {seconds:.3g} s (LLM_TIMEOUT_SECONDS)"
            ) from None
        except Exception as error:  # mem0's classes and the vendors' libraries raise whatever they like
            raise translate(error, self.provider, self.model, now=datetime.now(UTC)) from error

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _complete(self, prompt: list[dict[str, str]], deadline: float) -> Completion:
        self._call.at, self._call.response = deadline, None
        while True:
            json_mode, sampling = self._json_mode, self._sampling()
            try:
                text = self._llm.generate_response(prompt, response_format=JSON_MODE if json_mode else None)
                break
            except Exception as error:
                refused = refused_parameter(error)
                if refused == "response_format" and json_mode:
                    self._json_mode = False
                elif refused == "sampling" and sampling:
                    self._llm.config.is_reasoning_model = (
                        True  # as mem0 calls it: temperature and the like are not sent
                    )
                else:
                    raise
        response, self._call.response = self._call.response, None
        text = text if isinstance(text, str) else ""  # some providers answer None for an empty answer
        usage = read_usage(response) or estimate([message["content"] for message in prompt], text)
        return Completion(text, usage, was_cut_off(response))

    def _sampling(self) -> bool:
        """Whether temperature and the like are sent, and could be left out."""
        return getattr(self._llm.config, "is_reasoning_model", True) is not True


def _make_llm(settings: ProviderSettings) -> Any:
    class_path, config_class = provider_class(settings.provider)
    config = mem0_config(settings, config_class, os.environ)
    try:
        if settings.provider == "aws_bedrock":
            return _bedrock_llm(load_class(class_path), config_class(**config), settings)
        return llm_factory().create(settings.provider, config)
    except Exception as error:  # a client that cannot even be made: a missing package, key or region
        if isinstance(error, ImportError):
            raise translate(error, settings.provider, str(settings.model), now=datetime.now(UTC)) from error
        raise InferenceRejected(f"LLM_PROVIDER={settings.provider} cannot be set up: {cause(error)}") from error


def provider_class(provider: str) -> tuple[str, type]:
    """mem0's class of a language model, by its path, and that of its configuration. Raises InferenceRejected."""
    known = llm_factory().provider_to_class
    if provider not in known:
        raise InferenceRejected(
            f"LLM_PROVIDER={provider} is unknown; expected none or one of {', '.join(sorted(known))}"
        )
    class_path, config_class = known[provider]
    return class_path, config_class


def prepare(llm: Any, settings: ProviderSettings, deadline: Deadline) -> None:
    """Give the client of mem0's language model its limits, address and options."""
    seconds = settings.timeout_seconds
    call_within(llm, settings.provider, seconds=seconds, retries=0, url=settings.base_url, deadline=deadline)
    if settings.provider == "ollama":
        _set_ollama_options(llm.client, ollama_options(settings.options))


def _bedrock_llm(llm_class: Any, config: Any, settings: ProviderSettings) -> Any:
    """mem0 would list all models of the region at the start, for minutes where there is no way to AWS's catalogue."""

    class Bedrock(llm_class):  # type: ignore[misc]
        def _initialize_aws_client(self) -> None:
            self.client = bedrock(self.config, settings.timeout_seconds, 0, settings.base_url)

    return Bedrock(config)


def _set_ollama_options(client: Any, options: dict[str, Any]) -> None:
    chat = client.chat

    def chat_with_options(**parameters: Any) -> Any:
        return chat(**{**parameters, "options": {**parameters.get("options", {}), **options}})

    client.chat = chat_with_options


def watch_response(llm: Any, call: Call) -> None:
    """Keep a thread's response in its ``call``.

    mem0 answers the text alone; usage and the reason for stopping are in the response that it parses.
    """
    parse = getattr(llm, "_parse_response", None)
    if parse is None:
        return

    def parse_and_keep(response: Any, *arguments: Any, **named: Any) -> Any:
        call.response = response
        return parse(response, *arguments, **named)

    llm._parse_response = parse_and_keep
