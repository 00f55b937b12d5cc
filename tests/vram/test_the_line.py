"""Who is next, and who has to go: the policy of the ledger, case by case."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.runtime.errors import GpuOutOfMemory
from imajin_servers.vram.claims import Ask, Card, Claim, ClaimState, Moved, Revoked
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.preemption import victims
from imajin_servers.vram.rules import Rules


class Bench:
    """A ledger, and a clock to turn."""

    def __init__(self, *sizes: int, used: int | None = None, **rules: Any) -> None:
        self.now = 0.0
        numbers = itertools.count()
        cards = [Card(f"card-{index}", "card", size, True, used) for index, size in enumerate(sizes)]
        self.ledger = Ledger(cards, lambda: self.now, lambda: f"lease-{next(numbers)}", Rules(**rules))

    def ask(
        self, bytes: int, priority: int = 50, preemptible: bool = False, device_id: str = "", group: str = ""
    ) -> Claim:
        return self.ledger.acquire(Ask(bytes, "someone", device_id, priority, preemptible, ttl=3600, group=group))

    def rest(self, claim: Claim) -> Claim:
        self.ledger.heartbeat(claim, claim.bytes, idle=True)
        return claim

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.tick()

    def observe(self, used: int) -> None:
        self.ledger.observe("card-0", used, self.now)

    def revoked(self) -> list[Claim]:
        return [event.claim for event in self.ledger.take_events() if isinstance(event, Revoked)]


def test_priority_goes_before_arrival() -> None:
    bench = Bench(10)
    holder = bench.ask(10)
    early, late = bench.ask(10, priority=50), bench.ask(10, priority=51)
    bench.ledger.release(holder)
    assert (early.state, late.state) == (ClaimState.WAITING, ClaimState.HELD)


def test_waiting_raises_a_claim_over_a_higher_priority() -> None:
    bench = Bench(10, ageing=2.0)
    holder = bench.ask(10)
    old = bench.ask(10, priority=0)
    bench.pass_time(19.9)
    young = bench.ask(10, priority=10)
    assert bench.ledger.book.line() == [young, old]
    bench.ledger.leave(young)
    bench.pass_time(0.2)
    younger = bench.ask(10, priority=10)
    assert bench.ledger.book.line() == [old, younger]
    bench.ledger.release(holder)
    assert old.held


def test_small_ones_do_not_starve_a_big_one() -> None:
    bench = Bench(10)
    holders = [bench.ask(5), bench.ask(5)]
    big = bench.ask(8)
    for _ in range(20):
        small = bench.ask(2)
        assert not small.held
        bench.ledger.leave(small)
    for holder in holders:
        bench.ledger.release(holder)
    assert big.held


def test_a_preemptible_one_may_use_room_that_is_kept_for_another() -> None:
    bench = Bench(10)
    holder = bench.ask(6)
    big = bench.ask(8, priority=60)
    filler = bench.ask(2, priority=10, preemptible=True)
    assert filler.held
    bench.ledger.release(holder)
    assert big.held
    assert filler.held
    bench.ledger.release(big)
    holder = bench.ask(6)
    bigger = bench.ask(10, priority=60)
    assert filler.state is ClaimState.HELD
    bench.ledger.release(holder)
    assert filler.state is ClaimState.REVOKING
    assert not bench.ask(1, priority=10, preemptible=True).held
    bench.ledger.release(filler)
    assert bigger.held


def test_a_preemptible_one_of_equal_priority_keeps_out_of_room_that_is_kept_for_another() -> None:
    bench = Bench(10)
    holder = bench.ask(6)
    big = bench.ask(8, priority=50)
    small = bench.ask(2, priority=50, preemptible=True)
    assert not small.held
    bench.ledger.release(holder)
    assert big.held
    assert small.held


def test_a_blocked_claim_keeps_one_card_alone() -> None:
    bench = Bench(10, 10)
    bench.ask(6, device_id="card-0")
    bench.ask(8, device_id="card-1")
    big = bench.ask(9)
    assert not big.held
    assert bench.ask(2).card is bench.ledger.book.cards["card-1"]
    assert not bench.ask(2).held


def test_the_card_that_fits_best_is_taken() -> None:
    bench = Bench(10, 6)
    assert bench.ask(5).card is bench.ledger.book.cards["card-1"]
    assert bench.ask(5).card is bench.ledger.book.cards["card-0"]


def test_nothing_is_revoked_that_does_not_help() -> None:
    bench = Bench(10)
    bench.ask(6, priority=50)
    low = bench.ask(4, priority=10, preemptible=True)
    bench.ask(5, priority=90)
    assert bench.revoked() == []
    assert low.state is ClaimState.HELD


def test_nothing_more_is_revoked_while_enough_is_on_its_way() -> None:
    bench = Bench(10)
    first, second = (bench.ask(5, priority=10, preemptible=True) for _ in range(2))
    high = bench.ask(5, priority=90)
    [victim] = bench.revoked()
    bench.pass_time(1)
    bench.ledger.heartbeat(first, 5)
    bench.ledger.heartbeat(second, 5)
    assert bench.revoked() == []
    bench.ledger.release(victim)
    assert high.held


def test_equals_take_turns() -> None:
    bench = Bench(10, turn=60.0, grace=30.0)
    first = bench.ask(10, preemptible=True)
    bench.pass_time(20)
    second = bench.ask(10, preemptible=True)
    assert bench.ledger.next_deadline() == 60
    bench.pass_time(39.9)
    assert bench.revoked() == []
    bench.pass_time(0.1)
    assert bench.revoked() == [first]
    bench.ledger.release(first)
    third = bench.ask(10, preemptible=True)
    assert (second.held, third.held) == (True, False)
    assert bench.ledger.next_deadline() == 120
    bench.pass_time(60)
    assert bench.revoked() == [second]


def test_a_turn_begins_anew_with_work() -> None:
    bench = Bench(10, turn=60.0)
    model = bench.rest(bench.ask(10, preemptible=True))
    bench.pass_time(500)
    bench.ledger.heartbeat(model, 10, idle=False)
    bench.pass_time(30)
    bench.ask(10)
    assert bench.revoked() == []
    bench.pass_time(30)
    assert bench.revoked() == [model]


@pytest.mark.parametrize("priority", [0, 50, 100])
def test_an_idle_one_makes_room_at_once_for_whoever_asks(priority: int) -> None:
    bench = Bench(10)
    model = bench.rest(bench.ask(10, preemptible=True, priority=80))
    bench.ask(4, priority=priority)
    assert bench.revoked() == [model]


def test_one_that_becomes_idle_makes_room_for_those_that_wait() -> None:
    bench = Bench(10)
    model = bench.ask(10, preemptible=True, priority=80)
    bench.ask(4, priority=20)
    assert bench.revoked() == []
    bench.rest(model)
    assert bench.revoked() == [model]


def test_an_idle_one_that_is_not_preemptible_stays() -> None:
    bench = Bench(10)
    bench.rest(bench.ask(10))
    bench.ask(4, priority=100)
    assert bench.revoked() == []


def test_the_longest_idle_go_and_none_that_need_not() -> None:
    bench = Bench(12)
    models = [bench.ask(bytes, preemptible=True) for bytes in (1, 2, 4, 5)]
    for model in (models[0], models[2], models[1]):
        bench.pass_time(1)
        bench.rest(model)
    bench.ask(2, priority=100)
    assert bench.revoked() == [models[2]]


def test_idle_ones_go_before_a_busy_one_of_low_priority() -> None:
    bench = Bench(10)
    busy = bench.ask(5, preemptible=True, priority=10)
    idle = bench.rest(bench.ask(5, preemptible=True, priority=90))
    bench.ask(5, priority=50)
    assert bench.revoked() == [idle]
    assert busy.state is ClaimState.HELD


def test_idle_ones_that_just_suffice_spare_a_busy_one_of_lower_priority() -> None:
    bench = Bench(10)
    busy = bench.ask(4, priority=10, preemptible=True)
    idle = bench.rest(bench.ask(4, priority=20, preemptible=True))
    bench.ask(2)
    bench.ask(4, priority=60)
    assert bench.revoked() == [idle]
    assert busy.held


def test_a_lease_is_not_revoked_for_another_of_its_group() -> None:
    bench = Bench(10, turn=0.0)
    weights = bench.ask(4, preemptible=True, group="a model")
    bench.ask(5, preemptible=True)
    work = bench.ask(4, priority=100, group="a model")
    assert [claim.ask.group for claim in bench.revoked()] == [""]
    assert weights.state is ClaimState.HELD
    assert not work.held
    with pytest.raises(GpuOutOfMemory):
        bench.ask(7, priority=100, group="a model")


def test_a_group_lies_on_one_card() -> None:
    bench = Bench(10, 6)
    weights = bench.ask(7, preemptible=True, group="a model")
    assert bench.ask(2, group="a model").card is weights.card
    assert bench.ask(2, group="another").card is not weights.card
    assert not bench.ask(2, group="a model").held


def test_one_whose_group_comes_to_another_card_makes_room_there() -> None:
    bench = Bench(10, 6)
    small = bench.rest(bench.ask(5, preemptible=True, device_id="card-1"))
    bench.ask(1, device_id="card-1")
    large = bench.rest(bench.ask(6, preemptible=True, device_id="card-0"))
    bench.ask(5, group="a model")
    assert bench.revoked() == [small]
    assert bench.ask(1, group="a model").card is large.card
    assert bench.revoked() == [large]


def test_a_claim_waits_while_its_group_lies_on_a_card_too_small_for_it() -> None:
    bench = Bench(10, 6)
    foreign = bench.ask(10)
    large = bench.ask(8, group="a model")
    small = bench.ask(2, device_id="card-1", group="a model")
    bench.ledger.release(foreign)
    assert small.held != large.held
    bench.ledger.release(small)
    assert large.held


@pytest.mark.parametrize(
    ("held", "need", "expected"),
    [
        ([(4, 10), (4, 20)], 4, [(4, 10)]),
        ([(2, 10), (4, 20)], 4, [(4, 20)]),
        ([(2, 10), (2, 10), (5, 10)], 4, [(5, 10)]),
        ([(6, 10), (9, 10)], 5, [(6, 10)]),
        ([(3, 10), (3, 10), (2, 10)], 5, [(2, 10), (3, 10)]),
        ([(3, 10), (3, 95)], 5, None),
        ([], 1, None),
    ],
)
def test_the_cheapest_set_is_revoked(
    held: list[tuple[int, int]], need: int, expected: list[tuple[int, int]] | None
) -> None:
    bench = Bench(100)
    leases = [bench.ask(bytes, priority=priority, preemptible=True) for bytes, priority in held]
    chosen = victims((lease for lease in leases if lease.ask.priority < 90), need, bench.ledger.book.worth)
    assert (None if chosen is None else sorted((claim.bytes, claim.ask.priority) for claim in chosen)) == expected


def test_a_model_on_the_card_comes_to_its_end_before_who_waits_for_that() -> None:
    bench = Bench(10)
    weights = bench.ask(4, preemptible=True, group="model")
    large = bench.ask(7, priority=20)
    bench.pass_time(100)
    drawing = bench.ask(2, group="model")
    assert (large.held, drawing.held) == (False, True)
    later = bench.ask(5, group="model")
    assert not later.held  # there is no room for it yet
    bench.ledger.release(drawing)
    assert later.held
    bench.rest(weights)
    bench.ledger.release(later)
    assert bench.revoked() == [weights]
    bench.ledger.release(weights)
    assert large.held


def test_who_finds_room_beside_the_model_goes_before_what_is_to_be_drawn() -> None:
    bench = Bench(10)
    bench.ask(4, preemptible=True, group="model")
    first = bench.ask(3, group="model")
    large = bench.ask(6)
    second = bench.ask(2, group="model")
    assert not second.held
    bench.ledger.release(first)
    assert large.held


def test_what_is_to_be_drawn_lets_those_pass_that_have_the_model_asked_back() -> None:
    bench = Bench(10, turn=60.0)
    weights = bench.ask(4, preemptible=True, group="model")
    drawing = bench.ask(2, group="model")
    equal = bench.ask(8)
    second = bench.ask(1, group="model")
    assert second.held
    bench.pass_time(60)
    # Its turn is over: what is still being drawn ends, and nothing more begins.
    third = bench.ask(1, group="model")
    assert not third.held
    bench.ledger.release(drawing)
    assert bench.revoked() == [weights]
    for claim in (second, third, weights):
        bench.ledger.release(claim)
    assert equal.held


def test_a_paused_model_comes_back_before_who_waits_for_what_is_drawn_with_it() -> None:
    bench = Bench(10)
    drawing = bench.ask(2, group="model")
    other = bench.ask(6)
    large = bench.ask(9)
    weights = bench.ask(5, preemptible=True, group="model")
    bench.ledger.release(other)
    assert (large.held, weights.held) == (False, True)
    bench.ledger.release(drawing)
    bench.rest(weights)
    bench.ledger.release(weights)
    assert large.held


def test_models_that_wait_for_each_other_do_not_stand_still() -> None:
    bench = Bench(10)
    first, second = (bench.ask(4, priority=50, preemptible=True, group=group) for group in ("first", "second"))
    drawing = bench.ask(5, priority=10, group="first")
    assert bench.revoked() == []
    other = bench.ask(5, priority=10, group="second")
    # What weighs is what is to be drawn, not what the models were loaded for; and neither of them is at work.
    [victim] = bench.revoked()
    assert victim in (first, second)
    for claim in (victim, other if victim is second else drawing):
        bench.ledger.release(claim)
    assert (drawing if victim is second else other).held


def test_a_model_weighs_what_is_drawn_with_it() -> None:
    bench = Bench(10)
    weights = bench.ask(4, priority=10, preemptible=True, group="model")
    urgent = bench.ask(2, priority=80, group="model")
    middle = bench.ask(7)
    low = bench.ask(2, priority=20, group="model")
    assert (bench.revoked(), middle.held, low.held) == ([], False, True)
    bench.ledger.release(urgent)
    assert bench.revoked() == [weights]


def test_leases_that_grow_do_not_wait_for_each_other() -> None:
    bench = Bench(10)
    one, two = bench.ask(5), bench.ask(5)
    bench.ledger.resize(one, 8)
    with pytest.raises(GpuOutOfMemory) as caught:
        bench.ledger.resize(two, 8)
    assert caught.value.metadata["available_bytes"] == "5"
    bench.ledger.release(two)
    assert one.bytes == 8


def test_a_lease_that_grows_does_not_wait_for_one_that_waits_for_it() -> None:
    bench = Bench(10)
    one, two = bench.ask(4), bench.ask(4)
    bench.ask(9, priority=100)
    bench.ledger.resize(one, 6)
    assert one.bytes == 6
    bench.ledger.resize(two, 7)
    bench.ledger.release(one)
    assert two.bytes == 7


def test_a_small_growth_passes_a_big_one_that_waits_for_its_end() -> None:
    bench = Bench(10)
    one, two, three = bench.ask(4), bench.ask(3), bench.ask(3)
    bench.ledger.resize(one, 9)
    bench.ledger.resize(two, 5)
    bench.ledger.release(three)
    assert (one.bytes, two.bytes) == (4, 5)
    bench.ledger.release(two)
    assert one.bytes == 9


def test_room_goes_to_a_lease_that_grows_before_a_new_one() -> None:
    bench = Bench(10)
    one, two = bench.ask(4), bench.ask(6)
    new = bench.ask(3, priority=100)
    bench.ledger.resize(one, 7)
    bench.ledger.resize(two, 3)
    assert one.bytes == 7
    assert not new.held


def test_a_revoked_lease_does_not_grow() -> None:
    bench = Bench(10)
    low, rest = bench.ask(4, priority=10, preemptible=True), bench.ask(6)
    bench.ledger.resize(low, 5)
    bench.ask(4, priority=90)
    assert low.state is ClaimState.REVOKING
    bench.ledger.release(rest)
    assert low.bytes == 4


def test_a_growing_lease_that_is_revoked_for_another_that_grows_leaves_the_line() -> None:
    bench = Bench(10)
    high = bench.ask(4, priority=90)
    low = bench.ask(6, priority=10, preemptible=True)
    bench.ledger.resize(low, 7)
    bench.ledger.resize(high, 9)
    assert (low.state, low.growing_to) == (ClaimState.REVOKING, None)
    bench.ledger.release(low)
    assert high.bytes == 9


def test_a_grant_waits_until_the_driver_shows_the_bytes() -> None:
    bench = Bench(10, used=0)
    first = bench.ask(8)
    bench.ledger.heartbeat(first, 8)
    bench.observe(8)
    second = bench.ask(8)
    bench.ledger.release(first)
    assert not second.held
    bench.observe(0)
    assert second.held


def test_other_use_of_a_card_counts() -> None:
    bench = Bench(10, used=3)
    book = bench.ledger.book
    assert book.room(book.cards["card-0"]) == 7
    lease = bench.ask(4)
    assert book.room(book.cards["card-0"]) == 3
    bench.observe(6)
    assert book.room(book.cards["card-0"]) == 0
    for said, room in ((3, 3), (0, 0), (None, 4), (3, 3)):
        bench.ledger.heartbeat(lease, said)
        bench.observe(6)
        assert book.room(book.cards["card-0"]) == room
    assert not bench.ask(4).held


def test_what_is_said_to_be_in_use_counts_once_the_driver_was_asked_after_it() -> None:
    bench = Bench(10, used=3)
    book = bench.ledger.book
    lease = bench.ask(4)
    asked_at = bench.now
    bench.pass_time(1)
    bench.ledger.heartbeat(lease, 4)
    # The driver's reading is of before it: with it, the card would look emptier than it is.
    assert book.room(book.cards["card-0"]) == 3
    bench.ledger.observe("card-0", 3, asked_at)
    assert book.room(book.cards["card-0"]) == 3
    bench.observe(7)
    assert book.room(book.cards["card-0"]) == 3


@pytest.mark.parametrize("freed_first", [True, False])
def test_what_the_driver_has_shown_as_free_is_not_waited_for(freed_first: bool) -> None:
    bench = Bench(20, used=10)  # ten are others' own
    busy, low = bench.ask(3), bench.ask(4, priority=10, preemptible=True)
    for lease in (busy, low):
        bench.ledger.heartbeat(lease, lease.bytes)
    bench.observe(17)
    high = bench.ask(8, priority=90)
    if freed_first:
        bench.observe(14)
        bench.ledger.release(busy)
    else:
        bench.ledger.release(busy)
        bench.observe(14)
    assert bench.revoked() == [low]
    bench.ledger.release(low)
    bench.observe(10)
    assert high.held


def test_what_another_takes_over_of_it_is_not_waited_for() -> None:
    bench = Bench(20, used=10)
    first, second, low = bench.ask(3), bench.ask(3), bench.ask(2, priority=10, preemptible=True)
    for lease, used in ((first, 2), (second, 2), (low, 2)):
        bench.ledger.heartbeat(lease, used)
    bench.observe(16)
    bench.ask(5, priority=90)
    # Its process keeps in reserve what the second one may use.
    bench.ledger.release(first)
    bench.ledger.heartbeat(second, 3)
    bench.observe(16)
    book = bench.ledger.book
    assert book.coming(book.cards["card-0"]) <= 1 + sum(lease.bytes for lease in bench.revoked())


def test_memory_that_is_being_freed_saves_another_lease_from_revocation() -> None:
    bench = Bench(10, used=0)
    leases = [bench.ask(5, priority=10, preemptible=True) for _ in range(2)]
    for lease in leases:
        bench.ledger.heartbeat(lease, lease.bytes)
    bench.observe(10)
    bench.ask(5, priority=90)
    [first] = bench.revoked()
    bench.ledger.release(first)
    assert bench.revoked() == []
    bench.pass_time(10)
    assert bench.revoked() == [lease for lease in leases if lease is not first]


def test_places_are_told_when_they_change() -> None:
    bench = Bench(10)
    holder = bench.ask(10)
    bench.ask(5, priority=10)
    bench.ask(4, priority=20)
    moves = [event for event in bench.ledger.take_events() if isinstance(event, Moved)]
    assert [(move.requested, move.position, move.available) for move in moves] == [(5, 1, 0), (4, 1, 0), (5, 2, 0)]
    bench.ledger.heartbeat(holder, 1)
    assert bench.ledger.take_events() == []


SHAPES = st.lists(st.tuples(st.integers(1, 10), st.integers(0, 3)), max_size=7)


@given(SHAPES, st.integers(1, 40))
def test_the_cheapest_set_is_that_of_an_exhaustive_search(shapes: list[tuple[int, int]], need: int) -> None:
    bench = Bench(1000)
    held = [bench.ask(size, priority=priority, preemptible=True) for size, priority in shapes]
    chosen = victims(held, need, bench.ledger.book.worth)
    if sum(size for size, _ in shapes) < need:
        assert chosen is None
        return
    assert chosen is not None
    enough = [
        some
        for count in range(1, len(held) + 1)
        for some in itertools.combinations(held, count)
        if sum(claim.bytes for claim in some) >= need
    ]
    fewest = min((max(claim.ask.priority for claim in some), len(some)) for some in enough)
    assert len(set(map(id, chosen))) == len(chosen)
    assert sum(claim.bytes for claim in chosen) >= need
    assert (max(claim.ask.priority for claim in chosen), len(chosen)) == fewest
    assert all(sum(claim.bytes for claim in chosen) - claim.bytes < need for claim in chosen)


@given(st.lists(st.integers(1, 10), min_size=1, max_size=7), st.integers(1, 40))
def test_idle_ones_go_by_how_long_they_are_idle_and_none_needlessly(sizes: list[int], need: int) -> None:
    bench = Bench(1000)
    idle = [bench.ask(size, preemptible=True) for size in sizes]
    for claim in idle:
        bench.pass_time(1)
        bench.rest(claim)
    chosen = victims(idle, need, bench.ledger.book.worth)
    if sum(sizes) < need:
        assert chosen is None
        return
    assert chosen is not None
    freed = sum(claim.bytes for claim in chosen)
    assert freed >= need
    assert all(freed - claim.bytes < need for claim in chosen)
    last = max(idle.index(claim) for claim in chosen)
    assert sum(sizes[:last]) < need, "one that is idle for longer would have sufficed"


def test_room_is_made_on_the_card_whose_leases_are_worth_least() -> None:
    bench = Bench(10, 10)
    for size, priority, device in ((5, 10, "card-0"), (5, 40, "card-0"), (10, 20, "card-1")):
        bench.ask(size, priority=priority, preemptible=True, device_id=device)
    bench.ask(10, priority=60)
    assert [claim.card.device_id for claim in bench.revoked() if claim.card] == ["card-1"]
