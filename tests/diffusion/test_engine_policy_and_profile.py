"""Who takes the next step, and in what company: pure, so held against rules over anything that may come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.diffusion.engine.policy import HURRY, Candidate, next_batch, ranked
from imajin_servers.diffusion.engine.profile import Profile

KINDS = ["small", "large", None]
candidates = st.lists(
    st.builds(
        Candidate,
        id=st.integers(0, 1000),
        kind=st.sampled_from(KINDS),
        priority=st.integers(0, 100),
        arrived=st.floats(0, 1000),
        remaining=st.floats(0, 1000),
        time_left=st.none() | st.floats(-10, 3000),
    ),
    max_size=12,
    unique_by=lambda candidate: candidate.id,
)


@given(candidates, st.integers(1, 8))
def test_a_batch_is_of_one_kind_within_the_cap_and_led_by_the_first_in_rank(some: list[Candidate], cap: int) -> None:
    batch = next_batch(some, 1.0, lambda kind, count: min(cap, count))
    if not some:
        assert batch == []
        return
    first = ranked(some, 1.0)[0]
    assert batch[0] == first
    assert len({candidate.id for candidate in batch}) == len(batch) <= cap
    assert all(candidate.kind == first.kind for candidate in batch)
    if first.kind is None:
        assert len(batch) == 1
    else:
        assert len(batch) == min(cap, sum(candidate.kind == first.kind for candidate in some))


@given(candidates)
def test_nobody_of_a_kind_is_left_out_for_somebody_behind(some: list[Candidate]) -> None:
    order = [candidate.id for candidate in ranked(some, 1.0)]
    batch = next_batch(some, 1.0, lambda kind, count: 2)
    for candidate in some:
        if batch and candidate.kind == batch[0].kind is not None and candidate not in batch:
            assert all(order.index(other.id) < order.index(candidate.id) for other in batch)


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 100), st.sampled_from(KINDS)), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_everybody_gets_done_while_others_keep_coming(jobs: list[tuple[int, int, str | None]], cap: int) -> None:
    """The oldest must end although a short, urgent rival arrives at every tick, in a hurry."""
    now, ageing = 0.0, 1.0
    left = {number: steps for number, (steps, _, _) in enumerate(jobs)}
    rivals: dict[int, tuple[float, int]] = {}
    # A rival beats a job by at most its priority, its hurry and the job's length; then the job is in front for good.
    limit = sum(left.values()) + (100 + HURRY + 31) * (1 + len(jobs))
    for tick in range(limit * 2):
        if not left:
            return
        now += 1.0
        rivals[1000 + tick] = (now, 1)
        some = [
            Candidate(number, jobs[number][2], jobs[number][1], 0.0, float(steps)) for number, steps in left.items()
        ] + [
            Candidate(number, "rival", 100, arrived, float(steps), steps + 0.5)
            for number, (arrived, steps) in rivals.items()
        ]
        for candidate in next_batch(some, ageing, lambda kind, count: min(cap, count)):
            if candidate.id in rivals:
                del rivals[candidate.id]
                continue
            left[candidate.id] -= 1
            if not left[candidate.id]:
                del left[candidate.id]
    raise AssertionError(f"left behind: {left}")


def test_equal_runs_go_one_after_the_other_and_a_short_one_slips_past_a_long_one() -> None:
    begun = Candidate(1, None, 50, arrived=0.0, remaining=1.0)
    fresh = Candidate(2, None, 50, arrived=0.5, remaining=2.0)
    assert next_batch([fresh, begun], 1.0, lambda kind, count: 1) == [begun]
    long = Candidate(3, None, 50, arrived=0.0, remaining=60.0)
    short = Candidate(4, None, 50, arrived=5.0, remaining=1.0)
    assert next_batch([long, short], 1.0, lambda kind, count: 1) == [short]


def test_a_point_of_priority_is_worth_so_many_seconds_of_waiting() -> None:
    early = Candidate(1, None, 50, arrived=0.0, remaining=1.0)
    for later, first in ((9.0, 2), (11.0, 1)):
        urgent = Candidate(2, None, 55, arrived=later, remaining=1.0)
        assert next_batch([early, urgent], 2.0, lambda kind, count: 1)[0].id == first


def test_who_would_be_late_goes_first_while_that_helps() -> None:
    def leader(time_left: float | None) -> int:
        waiting = Candidate(1, None, 50, arrived=0.0, remaining=10.0)
        late = Candidate(2, None, 50, arrived=5.0, remaining=10.0, time_left=time_left)
        return next_batch([waiting, late], 1.0, lambda kind, count: 1)[0].id

    assert leader(None) == 1
    assert leader(20.0) == 1, "there is time to wait for another of its length"
    assert leader(19.0) == 2
    assert leader(10.0) == 2
    assert leader(9.0) == 1, "it is late whatever is done for it"


def test_a_hurry_weighs_no_more_than_all_priorities() -> None:
    urgent = Candidate(1, None, 50, arrived=200.0, remaining=1.0, time_left=1.5)
    for arrived, first in ((0.0, 2), (150.0, 1)):
        other = Candidate(2, None, 50, arrived=arrived, remaining=1.0)
        assert next_batch([urgent, other], 1.0, lambda kind, count: 1)[0].id == first


passes = st.lists(
    st.tuples(st.sampled_from([1, 2, 4, 8]), st.floats(0.001, 1.0), st.booleans(), st.floats(0.001, 1.0)), max_size=60
)


@given(passes, st.integers(1, 12), st.integers(1, 8))
def test_a_batch_size_that_changed_bits_once_is_never_used_again(
    seen: list[tuple[int, float, bool, float]], count: int, largest: int
) -> None:
    profile = Profile(largest)
    broken = set()
    for size, together, exact, apart in seen:
        if size == 1:
            profile.stepped("kind", 1, apart)
        else:
            profile.probed("kind", size, exact, together, apart * size)
            broken |= set() if exact else {size}
    cap = profile.cap("kind", count)
    assert 1 <= cap <= min(count, largest)
    assert cap not in broken
    known = profile.of("kind")
    if cap > 1 and not known.unsettled(cap):
        assert known.sizes[cap].seconds < cap * known.least


def test_a_batch_that_is_slower_is_left_alone_and_tried_again_much_later() -> None:
    profile = Profile(4)
    for _ in range(2):
        for size in (4, 2):
            profile.probed("kind", size, True, together=1.2 * size, apart=1.0 * size)
    assert profile.cap("kind", 4) == 1
    for _ in range(1000):
        profile.stepped("kind", 1, 1.0)
    assert profile.cap("kind", 4) == 4
