"""The clock of a host is set, by an hour or more: durations don't notice, and tokens still grow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.vram.claims import Ask, Card
from imajin_servers.vram.journal import Entry, Noted
from imajin_servers.vram.ledger import Ledger

MIB = 1024**2
HOUR = 3600.0
NOON = 1_800_000_000.0


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
async def test_a_lease_lives_as_long_as_it_would_have(vram: Any, jump: float) -> None:
    async with await vram.client.acquire(60 * MIB, holder="lively", ttl=3) as lease:
        [before] = await vram.leases()
        vram.day.time += jump
        [after] = await vram.leases()
        assert after.lease_id == lease.lease_id
        # What people are shown follows the clock that they see.
        assert after.expire_time.ToSeconds() - before.expire_time.ToSeconds() == jump
        vram.clock.advance(2)
        assert await vram.leases()
        lease.check()


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_a_holder_whose_clock_differs_has_its_whole_grace(start: Callable[..., Any], wrong: float) -> None:
    async with start(day=NOON + wrong) as vram:
        low = await vram.client.acquire(60 * MIB, holder="low", priority=10, preemptible=True)
        asking = asyncio.create_task(vram.client.acquire(60 * MIB, holder="high", priority=90))
        await low.revoked.wait()
        assert 25 < low.seconds_to_revoke() <= 30
        await low.release()
        await (await asking).release()


@pytest.mark.parametrize("jump", [-HOUR, HOUR, -400 * 24 * HOUR])
async def test_tokens_grow_over_a_restart_with_a_journal(
    start: Callable[..., Any], jump: float, tmp_path: Path
) -> None:
    journal = tmp_path / "leases.json"
    async with start(day=NOON, journal=journal) as vram:
        tokens = []
        for holder in ("one", "two"):
            async with await vram.client.acquire(MIB, holder=holder) as lease:
                tokens.append(lease.fencing_token)
    # Nobody holds anything, so that only the journal knows of the tokens that were granted.
    async with start(day=NOON + jump, journal=journal) as vram:
        async with await vram.client.acquire(MIB, holder="three") as lease:
            tokens.append(lease.fencing_token)
        vram.lifetime.draining.set()
    async with (
        start(day=NOON + 2 * jump, journal=journal) as vram,
        await vram.client.acquire(MIB, holder="four") as lease,
    ):
        tokens.append(lease.fencing_token)
    assert tokens == sorted(set(tokens))


async def test_without_a_journal_tokens_follow_the_clock(start: Callable[..., Any]) -> None:
    async with start(day=NOON) as vram, await vram.client.acquire(MIB, holder="one") as lease:
        first = lease.fencing_token
    async with start(day=NOON + 1) as vram, await vram.client.acquire(MIB, holder="two") as lease:
        assert lease.fencing_token > first
    async with start(day=NOON - HOUR) as vram, await vram.client.acquire(MIB, holder="three") as lease:
        # Nothing on this host knows better.
        assert lease.fencing_token < first


@given(
    noted=st.integers(0, 2**40),
    today=st.integers(0, 2**40),
    held=st.lists(st.tuples(st.integers(0, 2**40), st.integers(1, 6)), max_size=5),
)
def test_no_token_is_granted_twice(noted: int, today: int, held: list[tuple[int, int]]) -> None:
    entries = [
        Entry(f"old-{index}", token, "card", bytes, 15.0, Ask(bytes, "holder"))
        for index, (token, bytes) in enumerate(held)
    ]
    numbers = iter(range(100))
    ledger = Ledger([Card("card", "card", 10, True)], lambda: 0.0, lambda: f"{next(numbers)}", first_token=today)
    page = Noted(noted, entries)
    ledger.begin_at(page.next_token)
    for entry in page.leases:
        ledger.adopt(**vars(entry))
    assert ledger.book.leased(ledger.book.cards["card"]) <= 10
    before = {entry.token for entry in page.leases if entry.lease_id in ledger.book.claims}
    for claim in list(ledger.book.claims.values()):
        ledger.release(claim)
    fresh = [ledger.acquire(Ask(1, "new")).token for _ in range(3)]
    assert min(fresh) >= max([noted, today, *(token + 1 for token in before)])
    assert fresh == sorted(set(fresh))
