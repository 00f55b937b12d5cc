"""What a ledger knows again after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from imajin_servers.runtime.errors import LeaseLost
from imajin_servers.vram.claims import Ask, Card
from imajin_servers.vram.journal import Journal
from imajin_servers.vram.ledger import Ledger


def ledger(*sizes: int) -> Ledger:
    numbers = iter(range(100))
    cards = [Card(f"card-{index}", "card", size, True) for index, size in enumerate(sizes)]
    return Ledger(cards, lambda: 7.0, lambda: f"lease-{next(numbers)}")


def revived(journal: Journal, *sizes: int) -> Ledger:
    fresh = ledger(*sizes)
    for entry in journal.read():
        fresh.adopt(**vars(entry))
    return fresh


def test_held_leases_are_known_again_with_their_tokens(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "leases.json")
    before = ledger(10, 10)
    held = [before.acquire(Ask(4, "one", ttl=60.0, preemptible=True)), before.acquire(Ask(8, "two", "card-1", 70))]
    before.acquire(Ask(9, "waits"))
    journal.write(before.book.holders())
    after = revived(journal, 10, 10)
    for claim in held:
        again = after.resume(claim.lease_id, claim.token)
        assert (again.ask, again.bytes, again.ttl) == (claim.ask, claim.bytes, claim.ttl)
        assert again.expires_at == 7.0 + claim.ttl
    assert len(after.book.claims) == 2
    assert after.acquire(Ask(1, "new")).token > max(claim.token for claim in held)


def test_leases_of_a_card_that_is_gone_or_smaller_are_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "leases.json")
    before = ledger(10, 10)
    first, second = before.acquire(Ask(6, "one", "card-0")), before.acquire(Ask(6, "two", "card-1"))
    journal.write(before.book.holders())
    after = revived(journal, 5)
    for claim in (first, second):
        with pytest.raises(LeaseLost):
            after.resume(claim.lease_id, claim.token)


@pytest.mark.parametrize("content", [b"", b"{", b'[{"lease_id": 1}]', b"\xff\x00"])
def test_a_journal_that_can_not_be_read_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "leases.json").write_bytes(content)
    assert Journal(tmp_path / "leases.json").read() == []


def test_a_journal_that_can_not_be_written_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = ledger(10)
    before.acquire(Ask(1, "one"))
    journal = Journal(tmp_path / "file" / "leases.json")
    journal.write(before.book.holders())
    assert journal.read() == []
