"""The thread that denoises for one model."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from imajin_servers.diffusion import streams
from imajin_servers.diffusion.emptied import emptied
from imajin_servers.diffusion.engine.policy import Candidate, next_batch
from imajin_servers.diffusion.engine.profile import Profile
from imajin_servers.diffusion.orders import LoraWeight
from imajin_servers.diffusion.pipelines.run import Run
from imajin_servers.diffusion.pipelines.stepwise import Stepwise
from imajin_servers.runtime.errors import Cancelled, Draining, ImajinError

Around = Callable[[Sequence[Run]], AbstractContextManager[None]]
"""Entered around each pass with the runs that share it, in the engine's thread: must be quick."""


def unwatched(runs: Sequence[Run]) -> AbstractContextManager[None]:
    """No context around a pass: the default."""
    return nullcontext()


@dataclass(eq=False)
class Ticket:
    """A run's place in the engine. `left` resolves with the run when its last step is done, or with why it left early."""

    id: int
    run: Run
    priority: int
    arrived: float
    on_step: Callable[[Run], None]
    """Called in the engine's thread after each step: must be quick; what it raises ends the run."""
    left: Future[Run] = field(default_factory=Future)
    error: ImajinError | None = None
    seconds: float = 0.0
    """Seconds in forward passes; a pass that is shared with other runs counts in full."""

    def cancel(self, error: ImajinError | None = None) -> None:
        """Asks the run to leave before its next step. From any thread; `left` says when it has."""
        self.error = self.error or error or Cancelled("the generation was cancelled")


class Company(NamedTuple):
    """What runs that may share a pass have in common."""

    known: Hashable
    kind: Hashable
    loras: tuple[LoraWeight, ...]


class Engine:
    """Advances runs, a step at a time. Runs are submitted from any thread."""

    def __init__(
        self, name: str, stepwise: Stepwise, *, max_batch: int, ageing: float, around: Around = unwatched
    ) -> None:
        self.stepwise = stepwise
        self.around = around
        self.home: torch.device = stepwise.device
        self.ageing = ageing
        self.profile = Profile(max_batch)
        self.ids = itertools.count()
        self.tickets: list[Ticket] = []
        self.wake = threading.Condition()
        self.paused = False
        self.stepping = False
        self.closed = False
        self.stream: Any = None
        self.thread = threading.Thread(target=self.loop, name=f"engine {name}", daemon=True)
        self.thread.start()

    def submit(self, run: Run, on_step: Callable[[Run], None]) -> Ticket:
        """Lets `run` take its steps from now on. Raises Draining after `close`."""
        ticket = Ticket(next(self.ids), run, run.order.priority, time.monotonic(), on_step)
        with self.wake:
            if self.closed:
                raise Draining("the engine is closed")
            self.tickets.append(ticket)
            self.wake.notify_all()
        return ticket

    def pause(self) -> None:
        """Takes no further step; returns when the step in progress has ended. Runs stay and go on after `resume`."""
        with self.wake:
            self.paused = True
            self.wake.notify_all()
            self.wake.wait_for(lambda: not self.stepping)

    def move(self, device: torch.device) -> None:
        """Moves the weights and every run to `device`. Only between `pause` and `resume`: the bits stay the same."""
        # On the engine's stream: what schedulers keep is let go between two of its steps, and the allocator hands memory
        # out again by the stream that it was asked for on.
        with streams.within(self.stream):
            self.stepwise.move(device)
        streams.settle(self.home)

    def resume(self) -> None:
        """Goes on after `pause`."""
        with self.wake:
            self.paused = False
            self.wake.notify_all()

    def close(self) -> None:
        """Ends every run with Draining, and the thread."""
        with self.wake:
            self.closed = True
            for ticket in self.tickets:
                ticket.cancel(Draining("the engine is closed"))
            self.wake.notify_all()
        self.thread.join()

    def loop(self) -> None:
        """The engine's thread."""
        self.stream = streams.own(self.home, first=True)
        while self.turn():
            pass

    def turn(self) -> bool:
        """Waits for work and does a step of it; whether there may be more. Between two turns the thread holds no run."""
        if (batch := self.chosen()) is None:
            return False
        try:
            self.tick(batch)
        finally:
            with self.wake:
                self.stepping = False
                self.wake.notify_all()
        return True

    def chosen(self) -> list[Ticket] | None:
        """Waits for work; the tickets that step next, none at the end."""
        with self.wake:
            while True:
                self.drop_leavers()
                if self.closed and not self.tickets:
                    return None
                if self.tickets and not self.paused:
                    break
                # Whoever cancels doesn't wake this thread: it looks again by itself while somebody could leave.
                self.wake.wait(0.05 if self.tickets else None)
            batch = next_batch([self.candidate(one) for one in self.tickets], self.ageing, self.cap)
            ids = {candidate.id for candidate in batch}
            self.stepping = True
            return [ticket for ticket in self.tickets if ticket.id in ids]

    def drop_leavers(self) -> None:
        """Lets go of runs that were cancelled."""
        for ticket in [one for one in self.tickets if one.error is not None]:
            self.tickets.remove(ticket)
            ticket.left.set_exception(ticket.error or Cancelled("the generation was cancelled"))

    def candidate(self, ticket: Ticket) -> Candidate:
        """What the policy sees of a ticket."""
        run = ticket.run
        known = self.known(run)
        remaining = (run.steps - run.step) * self.profile.cost(known)
        kind = self.stepwise.kind(run)
        # An adapter's strength is set for a whole pass, so only runs of the same strengths share one.
        company = None if kind is None else Company(known, kind, run.order.loras)
        time_left = None if run.order.deadline is None else run.order.deadline - time.monotonic()
        return Candidate(ticket.id, company, ticket.priority, ticket.arrived, remaining, time_left)

    def known(self, run: Run) -> Hashable:
        """What the profile knows a run's steps by: their shapes, and the adapters that they go through."""
        return self.stepwise.shape(run), tuple(lora.name for lora in run.order.loras)

    def cap(self, company: Hashable, count: int) -> int:
        """How many of `count` runs should share a pass."""
        assert isinstance(company, Company)
        return self.profile.cap(company.known, count)

    def tick(self, batch: Sequence[Ticket]) -> None:
        """One step of each ticket of `batch`. An error ends the run that it belongs to, and no other."""
        began = time.perf_counter()
        before = [ticket.run.step for ticket in batch]
        error = self.failure([ticket.run for ticket in batch])
        if error is not None and len(batch) == 1:
            self.leave(batch[0], error)
            return
        for ticket, step in zip(batch, before, strict=True):
            if error is not None and ticket.run.step == step:
                # Whose fault it was shows when each goes alone.
                self.tick([ticket])
            else:
                self.stepped(ticket, time.perf_counter() - began)

    def failure(self, runs: Sequence[Run]) -> Exception | None:
        """What `advance` raises, if anything, with nothing of the pass left: whoever tries again needs its memory."""
        try:
            self.advance(runs)
        except Exception as error:
            if len(runs) > 1 and isinstance(error, torch.OutOfMemoryError):
                self.profile.failed(self.known(runs[0]), len(runs))
            return emptied(error)
        return None

    def stepped(self, ticket: Ticket, seconds: float) -> None:
        """Tells of a step; lets a run go that has made its last."""
        ticket.seconds += seconds
        try:
            ticket.on_step(ticket.run)
        except Exception as error:
            self.leave(ticket, error)
            return
        if ticket.run.done:
            self.leave(ticket, None)

    def advance(self, runs: Sequence[Run]) -> None:
        """One step of each run; batches of unknown worth are probed."""
        kind = self.known(runs[0])
        # What other streams made is let go when this one is done with it, and not while it is still to be read.
        before = [(run.latents, run.clean) for run in runs]
        try:
            if len(runs) > 1 and self.profile.of(kind).unsettled(len(runs)):
                self.profile.probed(kind, len(runs), *self.stepwise.probe(runs))
                return
            began = time.perf_counter()
            with self.around(runs):
                self.stepwise.step(runs)
                # Steps are told and timed when they are done, not when they are queued.
                streams.run_dry(self.home)
            self.profile.stepped(kind, len(runs), time.perf_counter() - began)
        finally:
            streams.run_dry(self.home)
            del before

    def leave(self, ticket: Ticket, error: Exception | None) -> None:
        """Takes a ticket out, with its run or with `error`."""
        with self.wake:
            self.tickets.remove(ticket)
        if error is None:
            ticket.left.set_result(ticket.run)
        else:
            ticket.left.set_exception(error)
