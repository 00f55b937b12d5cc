"""Several models in memory: the one that was used longest ago goes first, never one in use; sizes are known before."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin_servers.diffusion.models.shelf import Shelf
from imajin_servers.diffusion.settings import EMBEDDED
from imajin_servers.runtime.errors import GpuOutOfMemory
from imajin_servers.runtime.status import from_call

MIB = 1024**2
SMALL: dict[str, Any] = {"steps": 1, "width": 64, "height": 64}


def copies(*names: str) -> dict[str, Any]:
    """Settings with the model that ships under several names."""
    return {"embedded": False, "models": [{"name": name, "source": str(EMBEDDED)} for name in names]}


async def loaded(server: Any) -> list[str]:
    models = (await server.stub.ListModels(pb.ListModelsRequest())).models
    assert all(model.weight_bytes > 50 * MIB for model in models)
    return sorted(model.name for model in models if model.loaded)


async def test_the_longest_unused_goes_when_one_more_is_wanted(start: Any) -> None:
    async with start(max_loaded=2, **copies("a", "b", "c")) as server:
        assert await loaded(server) == []
        await server.generate(model="a", **SMALL)
        await server.generate(model="b", **SMALL)
        await server.generate(model="a", **SMALL)
        assert await loaded(server) == ["a", "b"]
        await server.generate(model="c", **SMALL)
        assert await loaded(server) == ["a", "c"]


async def test_one_in_use_is_waited_for(start: Any) -> None:
    async with start(max_loaded_bytes=150 * MIB, **copies("a", "b")) as server:
        call = await server.begun(model="a", width=64, height=64)
        other = server.stub.Generate(server.request(model="b", **SMALL))
        async for event in other:
            if event.progress.HasField("waiting_for_vram"):
                waiting = event.progress.waiting_for_vram
                assert waiting.requested_bytes > waiting.available_bytes
                break
        assert await loaded(server) == ["a"]
        # Whoever comes for the model in use stands behind the one who waits for it to be idle.
        later = asyncio.create_task(server.generate(model="a", **SMALL))
        call.cancel()
        assert [event.result.model async for event in other if event.HasField("result")] == ["b"]
        assert (await later).result.model == "a"
        assert await loaded(server) == ["a"]


async def test_whoever_gives_up_waiting_leaves_nothing_behind(start: Any) -> None:
    async with start(max_loaded=1, **copies("a", "b")) as server:
        call = await server.begun(model="a", width=64, height=64)
        other = server.stub.Generate(server.request(model="b", **SMALL))
        async for event in other:
            if event.progress.HasField("waiting_for_vram"):
                break
        other.cancel()
        again = await server.generate(model="a", **SMALL)
        assert again.result.model == "a"
        call.cancel()


async def test_idle_models_make_room_on_a_card_that_is_full(start: Any, card: Any) -> None:
    async with card(250 * MIB) as vram, start(vram=vram.address, lease="required", **copies("a", "b", "c")) as server:
        for name in ("a", "b", "c"):
            assert (await server.generate(model=name, **SMALL)).result.model == name
        held = sorted(lease.holder for lease in await vram.until(lambda leases: True))
        assert "diffusion/c" in held
        assert len(held) <= 2


async def test_what_is_larger_than_the_limit_is_out_of_memory(start: Any) -> None:
    async with start(max_loaded_bytes=10 * MIB) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate()
        error = from_call(refused.value)
        assert (error.reason, error.metadata["available_bytes"]) == ("GPU_OOM", str(10 * MIB))


class Book:
    """A model that is only a size."""

    def __init__(self, weight_bytes: int) -> None:
        self.weight_bytes = weight_bytes
        self.last_used = 0.0
        self.there = self.used = False

    @property
    def idle(self) -> bool:
        return self.there and not self.used

    @property
    def present(self) -> bool:
        return self.there

    async def put_away(self) -> None:
        assert self.idle
        self.there = False


@given(
    sizes=st.lists(st.integers(1, 10), min_size=2, max_size=6),
    wishes=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30),
    most=st.integers(0, 3),
    room=st.integers(0, 25),
)
@settings(deadline=None, max_examples=60)
def test_limits_hold_and_nobody_in_use_goes(
    sizes: list[int], wishes: list[tuple[int, bool]], most: int, room: int
) -> None:
    async def story() -> None:
        shelf = Shelf(most, room)
        books = [Book(size) for size in sizes]
        shelf.models.extend(books)
        for time, (number, stays_in_use) in enumerate(wishes):
            book = books[number % len(books)]
            if room and book.weight_bytes > room:
                with pytest.raises(GpuOutOfMemory):
                    await shelf.room_for(book, lambda need, there: None)
                continue
            in_use = [one for one in books if one.there and one.used]
            waits: list[int] = []
            asking = asyncio.create_task(shelf.room_for(book, lambda need, there, waits=waits: waits.append(there)))
            for _ in range(20):
                await asyncio.sleep(0)
            if not asking.done():
                # Only what is in use can stand in the way.
                assert waits
                assert in_use
                for one in books:
                    one.used = False
                shelf.stir()
            await asking
            assert all(one.there for one in in_use if one.used)
            book.there, book.used, book.last_used = True, stays_in_use, time
            there = [one for one in books if one.there]
            assert not most or len(there) <= most
            assert not room or sum(one.weight_bytes for one in there) <= room

    asyncio.run(story())


async def test_room_on_the_device_counts_where_it_is_known() -> None:
    books = [Book(4), Book(5), Book(6)]
    shelf = Shelf(free=lambda: 10 - sum(book.weight_bytes for book in books if book.there))
    shelf.models.extend(books)
    books[0].there = books[1].there = True
    books[0].last_used = 1
    await shelf.room_for(books[2], lambda need, there: None)
    assert (books[0].there, books[1].there) == (True, False)
