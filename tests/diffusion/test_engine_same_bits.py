"""Runs that come, go, overtake, share passes and are paused at random: whoever finishes has the bits that it has alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models import loading, registry
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, wrap
from imajin_servers.diffusion.pipelines.schedulers import chosen
from imajin_servers.runtime.errors import Cancelled, Draining

# numpy's note on how these schedulers of diffusers read their tables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

MODEL = registry.embedded()
ORDERS = [
    Order(MODEL, prompt, "blurry", width, 64, steps, guidance, seed, 0, priority)
    for seed, (prompt, width, steps, guidance, priority) in enumerate(
        [
            ("a red car", 96, 3, 5.0, 50),
            ("a cat", 96, 5, 2.0, 90),
            ("a tree", 96, 2, 7.5, 50),
            ("a dog", 64, 4, 5.0, 10),
            ("a house", 96, 3, 1.0, 50),
            ("a fish", 96, 4, 5.0, 50),
        ]
    )
]
ORDERS += [
    replace(ORDERS[number % 2], seed=len(ORDERS) + number, steps=2 + number % 2, scheduler=name)
    for number, name in enumerate(loading.known_schedulers(MODEL) or [])
]
plans = st.lists(
    st.tuples(
        st.sampled_from(range(len(ORDERS))),
        st.sampled_from(["stay", "stay", "leave at once", "leave after a step", "pause before", "wait before"]),
    ),
    min_size=1,
    max_size=7,
)


@pytest.fixture(scope="module")
def stepwise() -> Stepwise:
    torch.set_num_threads(1)
    pipe = loading.load(MODEL, loading.directory(MODEL), torch.device("cpu"), lambda loaded, total: None)
    wrapped = wrap(pipe)
    assert isinstance(wrapped, Stepwise)
    return wrapped


@pytest.fixture
def engine(stepwise: Stepwise) -> Iterator[Engine]:
    engine = Engine("test", stepwise, max_batch=4, ageing=1.0)
    yield engine
    engine.close()


def begun(stepwise: Stepwise, order: Order) -> Run:
    return stepwise.start(order, stepwise.encode(order))


@pytest.fixture(scope="module")
def alone(stepwise: Stepwise) -> list[torch.Tensor]:
    """The latents of each order by itself; made before any engine has a thread on the same parts."""
    latents = []
    for order in ORDERS:
        run = begun(stepwise, order)
        while not run.done:
            stepwise.step([run])
        latents.append(run.latents)
    return latents


@pytest.mark.parametrize("number", range(len(ORDERS)))
def test_alone_it_is_what_the_plain_pipeline_draws(stepwise: Stepwise, alone: list[torch.Tensor], number: int) -> None:
    wish, pipe = ORDERS[number], stepwise.pipe
    pipe.scheduler = chosen(stepwise.template, wish.scheduler)
    try:
        made = pipe(
            wish.prompt,
            negative_prompt=wish.negative_prompt,
            width=wish.width,
            height=wish.height,
            num_inference_steps=wish.steps,
            guidance_scale=wish.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(wish.seed),
            output_type="latent",
        )
    finally:
        pipe.scheduler = stepwise.template
    assert torch.equal(made.images, alone[number])


@pytest.mark.parametrize(("guidance", "rows"), [(5.0, 2), (1.01, 2), (1.0, 1), (0.5, 1), (0.0, 1)])
def test_without_guidance_a_pass_has_one_row(
    stepwise: Stepwise, monkeypatch: pytest.MonkeyPatch, guidance: float, rows: int
) -> None:
    passes: list[int] = []
    texts: list[int] = []
    denoise, listen = stepwise.denoiser.forward, stepwise.pipe.text_encoder.forward

    def counted(sample: torch.Tensor, *args: Any, **options: Any) -> Any:
        passes.append(len(sample))
        return denoise(sample, *args, **options)

    def heard(*args: Any, **options: Any) -> Any:
        texts.append(1)
        return listen(*args, **options)

    monkeypatch.setattr(stepwise.denoiser, "forward", counted)
    monkeypatch.setattr(stepwise.pipe.text_encoder, "forward", heard)
    run = begun(stepwise, replace(ORDERS[0], steps=2, guidance_scale=guidance))
    while not run.done:
        stepwise.step([run])
    assert passes == [rows] * 2
    # The prompt, and the negative one where it is heard: once a request, not once a step.
    assert len(texts) == rows


def test_the_negative_prompt_is_heard(stepwise: Stepwise, alone: list[torch.Tensor]) -> None:
    def drawn(negative: str, guidance: float) -> torch.Tensor:
        run = begun(stepwise, replace(ORDERS[0], negative_prompt=negative, guidance_scale=guidance))
        while not run.done:
            stepwise.step([run])
        return run.latents

    assert torch.equal(drawn("blurry", 5.0), alone[0])
    assert not torch.equal(drawn("a red car", 5.0), alone[0])
    assert torch.equal(drawn("blurry", 1.0), drawn("a red car", 1.0))


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans)
def test_company_never_shows(stepwise: Stepwise, alone: list[torch.Tensor], plan: list[tuple[int, str]]) -> None:
    engine = Engine("test", stepwise, max_batch=4, ageing=1.0)
    try:
        tickets = []
        for number, deed in plan:
            stepped = threading.Event()
            ticket = engine.submit(begun(stepwise, ORDERS[number]), lambda run, stepped=stepped: stepped.set())
            if deed == "pause before":
                engine.pause()
                engine.move(torch.device("cpu"))
                engine.resume()
            elif deed == "wait before":
                stepped.wait(20)
            elif deed == "leave after a step":
                stepped.wait(20)
                ticket.cancel()
            elif deed == "leave at once":
                ticket.cancel()
            tickets.append((number, ticket, deed))
        for number, ticket, deed in tickets:
            try:
                run = ticket.left.result(timeout=30)
            except Cancelled:
                assert deed.startswith("leave")
                continue
            assert torch.equal(run.latents, alone[number])
    finally:
        engine.close()


@pytest.mark.parametrize("count", [2, 4])
def test_whole_runs_in_shared_passes_have_the_bits_that_they_have_alone(stepwise: Stepwise, count: int) -> None:
    # Of other lengths, so that passes shrink to sizes in between; whether the engine finds a size worth it depends on time, this doesn't.
    wishes = [replace(ORDERS[0], seed=seed, steps=3 + seed % 2, guidance_scale=2.0 + seed) for seed in range(count)]
    apart = [begun(stepwise, wish) for wish in wishes]
    for run in apart:
        while not run.done:
            stepwise.step([run])
    together = [begun(stepwise, wish) for wish in wishes]
    if not stepwise.probe([begun(stepwise, wish) for wish in wishes])[0]:
        pytest.skip(f"kernels of this machine give other bits to {count} at a time")
    while left := [run for run in together if not run.done]:
        stepwise.step(left)
    for one, other in zip(apart, together, strict=True):
        assert torch.equal(one.latents, other.latents)


def test_cancel_at_a_step_ends_by_the_next(stepwise: Stepwise, engine: Engine) -> None:
    heard: list[int] = []
    box: list[Any] = []
    ready = threading.Event()

    def on_step(run: Run) -> None:
        ready.wait(20)
        heard.append(run.step)
        if run.step == 2:
            box[0].cancel()

    box.append(engine.submit(begun(stepwise, replace(ORDERS[0], steps=50)), on_step))
    ready.set()
    with pytest.raises(Cancelled):
        box[0].left.result(timeout=30)
    assert heard == [1, 2]


def test_an_error_in_a_shared_pass_ends_only_its_own_run(
    stepwise: Stepwise, engine: Engine, alone: list[torch.Tensor]
) -> None:
    engine.pause()
    broken = begun(stepwise, ORDERS[0])
    broken.timesteps = broken.timesteps[:1]
    broken.scheduler.alphas_cumprod = None
    tickets = [
        engine.submit(run, lambda run: None) for run in (broken, begun(stepwise, ORDERS[1]), begun(stepwise, ORDERS[5]))
    ]
    engine.resume()
    with pytest.raises(TypeError):
        tickets[0].left.result(timeout=30)
    assert torch.equal(tickets[1].left.result(timeout=30).latents, alone[1])
    assert torch.equal(tickets[2].left.result(timeout=30).latents, alone[5])


def test_what_a_listener_raises_ends_its_run(stepwise: Stepwise, engine: Engine, alone: list[torch.Tensor]) -> None:
    def deaf(run: Run) -> None:
        raise RuntimeError("nobody listens")

    failing = engine.submit(begun(stepwise, ORDERS[0]), deaf)
    fine = engine.submit(begun(stepwise, ORDERS[1]), lambda run: None)
    with pytest.raises(RuntimeError, match="nobody listens"):
        failing.left.result(timeout=30)
    assert torch.equal(fine.left.result(timeout=30).latents, alone[1])


def test_closing_ends_every_run(stepwise: Stepwise) -> None:
    engine = Engine("test", stepwise, max_batch=4, ageing=1.0)
    engine.pause()
    ticket = engine.submit(begun(stepwise, ORDERS[0]), lambda run: None)
    engine.close()
    with pytest.raises((Draining, CancelledError)):
        ticket.left.result(timeout=30)
    with pytest.raises(Draining):
        engine.submit(begun(stepwise, ORDERS[0]), lambda run: None)
