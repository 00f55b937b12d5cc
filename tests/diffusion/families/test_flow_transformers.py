"""Flow transformers step by step: the bits of the plain pipeline, alone and in any company. Real architectures, random weights."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models import loading, registry
from imajin_servers.diffusion.models.memory import estimate
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import wrap
from imajin_servers.diffusion.previews import Previewer
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.runtime.errors import Cancelled

from .flows import MADE, Family, made


@pytest.fixture(scope="module", params=MADE)
def family(request: pytest.FixtureRequest) -> Family:
    return made(request.param)


def order(prompt: str = "a red car", seed: int = 7, **changes: Any) -> Order:
    plain = Order(registry.embedded(), prompt, "", 40, 24, 3, 3.5, seed, 0, 50)
    return replace(plain, **changes)


@pytest.mark.parametrize("changes", [{}, {"negative_prompt": "blurry cat"}, {"guidance_scale": 1.0}])
def test_alone_it_gives_the_bits_of_the_plain_pipeline(family: Family, changes: dict[str, Any]) -> None:
    wish = order(**changes)
    if isinstance(family.pipe, Flux2KleinPipeline) and wish.negative_prompt:
        pytest.skip("the plain pipeline takes no negative prompt")
    run = family.alone(wish)
    pixels = family.stepwise.decode(run.latents)
    plain = family.plain(wish, "np")
    assert plain.std() > 0.05
    assert np.array_equal(pixels, (plain * 255).round().astype(np.uint8))
    if not isinstance(family.pipe, Flux2KleinPipeline):
        # Its latents come out of the autoencoder's own scale.
        assert torch.equal(run.latents.flatten().sort()[0], family.plain(wish, "latent").flatten().sort()[0])


def test_a_negative_prompt_is_heard_where_the_run_is_guided_by_it(family: Family) -> None:
    one, other = (family.alone(order(negative_prompt=words)).latents for words in ("", "blurry cat"))
    assert torch.equal(one, other) != family.stepwise.guides(order())


def test_a_model_hears_as_much_of_a_prompt_as_it_was_trained_on(family: Family) -> None:
    entry = registry.embedded().model_copy(update={"prompt_tokens": 16})
    wish = order("a red car " * 12, model=entry)
    run = family.alone(wish)
    assert run.conditioning.embeddings.shape[1] <= 16
    plain = family.plain(wish, "np", max_sequence_length=16)
    assert np.array_equal(family.stepwise.decode(run.latents), (plain * 255).round().astype(np.uint8))


ORDERS = [
    order("a red car", 0),
    order("a cat", 1, steps=5, priority=90),
    order("a red tree", 2, guidance_scale=2.0, steps=2),
    order("a dog", 3, width=24, priority=10),
    order("the red house", 4, guidance_scale=1.0),
    order("a red fish", 5, negative_prompt="blurry", steps=4),
]
DEEDS = ["stay", "stay", "leave at once", "leave after a step", "pause before"]
plans = st.lists(st.tuples(st.sampled_from(range(len(ORDERS))), st.sampled_from(DEEDS)), min_size=2, max_size=7)


@cache
def alone(family: Family) -> list[torch.Tensor]:
    return [family.alone(one).latents for one in ORDERS]


@settings(max_examples=5, deadline=None)
@given(plan=plans)
def test_company_never_shows(family: Family, plan: list[tuple[int, str]]) -> None:
    finished = alone(family)
    engine = Engine("test", family.stepwise, max_batch=4, ageing=1.0)
    try:
        tickets = []
        for number, deed in plan:
            stepped = threading.Event()
            ticket = engine.submit(family.begun(ORDERS[number]), lambda run, stepped=stepped: stepped.set())
            if deed == "pause before":
                engine.pause()
                engine.move(torch.device("cpu"))
                engine.resume()
            elif deed == "leave after a step":
                stepped.wait(20)
            if deed.startswith("leave"):
                ticket.cancel()
            tickets.append((number, ticket, deed))
        for number, ticket, deed in tickets:
            try:
                run = ticket.left.result(timeout=30)
            except Cancelled:
                assert deed.startswith("leave")
                continue
            assert torch.equal(run.latents, finished[number])
    finally:
        engine.close()


def test_runs_of_one_shape_share_passes_with_the_same_bits(family: Family) -> None:
    runs = [family.begun(order("a red car", seed)) for seed in range(4)]
    assert len({family.stepwise.kind(run) for run in runs}) == 1
    same, together, apart = family.stepwise.probe(runs)
    assert same
    assert together > 0 < apart


def test_previews_show_where_the_run_is_going(family: Family) -> None:
    run = family.begun(order(preview_interval=1))
    previewer = Previewer(family.stepwise)
    guesses = []
    while not run.done:
        family.stepwise.step([run])
        assert run.clean is not None
        guesses.append(run.clean)
    assert torch.allclose(guesses[-1], run.latents, atol=1e-5)
    assert previewer.picture(guesses[0]).size[0] > previewer.picture(guesses[0]).size[1]


def test_the_room_that_a_run_takes_grows_with_its_size(family: Family) -> None:
    small, large = (estimate(family.pipe, side, side, 1) for side in (1024, 2048))
    assert large > 3 * small
    assert estimate(family.pipe, 1024, 1024, 2) >= small


def test_it_is_saved_loaded_and_its_size_is_known_before(family: Family, tmp_path: Path) -> None:
    family.pipe.save_pretrained(tmp_path)
    entry = ModelEntry(name="tiny", source=str(tmp_path), dtype="float32")
    parts = [part for part in family.pipe.components.values() if isinstance(part, torch.nn.Module)]
    bytes_there = sum(tensor.nbytes for part in parts for tensor in part.parameters())
    known = loading.known_weight_bytes(entry, torch.device("cpu"))
    assert known == pytest.approx(bytes_there, rel=0.2)
    heard: list[tuple[int, int]] = []
    loaded = loading.load(entry, tmp_path, torch.device("cpu"), lambda done, total: heard.append((done, total)))
    assert [heard[0], heard[-1]] == [(0, known), (known, known)]
    assert isinstance(wrap(loaded), type(family.stepwise))
