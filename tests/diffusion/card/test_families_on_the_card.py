"""Every family on an emulated card: the CPU's bits, nothing left there while it is paused, and few moments in which the host waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from imajin_servers.diffusion import streams
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models import registry
from imajin_servers.diffusion.models.device import swept
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import wrap
from imajin_servers.diffusion.pipelines.run import Shown
from imajin_servers.diffusion.previews import Previewer
from imajin_servers.diffusion.sources import Source

from ..families.flows import MADE, Family, made
from .emulated import CARD, Memory

HOST = torch.device("cpu")


def orders() -> list[Order]:
    plain = Order(registry.embedded(), "a red car", "", 40, 24, 3, 3.5, 7, 0, 50)
    pixels = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)
    mask = np.zeros((24, 40), np.uint8)
    mask[:, :20] = 255
    source = Source(pixels, 0.7, mask)
    return [plain, replace(plain, seed=8), replace(plain, seed=9, preview_interval=1, source=source)]


def carded(name: str) -> Family:
    family = made(name)
    family.pipe.to("cuda")
    family.stepwise = wrap(family.pipe)  # type: ignore[assignment]
    return family


def drawn(family: Family, plan: Sequence[Order], memory: Memory) -> tuple[list[Any], int]:
    """Pictures of `plan`, drawn together, with two pauses before the first step and one after; bytes left in a pause at most."""
    left = []
    shown = Previewer(family.stepwise)
    engine = Engine("test", family.stepwise, max_batch=4, ageing=1.0)
    try:
        engine.pause()
        early = streams.dry(CARD, family.begun, plan[0])()
        tickets = [engine.submit(streams.dry(CARD, family.begun, order)(), lambda run: None) for order in plan]
        family.heard.clear()
        for _ in range(2):
            engine.move(HOST)
            swept(CARD)
            left.append(memory.reserved)
            engine.move(CARD)
        engine.resume()
        runs = [ticket.left.result(timeout=60) for ticket in tickets]
        assert runs[-1].clean is not None
        preview = Shown(runs[-1].clean, 3)
        family.stepwise.states.add(preview)
        shown.picture(preview.latents)
        # Now some wait to be decoded, one was never begun, and a preview is in the making.
        engine.pause()
        engine.move(HOST)
        swept(CARD)
        left.append(memory.reserved)
        assert {tensor.device for tensor in (early.latents, runs[0].latents, preview.latents)} == {HOST}
        engine.move(CARD)
        return [family.stepwise.decode(run.latents) for run in runs], max(left)
    finally:
        engine.close()


@pytest.mark.parametrize("name", MADE)
def test_a_family_has_the_same_bits_and_leaves_nothing_behind(name: str, memory: Memory) -> None:
    host = made(name)
    plan = orders()
    wanted = [host.stepwise.decode(host.alone(order).latents) for order in plan]
    family = carded(name)
    pictures, left = drawn(family, plan, memory)
    assert left == 0
    assert [np.array_equal(one, other) for one, other in zip(pictures, wanted, strict=True)] == [True] * len(plan)
    run = family.begun(plan[0])
    family.stepwise.step([run])
    memory.syncs.clear()
    family.stepwise.step([run])
    assert not memory.syncs
    torch.cuda.synchronize()
    del family, run
    swept(CARD)
    assert memory.reserved == 0
