"""The vram server goes away in the middle of drawings: they stand still off the card while they have no lease, and go on with the same bits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from imajin.common.v1 import image_pb2
from imajin.vram.v1 import vram_lease_pb2 as vram_pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.diffusion import metrics
from imajin_servers.diffusion.pipelines import Stepwise
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime
from imajin_servers.runtime.status import from_call
from imajin_servers.vram.__main__ import build
from imajin_servers.vram.settings import VramSettings

from ..leases import leases_once
from ..serving import served

MIB = 1024**2
MODEL, WORK = "diffusion/embedded", "diffusion/embedded work"
DRAWING: dict[str, Any] = {
    "prompt": "a red apple",
    "steps": 8,
    "seed": 5,
    "width": 64,
    "height": 64,
    "format": image_pb2.IMAGE_FORMAT_RAW_RGB8,
}
SMALL: dict[str, Any] = {"steps": 1, "width": 64, "height": 64}


@dataclass
class Host:
    """A vram server that can go and come back at the same address, as a killed one does: without a word, with its journal or none."""

    settings: dict[str, Any]
    port: int = 0
    lifetime: Lifetime = field(default_factory=Lifetime)
    life: Any = None
    there: Any = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def client(self) -> LeaseClient:
        return LeaseClient(self.there.channel)

    async def come(self, **settings: Any) -> None:
        chosen = VramSettings(**{"cards": "simulated", "watch_seconds": 0, **self.settings, **settings})
        self.lifetime = Lifetime()
        self.life = served(build(chosen, self.lifetime), self.port)
        self.there = await self.life.__aenter__()
        self.port = int(self.there.address.rpartition(":")[2])

    async def go(self) -> None:
        life, self.life = self.life, None
        if life is not None:
            await life.__aexit__(None, None, None)

    async def held(self, *holders: str) -> list[vram_pb.Lease]:
        """The leases, as soon as these and no others hold any."""
        stub = vram_lease_pb2_grpc.VramLeaseServiceStub(self.there.channel)
        return await leases_once(
            stub, lambda leases: sorted(lease.holder for lease in leases if lease.lease_id) == sorted(holders)
        )

    async def waits(self, holder: str) -> None:
        """Returns when `holder` waits for room."""
        stub = vram_lease_pb2_grpc.VramLeaseServiceStub(self.there.channel)
        await leases_once(stub, lambda leases: any(lease.holder == holder and not lease.lease_id for lease in leases))


@asynccontextmanager
async def host(**settings: Any) -> AsyncIterator[Host]:
    vram = Host({"simulated_bytes": 400 * MIB, **settings})
    await vram.come()
    try:
        yield vram
    finally:
        await vram.go()


class Gate:
    """Holds the engine within the fourth step of a drawing until it is opened; `taken` holds the number of each step that ended."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.inside = threading.Event()
        self.taken: list[int] = []

    def step(self, step: Callable[..., None], stepwise: Any, runs: Sequence[Any]) -> None:
        if runs[0].step == 3 and not self.open.is_set():
            self.inside.set()
            assert self.open.wait(60)
        step(stepwise, runs)
        self.taken.append(runs[0].step)

    async def reached(self) -> None:
        """Returns when the engine is in that step."""
        await asyncio.to_thread(self.inside.wait, 60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, step = Gate(), Stepwise.step
    monkeypatch.setattr(Stepwise, "step", lambda stepwise, runs: gate.step(step, stepwise, runs))
    yield gate
    gate.open.set()


def pauses() -> float:
    """How often the model has left the card with drawings unfinished."""
    return metrics.PAUSES.labels("embedded")._value.get()


class Told:
    """What the log says, in place of the log."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.more = asyncio.Event()

    def __call__(self, _: object, method: str, entry: dict[str, Any]) -> Any:
        self.events.append(entry["event"])
        self.more.set()
        raise structlog.DropEvent

    async def heard(self, event: str, count: int = 1) -> None:
        """Returns when that was said so often; the test's timeout is the limit."""
        while self.events.count(event) < count:
            self.more.clear()
            await self.more.wait()


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    processors = structlog.get_config()["processors"]
    former, told = list(processors), Told()
    # In place: loggers that are bound already keep the list.
    processors[:] = [told]
    yield told
    processors[:] = former


async def begun(server: Any, gate: Gate) -> Any:
    """A call in the middle of its fourth step."""
    gate.open.clear()
    call = server.stub.Generate(server.request(**DRAWING))
    await gate.reached()
    return call


async def drawn(call: Any) -> bytes:
    """The pixels of a call."""
    return b"".join([event.chunk.data async for event in call if event.HasField("chunk")])


async def test_one_that_forgot_its_leases_is_asked_for_new_ones(start: Any, gate: Gate, told: Told) -> None:
    async with host() as vram, start(lease="auto", vram=vram.address) as server:
        undisturbed = await server.generate(**DRAWING)
        call = await begun(server, gate)
        former = {lease.holder: lease for lease in await vram.held(MODEL, WORK)}
        before = pauses()
        await vram.go()
        await vram.come()
        await told.heard("lease lost", 2)
        regained = asyncio.create_task(vram.held(MODEL, WORK))
        gate.open.set()
        fresh = {lease.holder: lease for lease in await regained}
        assert all(fresh[name].fencing_token > former[name].fencing_token for name in former)
        assert fresh[MODEL].group == fresh[WORK].group != former[MODEL].group
        assert await drawn(call) == undisturbed.data
        assert pauses() == before + 1


@pytest.mark.parametrize("journal", [False, True])
async def test_what_outlives_its_leases_stands_still_off_the_card(
    start: Any, gate: Gate, told: Told, journal: bool, tmp_path: Path
) -> None:
    keeps = {"journal": tmp_path / "leases.json"} if journal else {}
    async with host(ttl_seconds=1, **keeps) as vram, start(lease="auto", vram=vram.address) as server:
        undisturbed = await server.generate(**DRAWING)
        call = await begun(server, gate)
        await vram.go()
        await told.heard("lease lost", 2)
        gate.open.set()
        await told.heard("model paused")
        steps = len(gate.taken)
        await vram.come()
        assert await drawn(call) == undisturbed.data
        # The step in progress was the last one.
        assert steps == DRAWING["steps"] + 4


async def test_one_that_goes_again_meanwhile_is_waited_for_again(start: Any, gate: Gate, told: Told) -> None:
    async with host() as vram, start(lease="auto", vram=vram.address) as server:
        undisturbed = await server.generate(**DRAWING)
        call = await begun(server, gate)
        await vram.go()
        await vram.come()
        # What was forgotten is taken by others.
        await vram.client.acquire(400 * MIB, holder="newcomer")
        await told.heard("lease lost", 2)
        gate.open.set()
        await vram.waits(MODEL)
        await vram.go()
        await vram.come()
        assert await drawn(call) == undisturbed.data


async def test_one_that_knows_its_leases_again_is_not_noticed(start: Any, gate: Gate, tmp_path: Path) -> None:
    async with host(journal=tmp_path / "leases.json") as vram, start(lease="auto", vram=vram.address) as server:
        undisturbed = await server.generate(**DRAWING)
        call = await begun(server, gate)
        former = [(lease.lease_id, lease.fencing_token) for lease in await vram.held(MODEL, WORK)]
        before = pauses()
        await vram.go()
        await vram.come()
        assert [(lease.lease_id, lease.fencing_token) for lease in await vram.held(MODEL, WORK)] == former
        gate.open.set()
        assert await drawn(call) == undisturbed.data
        assert pauses() == before


async def test_one_that_is_told_to_stop_is_waited_for_too(start: Any, gate: Gate, told: Told) -> None:
    async with host() as vram, start(lease="auto", vram=vram.address) as server:
        undisturbed = await server.generate(**DRAWING)
        call = await begun(server, gate)
        vram.lifetime.draining.set()
        gate.open.set()
        await told.heard("the vram server is gone: it is waited for")
        await vram.go()
        await vram.come()
        assert await drawn(call) == undisturbed.data


async def test_what_waits_for_room_does_not_begin_without_a_lease(start: Any, gate: Gate) -> None:
    async with host() as vram, start(lease="auto", vram=vram.address) as server:
        undisturbed = await server.generate(**DRAWING)
        [weights] = await vram.held(MODEL)
        await vram.client.acquire(400 * MIB - weights.bytes, holder="training")
        call = server.stub.Generate(server.request(**DRAWING))
        async for event in call:
            if event.progress.HasField("waiting_for_vram"):
                break
        gate.open.clear()
        await vram.go()
        await vram.come()
        await gate.reached()
        await vram.held(MODEL, WORK)
        gate.open.set()
        assert await drawn(call) == undisturbed.data


async def test_one_that_stays_away_ends_what_waits_for_it(start: Any) -> None:
    async with host() as vram, start(lease="auto", vram=vram.address, lease_outage_seconds=0.2) as server:
        await server.generate(**SMALL)
        await vram.go()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(**SMALL)
        error = from_call(refused.value)
        assert (error.reason, error.metadata) == ("SERVER_UNAVAILABLE", {"server": "vram"})


async def test_one_that_stays_away_ends_what_stands_still(start: Any, gate: Gate, told: Told) -> None:
    async with (
        host(ttl_seconds=1) as vram,
        start(lease="auto", vram=vram.address, lease_outage_seconds=3) as server,
    ):
        call = await begun(server, gate)
        await vram.go()
        await told.heard("lease lost", 2)
        gate.open.set()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await drawn(call)
        assert from_call(refused.value).reason == "SERVER_UNAVAILABLE"
        assert not await server.loaded()
        await vram.come()
        assert (await server.generate(**SMALL)).result.steps == 1


async def test_a_drawing_that_finds_no_room_again_ends_alone(start: Any, gate: Gate, told: Told) -> None:
    async with host() as vram, start(lease="auto", vram=vram.address) as server:
        await server.generate(**SMALL)
        [weights] = await vram.held(MODEL)
        call = await begun(server, gate)
        await vram.go()
        await vram.come(simulated_bytes=weights.bytes + MIB)
        await told.heard("lease lost", 2)
        gate.open.set()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await drawn(call)
        assert from_call(refused.value).reason == "GPU_OOM"
        assert [lease.holder for lease in await vram.held(MODEL)] == [MODEL]
