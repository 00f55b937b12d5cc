"""A call that is dropped is cancelled at the server; a watch that breaks is taken up again."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_client import AsyncClient, Client, Job, Progress, errors, jobs

from .answers import analysis, denoising, job, third_in_line
from .doubles import Doubles, abort, eventually, hold_open

WAIT = 10


@pytest.fixture
def endless(doubles: Doubles) -> Any:
    """Generate sends one progress event and then works for ever."""

    def generate(request: Any, context: Any) -> Iterator[Any]:
        yield orchestrator_pb2.GenerateResponse(progress=denoising(1, 9))
        hold_open(context)

    doubles.answers["Generate"] = generate
    return doubles


async def test_a_cancelled_task_cancels_the_call(endless: Any, client: AsyncClient) -> None:
    began = asyncio.Event()
    task = asyncio.create_task(client.generate("a panda", on_progress=lambda _: began.set()))
    await asyncio.wait_for(began.wait(), WAIT)
    assert not endless.dropped["Generate"].is_set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(endless.dropped["Generate"].wait, WAIT)


async def test_leaving_the_loop_cancels_the_call(endless: Any, client: AsyncClient) -> None:
    async for event in client.generate_stream("a panda"):
        assert isinstance(event, Progress)
        break
    assert await asyncio.to_thread(endless.dropped["Generate"].wait, WAIT)


async def test_closing_a_stream_cancels_the_call(endless: Any, client: AsyncClient) -> None:
    stream = client.generate_stream("a panda")
    assert isinstance(await anext(stream), Progress)
    await stream.aclose()
    assert await asyncio.to_thread(endless.dropped["Generate"].wait, WAIT)


async def test_closing_the_client_cancels_what_is_under_way(endless: Any) -> None:
    client = AsyncClient(endless.addresses)
    stream = client.generate_stream("a panda")
    await anext(stream)
    await client.close()
    assert await asyncio.to_thread(endless.dropped["Generate"].wait, WAIT)
    with pytest.raises((errors.Cancelled, asyncio.CancelledError, StopAsyncIteration)):
        await anext(stream)


def test_leaving_a_blocking_loop_cancels_the_call(endless: Any) -> None:
    with Client(endless.addresses) as client:
        for event in client.generate_stream("a panda"):
            assert isinstance(event, Progress)
            break
        assert endless.dropped["Generate"].wait(WAIT)


def test_an_interrupt_in_a_blocking_call_cancels_it(endless: Any) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt_when_it_is_called() -> None:
        eventually(lambda: bool(endless.asked["Generate"]))
        signal.pthread_kill(main, signal.SIGINT)

    with Client(endless.addresses) as client:
        interrupt = threading.Thread(target=interrupt_when_it_is_called)
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            client.generate("a panda")
        assert endless.dropped["Generate"].wait(WAIT)
        interrupt.join()
        # The client is as good as before.
        assert client.models()[0].name == "embedded"


def test_an_interrupt_while_waiting_for_memory_leaves_the_line(doubles: Doubles) -> None:
    main = threading.main_thread().ident
    assert main is not None
    told: list[str] = []

    def interrupt_when_it_waits() -> None:
        eventually(lambda: lease.position == 3)
        signal.pthread_kill(main, signal.SIGINT)

    doubles.answers["HoldLease"] = third_in_line(told)
    with Client(doubles.addresses) as client:
        lease = client.vram.lease(gib=1)
        interrupt = threading.Thread(target=interrupt_when_it_waits)
        interrupt.start()
        with pytest.raises(KeyboardInterrupt), lease:
            raise AssertionError("the block ran")
        interrupt.join()
    assert told == ["acquire", "release"]


def test_a_client_that_is_closed_ends_the_calls_of_other_threads(endless: Any) -> None:
    client = Client(endless.addresses)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            client.generate("a panda")
        except BaseException as error:
            caught.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert eventually(lambda: bool(endless.asked["Generate"]))
    client.close()
    caller.join(WAIT)
    assert [type(error) for error in caught] == [errors.Cancelled]
    assert endless.dropped["Generate"].wait(WAIT)
    with pytest.raises(RuntimeError, match="closed"):
        client.models()


async def test_a_client_that_is_closed_opens_nothing_again(doubles: Doubles) -> None:
    async with AsyncClient(doubles.addresses) as client:
        await client.models()
    with pytest.raises(RuntimeError, match="closed"):
        await client.models()


async def test_a_unary_call_is_cancelled_too(doubles: Doubles, client: AsyncClient) -> None:
    doubles.answers["AnalyzeContext"] = lambda request, context: hold_open(context) or analysis()
    task = asyncio.create_task(client.describe("a panda"))
    assert await asyncio.to_thread(eventually, lambda: bool(doubles.asked["AnalyzeContext"]))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(doubles.dropped["AnalyzeContext"].wait, WAIT)


async def test_a_watch_goes_on_after_a_break_without_a_gap(
    doubles: Doubles, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One attempt without news is all there is: each event starts the count anew.
    monkeypatch.setattr(jobs, "RETRY_SECONDS", (0.01,))
    event = job_pb2.WatchJobResponse
    steps = [event(sequence=number, progress=denoising(number, 6)) for number in range(1, 6)]

    def broken_off(request: Any, context: Any) -> Iterator[Any]:
        """Two events a connection; then it breaks, each time in another way."""
        left = [step for step in steps if step.sequence > request.after_event]
        yield from left[:2]
        if len(left) > 2:
            connection = len(doubles.asked["WatchJob"])
            if connection == 1:
                abort(context, {"code": "UNAVAILABLE", "reason": "DRAINING", "message": "shutting down"})
            return
        yield event(sequence=6, job=job())

    doubles.answers["WatchJob"] = broken_off
    seen = [item async for item in client.jobs.watch("job-1")]
    assert [item.sequence for item in seen if isinstance(item, Progress)] == [1, 2, 3, 4, 5]
    assert isinstance(seen[-1], Job)
    assert [request.after_event for request in doubles.asked["WatchJob"]] == [0, 2, 4]


async def test_a_watch_survives_a_restart_of_the_server(doubles: Doubles, client: AsyncClient) -> None:
    event = job_pb2.WatchJobResponse

    def first(request: Any, context: Any) -> Iterator[Any]:
        yield event(sequence=5, progress=denoising(1, 2))
        hold_open(context)

    doubles.answers["WatchJob"] = first
    watch = client.jobs.watch("job-1")
    assert (await anext(watch)).sequence == 5
    await asyncio.to_thread(doubles.stop)
    doubles.answers["WatchJob"] = lambda request, context: iter([event(sequence=6, job=job())])
    doubles.start()
    assert isinstance(await anext(watch), Job)
    assert doubles.asked["WatchJob"][-1].after_event == 5
    await watch.aclose()


async def test_a_watch_of_the_cards_survives_a_restart_of_the_server(doubles: Doubles, client: AsyncClient) -> None:
    async with client.vram.watch() as changes:
        assert (await anext(changes)).devices
        await asyncio.to_thread(doubles.stop)
        doubles.start()
        assert (await anext(changes)).devices
    assert len(doubles.asked["WatchLeases"]) == 2


async def test_a_watch_of_cards_that_were_never_there_fails_at_once() -> None:
    async with AsyncClient({"vram": "127.0.0.1:1"}) as client:
        with pytest.raises(errors.Unavailable):
            await anext(client.vram.watch())


async def test_a_watch_gives_up_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RETRY_SECONDS", (0.01, 0.01))
    async with AsyncClient({"orchestrator": "127.0.0.1:1"}) as client:
        with pytest.raises(errors.Unavailable):
            await client.jobs.wait("job-1")


async def test_a_typed_error_is_not_tried_again(doubles: Doubles, client: AsyncClient) -> None:
    doubles.fail("WatchJob", "NOT_FOUND", "JOB_NOT_FOUND")
    with pytest.raises(errors.JobNotFound):
        await client.jobs.wait("nothing")
    assert len(doubles.asked["WatchJob"]) == 1


async def test_waiting_for_a_job_has_its_own_timeout(doubles: Doubles, client: AsyncClient) -> None:
    doubles.answers["WatchJob"] = lambda request, context: hold_open(context) or iter(())
    with pytest.raises(TimeoutError):
        await client.jobs.wait("job-1", timeout=1.0)
    assert await asyncio.to_thread(doubles.dropped["WatchJob"].wait, WAIT)
    assert doubles.asked["CancelJob"] == []


def test_a_closed_client_leaves_no_thread(doubles: Doubles) -> None:
    with Client(doubles.addresses) as client:
        client.sizes()
        assert any(thread.name == "imajin-client" for thread in threading.enumerate())
    assert not any(thread.name == "imajin-client" for thread in threading.enumerate())
