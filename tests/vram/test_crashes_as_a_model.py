"""Servers that are killed, each with the journal of the one before and a clock that may have been set: what holders may rely on."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from imajin_servers.runtime.errors import GpuOutOfMemory, LeaseLost, QueueFull
from imajin_servers.vram.claims import Ask, Card, Claim
from imajin_servers.vram.journal import Journal
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.rules import Rules

TTL, TOTAL = 15.0, 10
MEMORY = Path("/dev/shm")


class Host(RuleBasedStateMachine):
    """One card, its servers one after the other, and holders who believe what their server last said."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.now = 0.0
        self.day = 1e6
        self.numbers = itertools.count()
        self.granted: dict[str, int] = {}
        """Token of each lease that was ever granted, in order."""
        self.believed: dict[str, tuple[int, int, float]] = {}
        """Token, bytes and last sign of life of each holder, by lease."""
        self.serve()

    def serve(self) -> None:
        """A server as `build` puts it together."""
        self.journal = Journal(self.folder / "leases.json")
        self.ledger = Ledger(
            [Card("card", "card", TOTAL, True)],
            lambda: self.now,
            lambda: f"lease-{next(self.numbers)}",
            Rules(ttl=TTL, max_waiting=3),
            first_token=round(self.day),
        )
        noted = self.journal.open()
        self.ledger.begin_at(noted.next_token)
        for entry in noted.leases:
            self.ledger.adopt(**vars(entry))

    def note(self) -> None:
        """What the desk does after each change, before holders hear of it."""
        self.journal.write(self.ledger.book.holders(), self.ledger.next_token)
        for claim in self.ledger.book.holders():
            if claim.lease_id not in self.granted:
                self.granted[claim.lease_id] = claim.token
                self.believed[claim.lease_id] = (claim.token, claim.bytes, self.now)

    def claims(self) -> list[Claim]:
        return self.ledger.book.holders()

    @rule(bytes=st.integers(1, 6))
    def acquire(self, bytes: int) -> None:
        try:
            self.ledger.acquire(Ask(bytes, "holder"))
        except (GpuOutOfMemory, QueueFull):
            return
        self.note()

    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        if held := self.claims():
            claim = held[which % len(held)]
            self.ledger.release(claim)
            self.believed.pop(claim.lease_id, None)
            self.note()

    @rule(which=st.integers(0, 9))
    def beat(self, which: int) -> None:
        if held := [claim for claim in self.claims() if claim.lease_id in self.believed]:
            claim = held[which % len(held)]
            self.ledger.heartbeat(claim, 0)
            token, bytes, _ = self.believed[claim.lease_id]
            self.believed[claim.lease_id] = (token, bytes, self.now)

    @rule(seconds=st.floats(0, 2 * TTL))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.day += seconds * 1e6
        # A holder gives up by itself, counted from its last sign of life.
        self.believed = {key: seen for key, seen in self.believed.items() if seen[2] + TTL > self.now}
        self.ledger.tick()
        self.note()

    @rule(jump=st.sampled_from([0.0, -3.6e9, 3.6e9]), away=st.floats(0, 1.5 * TTL))
    def crash(self, jump: float, away: float) -> None:
        self.day += jump + away * 1e6
        self.now += away
        self.serve()
        self.believed = {key: seen for key, seen in self.believed.items() if seen[2] + TTL > self.now}
        for lease_id, (token, bytes, _) in list(self.believed.items()):
            claim = self.ledger.resume(lease_id, token)
            assert (claim.token, claim.bytes) == (token, bytes)
            self.believed[lease_id] = (token, bytes, self.now)

    @rule(token=st.integers(0, 2**40))
    def pretend(self, token: int) -> None:
        """Nobody gets in with a token that isn't that of the lease."""
        for claim in self.claims():
            if claim.token != token:
                try:
                    self.ledger.resume(claim.lease_id, token)
                except LeaseLost:
                    continue
                raise AssertionError("a wrong token was taken")

    @invariant()
    def nobody_uses_what_another_has(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert sum(bytes for _, bytes, _ in self.believed.values()) <= TOTAL
        leased = {claim.lease_id for claim in self.claims()}
        assert set(self.believed) <= leased

    @invariant()
    def tokens_grow(self) -> None:
        tokens = list(getattr(self, "granted", {}).values())
        assert tokens == sorted(set(tokens))

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestHost = Host.TestCase
TestHost.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
