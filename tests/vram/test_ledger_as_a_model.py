"""The ledger under any sequence of calls: what must hold always, and what must come true in the end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from imajin_servers.runtime.errors import GpuOutOfMemory, LeaseLost, QueueFull
from imajin_servers.vram.claims import Ask, Card, Claim, ClaimState, EndCause, Ended, Granted, Resized, Revoked
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.rules import Rules

TTL, GRACE, TURN = 15.0, 30.0, 20.0


class LedgerMachine(RuleBasedStateMachine):
    """Two cards of 10 and 6 bytes and a handful of claims, which is enough for every rule to bite."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.cards = [Card("a", "a", 10, True), Card("b", "b", 6, True)]
        numbers = itertools.count()
        self.ledger = Ledger(
            self.cards,
            lambda: self.now,
            lambda: f"lease-{next(numbers)}",
            Rules(ttl=TTL, grace=GRACE, turn=TURN, max_waiting=6),
        )
        self.tokens: list[int] = []
        self.amounts: dict[Claim, int] = {}
        self.over: dict[Claim, EndCause] = {}

    @rule(
        target=claims,
        bytes=st.integers(1, 12),
        device=st.sampled_from(["", "", "a", "b"]),
        priority=st.integers(0, 3),
        preemptible=st.booleans(),
        max_wait=st.sampled_from([None, 20.0]),
        group=st.sampled_from(["", "", "one", "two"]),
    )
    def acquire(
        self, bytes: int, device: str, priority: int, preemptible: bool, max_wait: float | None, group: str
    ) -> Claim | None:
        largest = {"": 10, "a": 10, "b": 6}[device]
        waiting = len(self.ledger.book.waiting())
        try:
            claim = self.ledger.acquire(Ask(bytes, "someone", device, priority, preemptible, max_wait, group=group))
        except GpuOutOfMemory:
            held = self.kin(group)
            if held:
                stays = sum(claim.bytes for claim in held if claim.ask.preemptible)
                homes = [card for card in self.cards if any(claim.card is card for claim in held)]
                largest = max((card.total - stays for card in homes if device in ("", card.device_id)), default=0)
            assert bytes > largest
            return None
        except QueueFull:
            assert waiting == 6
            return None
        assert bytes <= largest
        return claim

    @rule(claim=consumes(claims))
    def release(self, claim: Claim | None) -> None:
        if claim is not None:
            self.ledger.release(claim)

    @rule(claim=claims)
    def leave(self, claim: Claim | None) -> None:
        if claim is None:
            return
        held, bytes, token = claim.held, claim.bytes, claim.token
        self.ledger.leave(claim)
        assert claim.held == held
        assert claim.growing_to is None
        if held:
            assert (claim.bytes, claim.token) == (bytes, token)

    def kin(self, group: str) -> list[Claim]:
        """Held leases of a group."""
        return [claim for claim in self.ledger.book.holders() if group and claim.ask.group == group]

    @rule(claim=claims, used=st.none() | st.integers(0, 12), idle=st.booleans())
    def heartbeat(self, claim: Claim | None, used: int | None, idle: bool) -> None:
        if claim is None:
            return
        held = claim.held and claim.expires_at > self.now and claim.revoked_at > self.now
        if held:
            assert self.ledger.heartbeat(claim, used, idle=idle) == self.now + TTL
        else:
            with pytest.raises(LeaseLost):
                self.ledger.heartbeat(claim, used)

    @rule(claim=claims, wrong=st.booleans())
    def resume(self, claim: Claim | None, wrong: bool) -> None:
        if claim is None:
            return
        held = claim.held and claim.expires_at > self.now and claim.revoked_at > self.now
        token = claim.token
        if held and not wrong:
            assert self.ledger.resume(claim.lease_id, token) is claim
            assert claim.token == token
        else:
            with pytest.raises(LeaseLost):
                self.ledger.resume(claim.lease_id, token + wrong)

    @rule(claim=claims, bytes=st.integers(1, 11))
    def resize(self, claim: Claim | None, bytes: int) -> None:
        if claim is None:
            return
        before = claim.bytes
        if not (claim.held and claim.expires_at > self.now and claim.revoked_at > self.now):
            with pytest.raises(LeaseLost):
                self.ledger.resize(claim, bytes)
            return
        try:
            self.ledger.resize(claim, bytes)
        except GpuOutOfMemory:
            assert bytes > before
            assert claim.bytes == before
            assert claim.growing_to is None

    @rule(seconds=st.sampled_from([0.5, 5.0, 15.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes in steps that end at each deadline, as the desk takes it."""
        end = self.now + seconds
        while (deadline := self.ledger.next_deadline()) <= end:
            self.now = max(deadline, self.now)
            self.ledger.tick()
        self.now = end

    @precondition(lambda self: self.ledger.book.holders())
    @rule(pick=st.integers(0, 5), more=st.integers(1, 5))
    def grow(self, pick: int, more: int) -> None:
        holders = self.ledger.book.holders()
        claim = holders[pick % len(holders)]
        self.resize(claim, claim.bytes + more)

    def teardown(self) -> None:
        """Whoever waits at the end is granted, if holders that don't wait release and nobody new comes."""
        waiting = [claim for claim in self.ledger.book.line() if claim.gives_up_at == float("inf")]
        grew = {
            claim: claim.growing_to for claim in waiting if claim.growing_to is not None and not claim.ask.preemptible
        }
        while self.ledger.book.claims:
            idle = [claim for claim in self.ledger.book.holders() if claim.growing_to is None]
            assert idle, "those that wait, wait for each other"
            self.ledger.release(idle[0])
            self.check_events()
        for claim in waiting:
            assert claim in self.over
            assert claim in self.amounts
            assert claim not in grew or self.amounts[claim] == grew[claim]

    @invariant()
    def check_events(self) -> None:
        for event in self.ledger.take_events():
            match event:
                case Granted(claim):
                    self.tokens.append(claim.token)
                    assert claim not in self.amounts
                    self.amounts[claim] = claim.ask.bytes
                case Resized(claim, bytes):
                    self.amounts[claim] = bytes
                case Ended(claim, cause):
                    assert claim not in self.over
                    self.over[claim] = cause
                case Revoked(claim):
                    assert claim.ask.preemptible
        assert self.tokens == sorted(set(self.tokens))

    @invariant()
    def nothing_is_leased_twice(self) -> None:
        for card in self.cards:
            held = [claim for claim in self.ledger.book.claims.values() if claim.card is card]
            assert sum(claim.bytes for claim in held) <= card.total
            assert self.ledger.book.room(card) == card.total - sum(claim.bytes for claim in held)

    @invariant()
    def holders_and_waiters_are_told_apart(self) -> None:
        for claim in self.ledger.book.claims.values():
            assert claim.growing_to is None or claim.state is ClaimState.HELD
            assert claim.state is not ClaimState.ENDED
            assert claim.held == (claim.card is not None) == (claim.token > 0)
            if claim.held:
                assert self.amounts[claim] == claim.bytes
            if claim.card is not None and claim.ask.device_id:
                assert claim.card.device_id == claim.ask.device_id

    @invariant()
    def groups_stay_together(self) -> None:
        for group in ("one", "two"):
            assert len({claim.card.device_id for claim in self.kin(group) if claim.card}) <= 1

    @invariant()
    def nobody_waits_for_what_nobody_needs(self) -> None:
        """The first in line has its room on the way, or idle leases that may be revoked don't hold enough for it."""
        book = self.ledger.book
        for first in book.line()[:1]:
            cards = [first.card] if first.card else book.homes(first.ask)
            cards = [card for card in cards if (first.growing_to or first.bytes) <= card.total]
            if any(book.missing(first, card) <= 0 for card in cards):
                continue
            for card in cards:
                idle = [
                    claim.bytes
                    for claim in book.on(card)
                    if claim.idle
                    and claim.ask.preemptible
                    and claim.state is ClaimState.HELD
                    and claim is not first
                    and (not first.ask.group or claim.ask.group != first.ask.group)
                ]
                assert sum(idle) < book.missing(first, card)

    @invariant()
    def no_wakeup_is_lost(self) -> None:
        """The first in line would not fit: whoever can be granted has been."""
        line = self.ledger.book.line()
        if line:
            first = line[0]
            cards = [first.card] if first.card else self.ledger.book.homes(first.ask)
            assert all(self.ledger.book.room(card) < first.need for card in cards)

    @invariant()
    def places_are_known(self) -> None:
        assert [claim.told_place for claim in self.ledger.book.line()] == list(
            range(1, len(self.ledger.book.line()) + 1)
        )


LedgerMachine.TestCase.settings = settings(
    max_examples=250, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedger = LedgerMachine.TestCase
