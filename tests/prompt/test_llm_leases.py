"""The language model holds a VRAM lease while it is in memory, and leaves the card when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from imajin.prompt.v1 import prompt_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2 as vram_pb
from imajin_servers.prompt.settings import PromptSettings
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime
from imajin_servers.runtime.settings import Addresses
from imajin_servers.runtime.status import from_call
from imajin_servers.vram.__main__ import build
from imajin_servers.vram.settings import VramSettings

from ..leases import leases_once
from ..serving import served

CARD = 1024**3


@asynccontextmanager
async def card(bytes: int = CARD, **settings: Any) -> AsyncIterator[tuple[str, LeaseClient]]:
    chosen = VramSettings(cards="simulated", simulated_bytes=bytes, **settings)
    async with served(build(chosen, Lifetime())) as there:
        yield there.address, LeaseClient(there.channel)


async def holders(client: LeaseClient) -> list[str]:
    return [lease.holder for lease in (await client.stub.ListLeases(vram_pb.ListLeasesRequest())).leases]


def ask(count: int = 1) -> pb.AnalyzeContextRequest:
    return pb.AnalyzeContextRequest(description="a red bicycle", count=count, seed=1)


async def test_the_model_comes_and_goes_with_its_lease(start_prompt: Any) -> None:
    async with card() as (address, client):
        async with start_prompt(addresses=Addresses(vram=address)) as server:
            assert await holders(client) == []
            await server.stub.AnalyzeContext(ask())
            assert await holders(client) == ["prompt/embedded"]
            assert server.engine.loaded
            # More important work needs the whole card: the model leaves before the lease is granted.
            async with await client.acquire(CARD, holder="important", priority=90):
                assert not server.engine.loaded
                assert await holders(client) == ["important"]
                waiting = asyncio.ensure_future(server.stub.AnalyzeContext(ask()))
                done, _ = await asyncio.wait([waiting], timeout=0.05)
                assert not done
            assert len((await waiting).prompts) == 1
            assert await holders(client) == ["prompt/embedded"]
        assert await holders(client) == []


async def test_an_idle_model_leaves_for_its_equal(start_prompt: Any) -> None:
    async with card() as (address, client), start_prompt(addresses=Addresses(vram=address)) as server:
        await server.stub.AnalyzeContext(ask())
        async with await client.acquire(CARD, holder="images"):
            assert not server.engine.loaded
        assert len((await server.stub.AnalyzeContext(ask())).prompts) == 1


async def test_an_answer_that_is_being_written_is_finished_before_the_model_leaves(start_prompt: Any) -> None:
    async with card() as (address, client), start_prompt(addresses=Addresses(vram=address)) as server:
        call = server.stub.StreamAnalyzeContext(
            pb.StreamAnalyzeContextRequest(description="a red bicycle", count=2, seed=1)
        )
        async for event in call:
            if event.WhichOneof("event") == "reasoning_delta":
                break
        # By now it is in memory.
        await leases_once(client.stub, lambda leases: 0 < leases[0].bytes == leases[0].bytes_used)
        acquiring = asyncio.ensure_future(client.acquire(CARD, holder="important", priority=90))
        events = [event async for event in call]
        assert events[-1].HasField("result")
        async with await acquiring:
            assert not server.engine.loaded


async def begun(stub: Any, **options: Any) -> tuple[Any, list[pb.StreamAnalyzeContextResponse]]:
    """A call that writes, and what it has said."""
    call = stub.StreamAnalyzeContext(
        pb.StreamAnalyzeContextRequest(description="a red bicycle", count=2, seed=1), **options
    )
    events = []
    async for event in call:
        events.append(event)
        if event.WhichOneof("event") == "reasoning_delta":
            break
    return call, events


def told(events: list[pb.StreamAnalyzeContextResponse]) -> tuple[str, list[pb.ParsedPrompt]]:
    """The reasoning and the prompts as they were streamed."""
    reasoning = "".join(event.reasoning_delta for event in events)
    return reasoning, [event.prompt for event in events if event.HasField("prompt")]


async def until(client: LeaseClient, wanted: Callable[[list[tuple[str, bool]]], bool]) -> None:
    """Waits until the leases, as holders and whether they wait, are as `wanted`."""

    def seen(leases: list[vram_pb.Lease]) -> bool:
        return wanted([(lease.holder, lease.state == vram_pb.LEASE_STATE_WAITING) for lease in leases])

    await leases_once(client.stub, seen)


async def test_an_answer_that_is_longer_than_the_grace_goes_on_when_the_card_is_free_again(start_prompt: Any) -> None:
    # Of a second of grace nothing is left for writing: leaving the card may take that long.
    async with (
        card(grace_seconds=1) as (address, client),
        start_prompt(addresses=Addresses(vram=address)) as server,
    ):
        whole = await server.stub.AnalyzeContext(ask(2))
        call, events = await begun(server.stub)
        async with await client.acquire(CARD, holder="important", priority=90):
            await until(client, lambda leases: leases == [("important", False), ("prompt/embedded", True)])
            assert not server.engine.loaded
        events += [event async for event in call]
    assert told(events) == (whole.reasoning, list(whole.prompts))
    result = events[-1].result
    assert (result.reasoning, list(result.prompts)) == told(events)
    assert result.engine.completion_tokens == whole.engine.completion_tokens


async def test_an_answer_comes_to_its_end_where_the_card_is_asked_back_again_and_again(start_prompt: Any) -> None:
    async with (
        card(grace_seconds=1, ageing_seconds=0.01) as (address, client),
        start_prompt(addresses=Addresses(vram=address)) as server,
    ):
        whole = await server.stub.AnalyzeContext(ask(2))
        turn = asyncio.Event()

        async def contend() -> None:
            while True:
                async with await client.acquire(CARD, holder="important", priority=90):
                    turn.set()

        call, events = await begun(server.stub)
        contending = asyncio.create_task(contend())
        events += [event async for event in call]
        # It left the card in the middle, and was not asked again.
        assert turn.is_set()
        assert told(events) == (whole.reasoning, list(whole.prompts))
        turn.clear()
        await turn.wait()
        assert not server.engine.loaded
        contending.cancel()


async def test_an_interrupted_answer_is_cancelled_at_once(start_prompt: Any) -> None:
    async with (
        card(grace_seconds=1) as (address, client),
        start_prompt(addresses=Addresses(vram=address)) as server,
    ):
        call, _ = await begun(server.stub)
        async with await client.acquire(CARD, holder="important", priority=90):
            await until(client, lambda leases: ("prompt/embedded", True) in leases)
            call.cancel()
            await until(client, lambda leases: leases == [("important", False)])
        assert len((await server.stub.AnalyzeContext(ask())).prompts) == 1


async def test_an_interrupted_answer_waits_no_longer_than_any(start_prompt: Any) -> None:
    async with (
        card(grace_seconds=1) as (address, client),
        start_prompt(addresses=Addresses(vram=address), lease_wait_seconds=0.2) as server,
    ):
        call, _ = await begun(server.stub)
        async with await client.acquire(CARD, holder="important", priority=90):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                [event async for event in call]
            assert from_call(caught.value).reason == "GPU_OOM"
            await until(client, lambda leases: leases == [("important", False)])


async def test_a_card_that_can_never_hold_it_is_gpu_oom(start_prompt: Any) -> None:
    async with card(1024**2) as (address, _), start_prompt(addresses=Addresses(vram=address)) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.stub.AnalyzeContext(ask())
        error = from_call(caught.value)
        assert error.reason == "GPU_OOM"
        assert error.metadata["available"] == "1MB"
        assert not server.engine.loaded


async def test_waiting_for_the_card_counts_against_the_deadline(start_prompt: Any) -> None:
    async with (
        card() as (address, client),
        start_prompt(addresses=Addresses(vram=address)) as server,
        await client.acquire(CARD, holder="important", priority=90),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.stub.AnalyzeContext(ask(), timeout=1.0)
        assert from_call(caught.value).reason == "LLM_TIMEOUT"
        assert await holders(client) == ["important"]


async def test_without_a_vram_server_it_works_all_the_same(
    start_prompt: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    async with card() as (address, _):
        pass
    async with start_prompt(addresses=Addresses(vram=address)) as server:
        for _ in range(2):
            assert len((await server.stub.AnalyzeContext(ask())).prompts) == 1
    out, err = capfd.readouterr()
    assert (out + err).count("runs without a lease") == 1


def test_leases_are_asked_for_unless_they_are_turned_off() -> None:
    assert PromptSettings().lease == "auto"
