"""How a coroutine face becomes a blocking one: a private event loop, and methods made from their twins."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from imajin_client.calls import Stream
from imajin_client.errors import Cancelled

P = ParamSpec("P")
T = TypeVar("T")
TwinT = TypeVar("TwinT")
ResultT = TypeVar("ResultT")
TargetT = TypeVar("TargetT", covariant=True)


LETTING_GO_SECONDS = 6.0
"""How long an interrupted call may take to tell its server."""


class Portal:
    """A private event loop in a thread, and the way into it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.lock = threading.Lock()
        self.ending = False
        self.thread = threading.Thread(target=self.loop.run_forever, name="imajin-client", daemon=True)
        self.thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for `coroutine`. An interrupt (Ctrl-C) cancels it, waits until it has let go, and is raised."""
        outcome: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            tasks.append(self.loop.create_task(coroutine))
            tasks[0].add_done_callback(functools.partial(pass_on, outcome))

        # What begins before the end is ended by it; nothing may begin behind it and wait for ever.
        with self.lock:
            if self.ending:
                coroutine.close()
                raise RuntimeError("the client is closed")
            self.loop.call_soon_threadsafe(begin)
        try:
            return outcome.result()
        except BaseException:
            if not outcome.done():
                self.loop.call_soon_threadsafe(lambda: tasks[0].cancel())
                wait([outcome], timeout=LETTING_GO_SECONDS)
            raise

    def close(self) -> None:
        """Cancels what still runs, and ends the loop and its thread."""
        with self.lock:
            if self.ending:
                return
            self.ending = True
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def end(self) -> None:
        """Cancels every task but this one and waits until they have let go."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.loop.shutdown_asyncgens()


def pass_on(outcome: Future[T], task: asyncio.Task[T]) -> None:
    """How `task` ended, to the thread that waits for it."""
    if task.cancelled():
        outcome.set_exception(Cancelled("the call was cancelled: its client was closed"))
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())


class Twin(Generic[TargetT]):
    """Base of the blocking faces: the coroutine face behind it, and the loop that this one runs in."""

    def __init__(self, portal: Portal, target: TargetT) -> None:
        self._portal = portal
        self._target = target


class Method(ABC, Generic[TwinT, P, ResultT]):
    """A method of a coroutine face as one of its twin, with the same parameters."""

    def __init__(self, method: Callable[Concatenate[TwinT, P], Any]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    @abstractmethod
    def called(self, twin: Twin[TwinT], *args: P.args, **options: P.kwargs) -> ResultT:
        """What a call of the method of `twin` gives."""

    @overload
    def __get__(self, twin: None, owner: type) -> Self: ...
    @overload
    def __get__(self, twin: Twin[TwinT], owner: type) -> Callable[P, ResultT]: ...
    def __get__(self, twin: Twin[TwinT] | None, owner: type) -> Self | Callable[P, ResultT]:
        """The method of `twin`."""
        if twin is None:
            return self

        @functools.wraps(self.method)
        def call(*args: P.args, **options: P.kwargs) -> ResultT:
            return self.called(twin, *args, **options)

        # For help() and editors: the signature of the coroutine, less its self.
        signature = inspect.signature(self.method)
        call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
        return call


class Blocking(Method[TwinT, P, T]):
    """A coroutine method as a blocking one."""

    method: Callable[Concatenate[TwinT, P], Coroutine[Any, Any, T]]

    def __init__(self, method: Callable[Concatenate[TwinT, P], Coroutine[Any, Any, T]]) -> None:
        super().__init__(method)

    def called(self, twin: Twin[TwinT], *args: P.args, **options: P.kwargs) -> T:
        """Waits for the coroutine."""
        return twin._portal.run(self.method(twin._target, *args, **options))


class Iterating(Method[TwinT, P, "Events[T]"], Generic[TwinT, P, T]):
    """A method that returns a Stream as one that returns an iterator."""

    method: Callable[Concatenate[TwinT, P], Stream[T]]

    def __init__(self, method: Callable[Concatenate[TwinT, P], Stream[T]]) -> None:
        super().__init__(method)

    def called(self, twin: Twin[TwinT], *args: P.args, **options: P.kwargs) -> Events[T]:
        """The events as an iterator."""
        return Events(twin._portal, self.method(twin._target, *args, **options))


class Events(Generic[T]):
    """Events as they come. Leaving the loop, closing, or Ctrl-C cancels the call and its work.

    An iterator that is kept in a variable after `break` should be closed, best by `with`.
    """

    def __init__(self, portal: Portal, stream: Stream[T]) -> None:
        self._portal = portal
        self._stream = stream

    def __iter__(self) -> Iterator[T]:
        """Itself."""
        return self

    def __next__(self) -> T:
        """The next event."""
        try:
            return self._portal.run(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Cancels the call."""
        self._portal.run(self._stream.aclose())

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancels the call."""
        self.close()
