"""What a ledger knows again after a crash."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.runtime.errors import LeaseLost
from imajin_servers.vram.claims import Ask, Card
from imajin_servers.vram.journal import Journal, Noted
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.settings import VramSettings


def ledger(*sizes: int) -> Ledger:
    numbers = iter(range(100))
    cards = [Card(f"card-{index}", "card", size, True) for index, size in enumerate(sizes)]
    return Ledger(cards, lambda: 7.0, lambda: f"lease-{next(numbers)}")


def revived(journal: Journal, *sizes: int) -> Ledger:
    fresh = ledger(*sizes)
    noted = journal.open()
    fresh.begin_at(noted.next_token)
    for entry in noted.leases:
        fresh.adopt(**vars(entry))
    return fresh


def test_held_leases_are_known_again_with_their_tokens(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "leases.json")
    before = ledger(10, 10)
    held = [before.acquire(Ask(4, "one", ttl=60.0, preemptible=True)), before.acquire(Ask(8, "two", "card-1", 70))]
    before.acquire(Ask(9, "waits"))
    journal.write(before.book.holders(), before.next_token)
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
    journal.write(before.book.holders(), before.next_token)
    after = revived(journal, 5)
    for claim in (first, second):
        with pytest.raises(LeaseLost):
            after.resume(claim.lease_id, claim.token)


def held(folder: Path) -> bytes:
    """The bytes of a journal of two leases."""
    journal, before = Journal(folder / "leases.json"), ledger(10, 10)
    before.acquire(Ask(4, "one", ttl=60.0, preemptible=True))
    before.acquire(Ask(8, "zwei \N{SNOWMAN}", "card-1", 70, group="model"))
    journal.write(before.book.holders(), before.next_token)
    return (folder / "leases.json").read_bytes()


def test_a_journal_cut_anywhere_is_put_aside(tmp_path: Path) -> None:
    whole = held(tmp_path)
    path = tmp_path / "leases.json"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert Journal(path).open() == Noted()
        assert (tmp_path / "leases.json.unreadable").read_bytes() == whole[:length]
    path.write_bytes(whole)
    assert len(Journal(path).open().leases) == 2


@given(
    content=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["next_token", "leases", "lease_id", "token", "bytes", "ttl", "ask"]), inner
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_garbage_is_put_aside_and_never_believed(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "leases.json"
    path.write_bytes(content)
    noted = Journal(path).open()
    assert noted.leases == []
    assert noted == Noted(noted.next_token)
    # The next server finds sense.
    assert Journal(path).open() == noted


@pytest.mark.parametrize("change", [{"bytes": 0}, {"bytes": -5}, {"ttl": 0}, {"token": -1}, {"token": 2**70}])
def test_a_lease_that_can_not_be_is_not_believed(tmp_path: Path, change: dict[str, int]) -> None:
    page = json.loads(held(tmp_path))
    page["leases"][0].update(change)
    path = tmp_path / "leases.json"
    path.write_text(json.dumps(page))
    assert Journal(path).open() == Noted()


def test_what_can_not_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "leases.json", tmp_path / "folder"):
        with pytest.raises(OSError, match="IMAJIN_VRAM_JOURNAL") as caught:
            Journal(path).open()
        assert str(path) in str(caught.value)


def test_a_full_disk_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal, before = Journal(tmp_path / "leases.json"), ledger(10)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert journal.open() == Noted()
        before.acquire(Ask(1, "one"))
        journal.write(before.book.holders(), before.next_token)
    # As soon as there is room it is caught up with.
    journal.write(before.book.holders(), before.next_token)
    assert [entry.ask.holder for entry in Journal(tmp_path / "leases.json").open().leases] == ["one"]


def test_an_empty_variable_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAJIN_VRAM_JOURNAL", "")
    assert VramSettings().journal is None
