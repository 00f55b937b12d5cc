"""An answer of vLLM that is longer than the grace of its lease goes on behind its last token.

vLLM itself can't be installed beside the rest; `bench/vllm_cpu.py` runs it. Here a model that knows one answer by heart stands in.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from imajin.prompt.v1 import prompt_pb2 as pb
from imajin_servers.runtime.settings import Addresses

from .test_llm_leases import CARD, card, until

THOUGHTS = "A bicycle is red, and it leans on a wall in the sun. " * 8
PROMPTS = [
    {"name": f"View {number}", "prompt": f"a red bicycle, seen from side {number}, é☀", "negativePrompt": "blurry"}
    for number in (1, 2)
]
ANSWER = json.dumps({"thoughts": "It is red.", "prompts": PROMPTS}, ensure_ascii=False)
WHOLE = f"{THOUGHTS}</think>\n{ANSWER}"


class Model:
    """Writes `WHOLE`, a byte a token, from where its prompt leaves off."""

    slow = True
    restless = False
    """Whether it takes its time until it was put to sleep, and whether it fails to sleep."""

    def __init__(self) -> None:
        self.shut = False
        self.asked: list[SimpleNamespace] = []
        self.in_flight = 0
        self.slept = 0
        self.asleep = False
        self.errored = False
        self.renderer = SimpleNamespace(render_cmpl_async=self.render)

    @classmethod
    def from_engine_args(cls, args: Any) -> Model:
        return cls()

    def get_tokenizer(self) -> Any:
        return SimpleNamespace(
            apply_chat_template=lambda messages, **_: f"{messages[0]['content']}<think>\n",
            encode=lambda text, **_: list(text.encode()),
        )

    async def render(self, prompts: list[dict[str, list[int]]]) -> list[list[int]]:
        return [prompt["prompt_token_ids"] for prompt in prompts]

    async def generate(self, prompt: list[int], sampling: Any, request_id: str) -> AsyncIterator[Any]:
        assert not self.asleep
        _, _, written = bytes(prompt).rpartition(b"<think>\n")
        assert WHOLE.encode().startswith(written)
        self.asked.append(SimpleNamespace(prompt=prompt, sampling=sampling))
        left = WHOLE.encode()[len(written) :]
        self.in_flight += 1
        try:
            held = b""
            for place, token in enumerate(left):
                await asyncio.sleep(0 if self.slept or not self.slow else 0.01)
                held += bytes([token])
                text = held.decode(errors="ignore")
                held = b"" if text else held
                completion = SimpleNamespace(text=text, token_ids=[token])
                yield SimpleNamespace(outputs=[completion], finished=place == len(left) - 1)
        finally:
            self.in_flight -= 1

    async def sleep(self, level: int, mode: str) -> None:
        assert self.in_flight == 0
        if self.restless:
            raise RuntimeError("EngineCore died")
        self.asleep = True
        self.slept += 1

    async def wake_up(self) -> None:
        self.asleep = False

    def shutdown(self) -> None:
        self.shut = True


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that the engine takes from vLLM."""

    def module(name: str, **names: Any) -> None:
        made = ModuleType(name)
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, name, made)

    module("vllm", SamplingParams=SimpleNamespace, AsyncEngineArgs=SimpleNamespace)
    module(
        "vllm.sampling_params",
        RequestOutputKind=SimpleNamespace(DELTA=0),
        StructuredOutputsParams=SimpleNamespace,
    )
    module("vllm.platforms", current_platform=SimpleNamespace(is_sleep_mode_available=lambda: True))
    for name in ("vllm.v1", "vllm.v1.engine"):
        module(name)
    module("vllm.v1.engine.async_llm", AsyncLLM=Model)


@pytest.mark.parametrize(("first", "constrained"), [("reasoning_delta", True), ("prompt", False)])
async def test_an_answer_goes_on_behind_its_last_token(
    start_prompt: Any, stand_in: None, first: str, constrained: bool
) -> None:
    async with (
        card(grace_seconds=1) as (address, client),
        start_prompt(engine="vllm", gpu_memory_utilization=0.5, addresses=Addresses(vram=address)) as server,
    ):
        call = server.stub.StreamAnalyzeContext(
            pb.StreamAnalyzeContextRequest(description="a red bicycle", count=2, seed=1)
        )
        events = []
        async for event in call:
            events.append(event)
            if event.HasField(first):
                break
        async with await client.acquire(CARD, holder="important", priority=90):
            await until(client, lambda leases: leases == [("important", False), ("prompt/vllm", True)])
            assert server.engine.asleep
        events += [event async for event in call]
        model = server.engine.engine
    result = events[-1].result
    assert "".join(event.reasoning_delta for event in events) == result.reasoning == f"{THOUGHTS}It is red."
    assert [event.prompt.prompt for event in events if event.HasField("prompt")] == [
        prompt.prompt for prompt in result.prompts
    ]
    assert [prompt.name for prompt in result.prompts] == ["View 1", "View 2"]
    assert all(said["prompt"] in prompt.prompt for said, prompt in zip(PROMPTS, result.prompts, strict=True))
    assert result.engine.completion_tokens == len(WHOLE.encode())
    begun, again = model.asked
    assert len(again.prompt) > len(begun.prompt)
    written = len(again.prompt) - len(begun.prompt)
    assert again.sampling.max_tokens == begun.sampling.max_tokens - written
    assert begun.sampling.structured_outputs is not None
    assert (again.sampling.structured_outputs is not None) == constrained


async def test_a_model_that_can_not_sleep_is_ended_and_its_memory_given_back(
    start_prompt: Any, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "slow", False)
    async with (
        card() as (address, client),
        start_prompt(engine="vllm", gpu_memory_utilization=0.5, addresses=Addresses(vram=address)) as server,
    ):
        asked = pb.AnalyzeContextRequest(description="a red bicycle", count=2, seed=1)
        await server.stub.AnalyzeContext(asked)
        first = server.engine.engine
        first.restless = True
        async with await client.acquire(CARD, holder="important", priority=90):
            assert first.shut
        assert len((await server.stub.AnalyzeContext(asked)).prompts) == 2
        assert server.engine.engine is not first
