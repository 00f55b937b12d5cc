"""What drawing takes is measured and asked for the next time; a measurement that something else had a part in counts for nothing."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.diffusion.models.peaks import MARGIN, Alone, Peaks

MIB = 1024**2


class Card:
    """An allocator."""

    def __init__(self, allocated: int = 100) -> None:
        self.allocated = self.most = allocated

    def take(self, count: int) -> None:
        self.allocated += count
        self.most = max(self.most, self.allocated)

    def reset(self) -> int:
        self.most = self.allocated
        return self.allocated

    def peak(self) -> int:
        return self.most


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 16)), min_size=1))
def test_the_largest_peak_of_a_row_counts_over_what_was_there_before(passes: list[tuple[int, int]]) -> None:
    card = Card()
    peaks = Peaks(card, Alone())
    for each, rows in passes:
        with peaks.denoising(512, 512, rows):
            card.take(each * rows)
            card.take(-each * rows)
    assert peaks.need(512, 512, 2) is None
    with peaks.decoding(512, 512):
        card.take(7)
        card.take(-7)
    largest = max(each for each, _ in passes)
    assert peaks.need(512, 512, 2) == round(max(2 * largest, 7) * MARGIN)
    assert peaks.need(512, 768, 2) is None


@given(st.permutations(["enter a", "enter b", "leave a", "leave b"]))
def test_peaks_that_two_had_a_part_in_count_for_neither(moments: list[str]) -> None:
    order = list(moments)
    if order.index("enter a") > order.index("leave a") or order.index("enter b") > order.index("leave b"):
        return
    card, alone = Card(), Alone()
    # Two models on one card.
    peaks = {"a": Peaks(card, alone), "b": Peaks(card, alone)}
    open_now: dict[str, contextlib.ExitStack] = {}
    for moment in order:
        what, who = moment.split()
        if what == "enter":
            open_now[who] = contextlib.ExitStack()
            open_now[who].enter_context(peaks[who].decoding(64, 64))
            card.take(50)
        else:
            card.take(-50)
            open_now.pop(who).close()
    apart = order[0].split()[1] == order[1].split()[1]
    assert {who: dict(one.decode) for who, one in peaks.items()} == {
        who: {(64, 64): 50} if apart else {} for who in peaks
    }


def test_a_failed_pass_teaches_nothing_and_closes_its_window() -> None:
    card, alone = Card(), Alone()
    peaks = Peaks(card, alone)
    with contextlib.suppress(RuntimeError), peaks.decoding(64, 64):
        raise RuntimeError
    assert not peaks.decode
    with peaks.decoding(64, 64):
        card.take(1)
    assert peaks.decode


async def test_the_second_picture_leases_what_the_first_one_took(
    start: Any, card: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Steady(Card):
        """Says that everything takes 3 MiB."""

        def peak(self) -> int:
            return self.allocated + 3 * MIB

    monkeypatch.setattr("imajin_servers.diffusion.models.model.meter", lambda device: Steady())
    fields: dict[str, Any] = {"width": 64, "height": 64}
    async with card(1024 * MIB) as vram, start(vram=vram.address, lease="required") as server:
        asked = []
        for steps in (3, 150):
            call = server.stub.Generate(server.request(steps=steps, **fields))
            async for event in call:
                if event.progress.HasField("denoising"):
                    leases = await vram.until(lambda leases: len(leases) == 2)
                    asked.append({lease.holder: lease.bytes for lease in leases}["diffusion/embedded work"])
                    if steps == 150:
                        break
            call.cancel()
    assert asked[0] > 16 * MIB
    assert asked[-1] == round(3 * MIB * MARGIN)
