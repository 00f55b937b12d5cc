"""The workshop: bounded threads, calls and bytes, and places that are free exactly when their work has ended."""

from __future__ import annotations

import asyncio
import threading

import pytest

from imajin_servers.processing.work import Workshop
from imajin_servers.runtime.errors import QueueFull


async def test_work_runs_in_a_thread_and_its_error_comes_back() -> None:
    workshop = Workshop(1, 2, 100)
    async with workshop.call() as bench:
        assert await bench.run(threading.current_thread) is not threading.main_thread()
        with pytest.raises(ZeroDivisionError):
            await bench.run(lambda: 1 // 0)
    assert (workshop.calls, workshop.bytes) == (0, 0)
    workshop.close()


async def test_calls_above_the_bound_are_refused_until_one_is_over() -> None:
    workshop = Workshop(1, 1, 100)
    async with workshop.call():
        with pytest.raises(QueueFull) as raised:
            async with workshop.call():
                pass
        assert raised.value.retry_after is not None
        assert raised.value.retry_after > 0
    async with workshop.call():
        pass
    workshop.close()


async def test_bytes_above_the_bound_are_refused_but_one_image_alone_always_fits() -> None:
    workshop = Workshop(1, 5, 100)
    async with workshop.call() as first:
        first.hold(150)
        async with workshop.call() as second:
            with pytest.raises(QueueFull):
                second.hold(1)
        assert workshop.bytes == 150
    assert workshop.bytes == 0
    workshop.close()


async def test_a_cancelled_call_keeps_its_place_until_its_thread_has_ended_and_drops_what_waits() -> None:
    workshop = Workshop(1, 5, 1000)
    started, let_go, ran = threading.Event(), threading.Event(), []

    def slow() -> None:
        started.set()
        let_go.wait(30)

    async def call() -> None:
        async with workshop.call() as bench:
            bench.hold(500)
            await asyncio.gather(bench.run(slow), bench.run(ran.append, 1))

    task = asyncio.create_task(call())
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (workshop.calls, workshop.bytes) == (1, 500)
    let_go.set()
    await asyncio.to_thread(workshop.close)
    await asyncio.sleep(0)
    assert (workshop.calls, workshop.bytes) == (0, 0)
    assert ran == []


async def test_uploads_are_accounted_for_while_they_arrive() -> None:
    workshop = Workshop(1, 5, 100)
    with workshop.reserve() as one, workshop.reserve() as other:
        one.hold(60)
        other.hold(40)
        with pytest.raises(QueueFull):
            other.hold(1)
    assert workshop.bytes == 0
    workshop.close()
