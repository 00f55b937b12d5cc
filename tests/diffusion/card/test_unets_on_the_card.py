"""UNets on an emulated card: schedulers, adapters, and passes that find no memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from imajin_servers.diffusion import streams
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, wrap
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.runtime.errors import Cancelled

from ..families import conftest as families
from .emulated import CARD, Memory

# numpy's notes on how schedulers read their tables.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept"),
]
stable_diffusion_xl = families.stable_diffusion_xl
HOST = torch.device("cpu")
ORDER = Order(ModelEntry(name="tiny", source=""), "a cat", "a dog", 96, 64, 4, 4.0, 7, 0, 50)


def begun(stepwise: Stepwise, order: Order) -> Run:
    start = streams.dry(stepwise.device, lambda: stepwise.start(order, stepwise.encode(order)))
    return start()


@pytest.fixture
def engine(stable_diffusion_xl: Any, memory: Memory) -> Iterator[Engine]:
    """Of a small XL on the card, batches of four at most."""
    stepwise = wrap(stable_diffusion_xl.to("cuda"))
    assert isinstance(stepwise, Stepwise)
    engine = Engine("test", stepwise, max_batch=4, ageing=1.0)
    yield engine
    engine.close()


def paused_in_the_middle(engine: Engine, order: Order, memory: Memory) -> torch.Tensor:
    """The latents of `order`, after a pause before its first step and one before the third, with nothing left on the card."""
    run = begun(engine.stepwise, order)
    for stop in (2, run.steps):
        engine.pause()
        engine.move(HOST)
        memory.empty()
        assert memory.reserved == 0
        engine.move(CARD)
        engine.resume()

        # A run that has left goes on where it stopped.
        def leaving(run: Run, stop: int = stop) -> None:
            if run.step == stop:
                raise Cancelled("enough")

        engine.submit(run, leaving).left.exception(timeout=60)
    return run.latents.cpu()


def test_schedulers_have_the_same_bits_across_pauses(stable_diffusion_xl: Any, memory: Memory) -> None:
    host = wrap(stable_diffusion_xl)
    assert isinstance(host, Stepwise)
    names = ["", *host.schedulers]
    wanted = {}
    for name in names:
        run = begun(host, replace(ORDER, scheduler=name))
        while not run.done:
            host.step([run])
        wanted[name] = run.latents
    stepwise = wrap(stable_diffusion_xl.to("cuda"))
    assert isinstance(stepwise, Stepwise)
    engine = Engine("test", stepwise, max_batch=1, ageing=1.0)
    try:
        found = {name: paused_in_the_middle(engine, replace(ORDER, scheduler=name), memory) for name in names}
    finally:
        engine.close()
    assert [name for name in names if not torch.equal(found[name], wanted[name])] == []


def test_a_batch_that_finds_no_memory_is_drawn_one_by_one(engine: Engine, memory: Memory) -> None:
    orders = [replace(ORDER, seed=seed) for seed in range(2)]
    alone = [engine.submit(begun(engine.stepwise, order), lambda run: None).left.result(60) for order in orders]
    wanted = [run.latents.cpu() for run in alone]
    del alone
    runs = [begun(engine.stepwise, order) for order in orders]
    before = memory.allocated
    memory.reset_peak()
    # Room for what one of them takes, and not for two: what a failed pass holds would be in the way of the next.
    engine.stepwise.step([begun(engine.stepwise, ORDER)])
    torch.cuda.synchronize()
    memory.capacity = memory.peak + (memory.peak - before) // 4
    memory.empty()
    engine.pause()
    tickets = [engine.submit(run, lambda run: None) for run in runs]
    del runs
    engine.resume()
    found = [ticket.left.result(60).latents.cpu() for ticket in tickets]
    assert memory.refused
    assert [torch.equal(one, other) for one, other in zip(found, wanted, strict=True)] == [True, True]
    # Once is enough to know.
    refused = memory.refused
    del tickets
    engine.pause()
    again = [engine.submit(begun(engine.stepwise, order), lambda run: None) for order in orders]
    engine.resume()
    for ticket in again:
        ticket.left.result(60)
    assert memory.refused == refused


def test_a_run_that_finds_no_memory_leaves_nothing(engine: Engine, memory: Memory) -> None:
    weights = memory.allocated
    run = begun(engine.stepwise, ORDER)
    begins = threading.Event()
    memory.refuse = lambda wanted: begins.is_set()
    error = engine.submit(run, lambda run: begins.set()).left.exception(60)
    memory.refuse = lambda wanted: False
    assert isinstance(error, torch.OutOfMemoryError)
    assert run.step == 1
    engine.close()
    del run
    # The error is still at hand, and holds none of it.
    assert memory.allocated == weights
