"""Models with what is drawn beside them, and jobs of others, on one card: in whatever order they come and end, all of them end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from imajin_servers.vram.claims import Ask, Card, Claim, ClaimState
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.rules import Rules

TOTAL = 20
PRIORITIES = st.sampled_from([10, 50, 50, 80])
Drawing = tuple[int, int]
"""Bytes and priority."""


@dataclass
class Model:
    """As the diffusion server keeps one: weights stay while anything needs them and go when they are asked back, and with them all that is
    drawn; when they are back, what was being drawn asks for all of its room at once, and the rest as before.
    """

    name: str
    bytes: int
    to_draw: list[Drawing]
    weights: Claim | None = None
    drawn: list[Claim] = field(default_factory=list)
    """Those that wait or are being drawn."""
    paused: list[Drawing] = field(default_factory=list)

    def priority(self) -> int:
        drawings = [*self.to_draw, *self.paused, *((claim.bytes, claim.ask.priority) for claim in self.drawn)]
        return max((priority for _, priority in drawings), default=50)


class Host:
    """One card, models that take turns on it, and jobs that take what they need once."""

    def __init__(self, models: list[Model], jobs: list[tuple[int, int, bool]]) -> None:
        self.now = 0.0
        numbers = itertools.count()
        self.ledger = Ledger(
            [Card("card", "card", TOTAL, True)],
            lambda: self.now,
            lambda: f"lease-{next(numbers)}",
            Rules(turn=60.0, max_waiting=1000, ttl=1e9, grace=1e9),
        )
        self.models = models
        self.to_come = [
            Ask(size, "job", priority=priority, preemptible=preemptible) for size, priority, preemptible in jobs
        ]
        self.jobs: list[Claim] = []

    def ask(self, model: Model, size: int, priority: int, *, preemptible: bool) -> Claim:
        return self.ledger.acquire(Ask(size, model.name, priority=priority, preemptible=preemptible, group=model.name))

    def settle(self) -> None:
        """Whoever is asked back goes; whoever came back asks for the rest."""
        for model in self.models:
            if model.weights is None:
                continue
            if model.weights.state is ClaimState.REVOKING:
                # What waits is withdrawn first: it must not take the room of what is given back.
                for claim in sorted(model.drawn, key=lambda claim: claim.held):
                    (model.paused if claim.held else model.to_draw).append((claim.bytes, claim.ask.priority))
                    self.ledger.release(claim)
                model.drawn = []
                self.ledger.release(model.weights)
                model.weights = None
                if model.to_draw or model.paused:
                    model.weights = self.ask(model, model.bytes, model.priority(), preemptible=True)
                return self.settle()
            if model.weights.held and model.paused:
                size, priority = sum(size for size, _ in model.paused), model.priority()
                model.paused = []
                model.drawn.append(self.ask(model, size, priority, preemptible=False))
                return self.settle()
        for job in [job for job in self.jobs if job.state is ClaimState.REVOKING]:
            self.jobs.remove(job)
            self.ledger.release(job)
            return self.settle()
        return None

    def moves(self) -> list[tuple[str, object]]:
        """What could happen next."""
        found: list[tuple[str, object]] = [("comes", ask) for ask in self.to_come]
        found += [("ends", job) for job in self.jobs if job.held]
        for model in self.models:
            there = model.weights is not None and model.weights.state is ClaimState.HELD
            if model.to_draw and (there or model.weights is None):
                found.append(("draws", model))
            found += [("drawn", (model, claim)) for claim in model.drawn if claim.held and there]
        return found

    def go(self, kind: str, what: object) -> None:
        match kind, what:
            case "comes", Ask() as ask:
                self.to_come.remove(ask)
                self.jobs.append(self.ledger.acquire(ask))
            case "ends", Claim() as job:
                self.jobs.remove(job)
                self.ledger.release(job)
            case "draws", Model() as model if model.weights is None:
                model.weights = self.ask(model, model.bytes, model.priority(), preemptible=True)
            case "draws", Model() as model:
                assert model.weights is not None
                self.ledger.heartbeat(model.weights, model.bytes, idle=False)
                size, priority = model.to_draw.pop(0)
                model.drawn.append(self.ask(model, size, priority, preemptible=False))
            case "drawn", (Model() as model, Claim() as claim):
                assert model.weights is not None
                model.drawn.remove(claim)
                self.ledger.release(claim)
                self.ledger.heartbeat(model.weights, model.bytes, idle=not model.drawn)
        self.settle()

    def wait(self) -> None:
        """Nothing happens but time."""
        turn = self.ledger.line.turn_ends
        assert turn < float("inf"), "those that wait, wait for each other"
        self.now = turn
        self.ledger.tick()
        self.settle()


MODELS = st.lists(
    st.tuples(st.integers(4, 12), st.lists(st.tuples(st.integers(1, 8), PRIORITIES), max_size=4)),
    min_size=1,
    max_size=3,
)
JOBS = st.lists(st.tuples(st.integers(1, TOTAL), PRIORITIES, st.booleans()), max_size=4)


@settings(max_examples=600, deadline=None)
@given(MODELS, JOBS, st.data())
def test_whatever_comes_comes_to_its_end(
    models: list[tuple[int, list[Drawing]]], jobs: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    host = Host([Model(f"model {n}", size, drawings) for n, (size, drawings) in enumerate(models)], jobs)
    for _ in range(400):
        moves = host.moves()
        if moves:
            host.go(*moves[data.draw(st.integers(0, len(moves) - 1))])
        elif any(not claim.held for claim in host.ledger.book.claims.values()):
            host.wait()
        else:
            break
    assert not host.moves()
    assert not host.jobs
    assert all(not (model.to_draw or model.drawn) for model in host.models)
