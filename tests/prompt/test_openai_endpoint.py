"""The `openai` engine against an endpoint that speaks real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from imajin.prompt.v1 import prompt_pb2 as pb
from imajin_servers.runtime.errors import ImajinError
from imajin_servers.runtime.status import from_call

ANSWER = json.dumps(
    {
        "thoughts": "Light carries it.",
        "prompts": [
            {"name": "Dawn", "prompt": "an old lighthouse at dawn, mist", "negativePrompt": "people"},
            {"name": "Storm", "prompt": "waves break under dark clouds", "negativePrompt": "sun"},
        ],
    }
)
Deltas = list[dict[str, Any]]


@dataclass
class Endpoint:
    """What the endpoint answers, what it was asked, and whether its last answer was given up on."""

    answer: Callable[[], Response] = lambda: Response(status_code=500)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        return self.answer()

    def says(self, deltas: Deltas, *, hang: bool = False) -> None:
        async def lines() -> AsyncIterator[str]:
            try:
                for delta in deltas:
                    yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n"
                if hang:
                    await asyncio.Event().wait()
                yield f"data: {json.dumps({'choices': [], 'usage': {'completion_tokens': 77}})}\n\n"
                yield "data: [DONE]\n\n"
            finally:
                self.left.set()

        self.answer = lambda: StreamingResponse(lines(), media_type="text/event-stream")


@asynccontextmanager
async def served(endpoint: Endpoint) -> AsyncIterator[None]:
    app = Starlette(routes=[Route("/v1/chat/completions", endpoint.serve, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    endpoint.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    try:
        yield
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    async with served(made):
        yield made


@pytest.fixture
async def prompt(endpoint: Endpoint, start_prompt: Any) -> AsyncIterator[Any]:
    async with start_prompt(
        engine="openai", model="some-model", openai_base_url=endpoint.url, openai_api_key="key", lease="off"
    ) as server:
        yield server


def request(**fields: Any) -> pb.StreamAnalyzeContextRequest:
    return pb.StreamAnalyzeContextRequest(description="an old lighthouse", count=2, seed=5, **fields)


async def result(server: Any) -> pb.AnalyzeContextResponse:
    return [event async for event in server.stub.StreamAnalyzeContext(request())][-1].result


async def failure(server: Any, timeout: float | None = None) -> ImajinError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in server.stub.StreamAnalyzeContext(request(), timeout=timeout):
            pass
    return from_call(caught.value)


def pieces(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


async def test_whole_prompts_come_from_a_model_that_writes_well(endpoint: Endpoint, prompt: Any) -> None:
    endpoint.says([{"role": "assistant"}, *({"content": piece} for piece in pieces(ANSWER))])
    answer = await result(prompt)
    assert [one.name for one in answer.prompts] == ["Dawn", "Storm"]
    assert answer.prompts[0].prompt.startswith("an old lighthouse at dawn, mist")
    # The subject is put in front where the model left it out.
    assert answer.prompts[1].prompt.startswith("an old lighthouse, waves break under dark clouds")
    assert "people" in answer.prompts[0].negative_prompt
    assert answer.reasoning == "Light carries it."
    assert (answer.engine.name, answer.engine.model, answer.engine.completion_tokens) == ("openai", "some-model", 77)


async def test_the_endpoint_is_asked_for_the_schema_of_the_contract(endpoint: Endpoint, prompt: Any) -> None:
    endpoint.says([{"content": ANSWER}])
    await result(prompt)
    (asked,) = endpoint.asked
    item = asked["response_format"]["json_schema"]["schema"]["properties"]["prompts"]["items"]
    assert item["required"] == ["name", "prompt", "negativePrompt"]
    assert asked["stream"] is True
    assert asked["seed"] == 5
    assert asked["temperature"] > 0
    assert endpoint.headers[0]["authorization"] == "Bearer key"


async def test_prompts_are_told_before_the_answer_is_whole(endpoint: Endpoint, prompt: Any) -> None:
    endpoint.says([{"content": piece} for piece in pieces(ANSWER[: ANSWER.index("Storm")])], hang=True)
    call = prompt.stub.StreamAnalyzeContext(request())
    async for event in call:
        if event.HasField("prompt"):
            assert event.prompt.name == "Dawn"
            break
    assert not endpoint.left.is_set()
    call.cancel()
    # The endpoint stops too: its connection is closed.
    await endpoint.left.wait()


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "Let me "}, {"reasoning_content": "see."}, {"content": ANSWER}],
        [{"reasoning": "Let me see."}, {"content": ANSWER}],
        [{"content": piece} for piece in pieces(f"<think>Let me see.</think>\n{ANSWER}", 5)],
        [{"content": f"<think>Let me see.</think>Here it is:\n```json\n{ANSWER}\n```"}],
    ],
    ids=["deepseek", "vllm", "think-marks", "fenced"],
)
async def test_models_that_think_aloud_are_understood(endpoint: Endpoint, prompt: Any, deltas: Deltas) -> None:
    endpoint.says(deltas)
    answer = await result(prompt)
    assert answer.reasoning == "Let me see.Light carries it."
    assert [one.name for one in answer.prompts] == ["Dawn", "Storm"]


async def test_what_a_model_leaves_out_is_composed_by_the_rules(endpoint: Endpoint, prompt: Any) -> None:
    endpoint.says([{"content": ANSWER[: ANSWER.index('"Storm"')]}])
    answer = await result(prompt)
    assert len(answer.prompts) == 2
    assert answer.prompts[1].prompt.startswith("an old lighthouse, ")


async def test_prompts_that_are_alike_are_told_once(endpoint: Endpoint, prompt: Any) -> None:
    twice = json.loads(ANSWER)
    twice["prompts"][1] = twice["prompts"][0]
    endpoint.says([{"content": json.dumps(twice)}])
    answer = await result(prompt)
    assert len({one.prompt for one in answer.prompts}) == 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [(500, "LLM_FAILED"), (401, "LLM_FAILED"), (404, "LLM_FAILED"), (429, "QUEUE_FULL"), (504, "LLM_TIMEOUT")],
)
async def test_what_the_endpoint_refuses_is_typed_and_keeps_its_words(
    endpoint: Endpoint, prompt: Any, status: int, reason: str
) -> None:
    endpoint.answer = lambda: JSONResponse({"error": "secret words"}, status_code=status)
    error = await failure(prompt)
    assert error.reason == reason
    assert "secret" not in error.message + str(error.metadata)


@pytest.mark.parametrize("text", ["I can't help with that.", "", "[1, 2]", "{}", '{"prompts": "none"}', "{" * 70_000])
async def test_an_answer_that_is_not_what_was_asked_for_is_llm_failed(
    endpoint: Endpoint, prompt: Any, text: str
) -> None:
    endpoint.says([{"content": text}])
    assert (await failure(prompt)).reason == "LLM_FAILED"


async def test_an_error_in_the_middle_is_llm_failed(endpoint: Endpoint, prompt: Any) -> None:
    endpoint.answer = lambda: Response('data: {"error": {"message": "boom"}}\n\n', media_type="text/event-stream")
    assert (await failure(prompt)).reason == "LLM_FAILED"


async def test_an_endpoint_that_hangs_ends_in_llm_timeout(endpoint: Endpoint, prompt: Any) -> None:
    endpoint.says([{"content": "{"}], hang=True)
    assert (await failure(prompt, timeout=1.0)).reason == "LLM_TIMEOUT"
    await endpoint.left.wait()


async def test_an_endpoint_that_is_not_there_is_llm_failed(start_prompt: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        async with start_prompt(engine="openai", openai_base_url=url, lease="off") as server:
            assert (await failure(server)).reason == "LLM_FAILED"


async def test_a_small_model_behind_an_endpoint_only_chooses(endpoint: Endpoint, start_prompt: Any) -> None:
    async with start_prompt(engine="openai", openai_base_url=endpoint.url, openai_capable=False, lease="off") as server:
        endpoint.says(
            [{"content": '{"thoughts":"A calm picture.","shot1":{"view":"?","light":"?","detail":"?"},"shot2":{}}'}]
        )
        answer = await result(server)
        properties = endpoint.asked[0]["response_format"]["json_schema"]["schema"]["properties"]
        assert list(properties) == ["thoughts", "shot1", "shot2"]
        assert all(one.prompt.startswith("an old lighthouse, ") and "?" not in one.prompt for one in answer.prompts)
