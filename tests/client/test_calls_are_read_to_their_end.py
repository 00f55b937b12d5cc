"""Whoever has its result reads on to the end of the call: a server counts a cancellation as a caller who gave up."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from imajin_client import AsyncClient

from . import answers
from .doubles import Doubles

PICTURE = answers.PIXELS
CALLS: dict[str, Callable[[AsyncClient], Awaitable[Any]]] = {
    "Generate": lambda client: client.generate("a panda"),
    "Edit": lambda client: client.edit(PICTURE, "a panda"),
    "Process": lambda client: client.process(PICTURE),
    "CreateDerivatives": lambda client: client.derivatives(PICTURE),
    "ClipFocal": lambda client: client.clip_focal(PICTURE, 10, 10),
    "WatchJob": lambda client: client.jobs.wait("job-1"),
    "GetJobResult": lambda client: client.jobs.result("job-1"),
    "ReadJob": lambda client: client.jobs.images("job-1"),
}


class Ends:
    """Lets the double of an rpc end a moment after its last message, and notes whether its caller had gone by then."""

    def __init__(self, doubles: Doubles, rpc: str) -> None:
        self.cancelled: list[bool] = []
        usual = getattr(answers, rpc)

        def answer(request: Any, context: Any) -> Iterator[Any]:
            gone = threading.Event()
            assert context.add_callback(gone.set)
            yield from usual(request, context)
            self.cancelled.append(gone.wait(0.3))

        doubles.answers[rpc] = answer


@pytest.mark.parametrize("rpc", CALLS)
async def test_a_call_ends_by_itself(doubles: Doubles, client: AsyncClient, rpc: str) -> None:
    ends = Ends(doubles, rpc)
    await CALLS[rpc](client)
    assert ends.cancelled == [False]


async def test_a_lease_that_is_given_back_ends_by_itself(doubles: Doubles, client: AsyncClient) -> None:
    ends = Ends(doubles, "HoldLease")
    async with client.vram.lease(gib=1):
        pass
    assert ends.cancelled == [False]


async def test_a_server_that_does_not_end_its_call_is_left(doubles: Doubles, client: AsyncClient) -> None:
    released = threading.Event()

    def answer(request: Any, context: Any) -> Iterator[Any]:
        assert context.add_callback(released.set)
        yield from answers.Process(request, context)
        released.wait(30)

    doubles.answers["Process"] = answer
    assert await client.process(PICTURE)
    assert released.wait(30)
