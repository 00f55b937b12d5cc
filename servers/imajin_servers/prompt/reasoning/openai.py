"""Any OpenAI-compatible endpoint: a vLLM server, Ollama, llama.cpp, or a hosted one."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

import httpx
import structlog

from imajin_servers.prompt.reasoning.engine import Finished, Piece, Thought, Writing
from imajin_servers.prompt.reasoning.thinking import Splitter
from imajin_servers.prompt.reasoning.turns import Turns
from imajin_servers.runtime.errors import LlmFailed, LlmTimeout, QueueFull

CONNECT_SECONDS = 10.0
LOGGED_BYTES = 2048
RETRY_AFTER = 10.0

ResponseFormat = Literal["json_schema", "json_object", "none"]

log = structlog.get_logger()


class OpenAIEngine:
    """Asks an endpoint at `base_url` (with `/v1`). The memory of its model is its own affair: no lease is held for it.

    `silence` is the longest pause between two pieces, in seconds. `response_format` is for endpoints that don't know JSON
    schemas; what they write is read as well as it goes.
    """

    name = "openai"

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str = "",
        capable: bool = True,
        silence: float = 120.0,
        response_format: ResponseFormat = "json_schema",
        at_once: int = 8,
        max_waiting: int = 16,
    ) -> None:
        self.model = model
        self.capable = capable
        self.response_format: ResponseFormat = response_format
        self.turns = Turns(max_waiting, at_once)
        self.client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(silence, connect=CONNECT_SECONDS),
        )

    async def write(self, writing: Writing) -> AsyncGenerator[Piece, None]:
        """Asks and passes on what comes. Raises LlmFailed, LlmTimeout, QueueFull."""
        async with self.turns:
            splitter = Splitter()
            tokens = 0
            try:
                async with aclosing(self.answers(writing)) as answers:
                    async for answer in answers:
                        tokens = (answer.get("usage") or {}).get("completion_tokens") or tokens
                        for choice in answer.get("choices") or ():
                            delta = choice.get("delta") or {}
                            # `reasoning_content` is DeepSeek's and llama.cpp's name for it, `reasoning` vLLM's and Ollama's.
                            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                                yield Thought(thought)
                            for piece in splitter.add(delta.get("content") or ""):
                                yield piece
            except httpx.TimeoutException as error:
                raise LlmTimeout(
                    "the language model's endpoint does not answer", metadata={"engine": self.name}
                ) from error
            except httpx.HTTPError as error:
                log.error("the language model's endpoint failed", error=repr(error))
                raise LlmFailed("the language model's endpoint can't be reached or broke off") from error
            for piece in splitter.end():
                yield piece
            yield Finished(tokens)

    async def answers(self, writing: Writing) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of the endpoint's answer."""
        async with self.client.stream("POST", "chat/completions", json=self.request(writing)) as response:
            if response.status_code != httpx.codes.OK:
                await self.refused(response)
            async for data in events(response):
                if data == "[DONE]":
                    return
                try:
                    answer = json.loads(data)
                except ValueError as error:
                    raise LlmFailed("the language model's endpoint sent no JSON") from error
                if not isinstance(answer, dict) or answer.get("error"):
                    log.error("the language model's endpoint failed", answer=data[:LOGGED_BYTES])
                    raise LlmFailed("the language model's endpoint failed in the middle of its answer")
                yield answer

    def request(self, writing: Writing) -> dict[str, Any]:
        """`writing` in the dialect of chat completions."""
        schema = {"name": "answer", "schema": dict(writing.schema), "strict": True}
        formats: dict[str, Any] = {
            "json_schema": {"type": "json_schema", "json_schema": schema},
            "json_object": {"type": "json_object"},
        }
        system = writing.system
        if self.response_format != "json_schema":
            system += f"\nThe answer has to fit this JSON schema: {json.dumps(schema['schema'])}"
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": writing.user}],
            "max_tokens": writing.max_tokens,
            "temperature": writing.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if writing.seed is not None:
            # Some endpoints read a signed number.
            request["seed"] = writing.seed & 0x7FFFFFFF
        if self.response_format in formats:
            request["response_format"] = formats[self.response_format]
        return request

    async def refused(self, response: httpx.Response) -> None:
        """Raises what a status other than 200 means. The endpoint's own words go to the log only."""
        body = (await response.aread())[:LOGGED_BYTES]
        log.error(
            "the language model's endpoint refused", status=response.status_code, answer=body.decode(errors="replace")
        )
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise QueueFull("the language model's endpoint is busy", retry_after=RETRY_AFTER)
        if response.status_code in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.GATEWAY_TIMEOUT):
            raise LlmTimeout("the language model's endpoint timed out", metadata={"engine": self.name})
        raise LlmFailed(
            f"the language model's endpoint answered {response.status_code}",
            metadata={"status": str(response.status_code)},
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.aclose()


async def events(response: httpx.Response) -> AsyncIterator[str]:
    """The data of each server-sent event. Endpoints send one line of data an event."""
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield line.removeprefix("data:").strip()
