"""The step cache: diffusers' own, with the bits that the plain pipeline gives with it, whoever else is there."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.hooks.first_block_cache import FirstBlockCacheConfig, apply_first_block_cache
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.engine.engine import Ticket
from imajin_servers.diffusion.models import loading, memory, registry
from imajin_servers.diffusion.models.speed import hasten
from imajin_servers.diffusion.orders import LoraWeight, Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, wrap
from imajin_servers.diffusion.pipelines.tokens import StepwiseTokens
from imajin_servers.diffusion.settings import EMBEDDED, DiffusionSettings, ModelEntry
from imajin_servers.runtime.errors import Cancelled, ModelNotFound

from .flows import MADE, Family
from .test_flow_edits import MASK
from .test_flow_edits import order as edit
from .test_flow_edits import plain as plainly_edited

# Random weights say other things at every step: only a threshold beyond use leaves some of them out.
THRESHOLD = 0.5
LISTS = ("transformer_blocks", "single_transformer_blocks", "layers")
DEEPER: dict[str, Any] = {
    "flux": {"num_layers": 2, "num_single_layers": 2},
    "flux distilled": {"num_layers": 2, "num_single_layers": 2},
    "flux2 klein": {"num_layers": 2, "num_single_layers": 2},
    "qwen-image": {"num_layers": 3},
    "z-image": {"n_layers": 3},
}
CACHED = ["flux", "flux distilled", "qwen-image"]


def pipeline(name: str) -> Any:
    """As `flows.made`, with blocks that can be left out."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pipe = MADE[name][0]()
    pipe.transformer = type(pipe.transformer).from_config({**pipe.transformer.config, **DEEPER[name]})
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return pipe


def made(name: str, **speed: Any) -> Family:
    return cut(name, pipeline(name), **speed)


def cut(name: str, pipe: Any, **speed: Any) -> Family:
    hasten(pipe, ModelEntry(name="tiny", source="", **speed))
    stepwise = wrap(pipe)
    assert isinstance(stepwise, StepwiseTokens)
    return Family(pipe, stepwise, MADE[name][1])


@pytest.fixture(scope="module", params=CACHED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def plain(name: str) -> Family:
    return made(name)


@pytest.fixture(scope="module")
def cached(name: str) -> Family:
    return made(name, step_cache=THRESHOLD)


def order(seed: int = 7, **changes: Any) -> Order:
    return replace(Order(registry.embedded(), "a red car", "", 40, 24, 8, 3.5, seed, 0, 50), **changes)


def told(family: Family) -> dict[str, Any]:
    """What diffusers' hooks keep between two passes."""
    assert isinstance(family.stepwise, StepwiseTokens)
    assert family.stepwise.cache is not None
    kept: dict[str, Any] = family.stepwise.cache.memories[0]._state_cache
    return kept


@contextmanager
def asked(transformer: Any) -> Iterator[Counter[int]]:
    """How often each block computes, within: its first norm is a part that no cache steps in for."""
    counts: Counter[int] = Counter()
    blocks = [block for kind in LISTS for block in getattr(transformer, kind, [])]
    marks = [
        next(block.children()).register_forward_pre_hook(lambda *_, at=at: counts.update([at]))
        for at, block in enumerate(blocks)
    ]
    try:
        yield counts
    finally:
        for mark in marks:
            mark.remove()


def tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from tensors(one)
    elif hasattr(value, "__dict__"):
        yield from tensors(vars(value))


def test_it_is_off_unless_it_is_asked_for(plain: Family) -> None:
    assert ModelEntry(name="tiny", source="").step_cache == 0
    assert not plain.pipe.transformer.is_cache_enabled
    with asked(plain.pipe.transformer) as counts:
        run = plain.alone(order())
    assert len(set(counts.values())) == 1
    assert not run.remembered
    assert plain.stepwise.kind(run) is not None


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_thresholds_that_mean_nothing_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="step_cache"):
        ModelEntry(name="tiny", source="", step_cache=value)


def test_a_threshold_that_nothing_stays_under_changes_no_bit(name: str, plain: Family) -> None:
    careful = made(name, step_cache=1e-9)
    with asked(careful.pipe.transformer) as counts:
        latents = careful.alone(order()).latents
    assert len(set(counts.values())) == 1
    assert torch.equal(latents, plain.alone(order()).latents)


@pytest.mark.parametrize("changes", [{}, {"guidance_scale": 1.0}])
def test_it_draws_what_the_plain_pipeline_draws_with_the_same_cache(
    name: str, plain: Family, cached: Family, changes: dict[str, Any]
) -> None:
    wish = order(**changes)
    with asked(cached.pipe.transformer) as counts:
        run = cached.alone(wish)
    bits = run.latents
    passes = wish.steps * (2 if cached.stepwise.guides(wish) else 1)
    assert counts[0] == passes
    assert {counts[at] for at in range(1, len(counts))} == {counts[1]}
    assert 0 < counts[1] < passes
    assert not torch.equal(bits, plain.alone(wish).latents)
    other = pipeline(name)
    other.set_progress_bar_config(disable=True)
    other.transformer.enable_cache(FirstBlockCacheConfig(threshold=THRESHOLD))
    with asked(other.transformer) as theirs:
        picture = replace(cached, pipe=other).plain(wish, "np")
    assert theirs == counts
    assert np.array_equal(cached.stepwise.decode(bits), (picture * 255).round().astype(np.uint8))


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole image", "masked"])
def test_edits_go_on_from_their_own_steps_too(mask: Image.Image | None) -> None:
    # Of the image pipelines that draw with these transformers diffusers tells the cache of this family's only.
    name = "qwen-image"
    family = made(name, step_cache=THRESHOLD)
    wish = edit(0.8, mask, steps=8)
    with asked(family.pipe.transformer) as counts:
        run = family.alone(wish)
    assert 0 < counts[1] < counts[0]
    other = replace(family, pipe=pipeline(name))
    other.pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=THRESHOLD))
    picture = plainly_edited(name, other, wish, mask)
    assert np.array_equal(family.stepwise.decode(run.latents), (picture * 255).round().astype(np.uint8))


async def test_a_server_draws_with_it(name: str, start: Any, tmp_path: Path) -> None:
    wish = order(width=64, height=64, steps=6)
    pipeline(name).save_pretrained(tmp_path)
    # Weights lie otherwise in a mapped file, and kernels follow.
    pipe = loading.load(ModelEntry(name="read", source=str(tmp_path)), tmp_path, torch.device("cpu"), lambda *_: None)
    read = cut(name, pipe, step_cache=THRESHOLD)
    entry = {"name": "quick", "source": str(tmp_path), "dtype": "float32", "step_cache": THRESHOLD}
    asking = {"prompt": wish.prompt, "width": 64, "height": 64, "steps": 6, "guidance_scale": wish.guidance_scale}
    async with start(models=[entry], embedded=False, moderation={"classifier": "off"}) as server:
        calls = [
            server.generate(**asking, seed=seed, format=image_pb2.IMAGE_FORMAT_RAW_RGB8, model="quick")
            for seed in range(1, 4)
        ]
        drawn = await asyncio.gather(*calls)
    for seed, heard in enumerate(drawn, start=1):
        picture = read.stepwise.decode(read.alone(replace(wish, seed=seed)).latents)
        assert np.array_equal(np.frombuffer(heard.data, np.uint8).reshape(picture.shape), picture), seed


@pytest.mark.parametrize("trouble", ["none", "pause", "cancel"])
def test_company_never_shows(cached: Family, trouble: str) -> None:
    # Each comes when the one before has made three steps, and goes before it.
    orders = [order(seed, priority=40 * seed, steps=9 - seed, prompt=f"{'a red ' * seed}car") for seed in range(4)]
    alone = [cached.alone(one).latents for one in orders]
    engine = Engine("test", cached.stepwise, max_batch=4, ageing=1.0)
    tickets: list[Ticket] = []
    trail: list[int] = []
    middle, further = threading.Event(), threading.Event()

    def submit(number: int) -> None:
        def stepped(run: Run) -> None:
            trail.append(number)
            if run.step == 3 and number + 1 < len(orders):
                submit(number + 1)
            elif run.step == 3:
                middle.set()
                assert further.wait(20)

        tickets.append(engine.submit(cached.begun(orders[number]), stepped))

    try:
        submit(0)
        assert middle.wait(20)
        pausing = threading.Thread(target=engine.pause)
        if trouble == "cancel":
            tickets[2].cancel()
        if trouble == "pause":
            pausing.start()
            with engine.wake:
                assert engine.wake.wait_for(lambda: engine.paused, 20)
        further.set()
        if trouble == "pause":
            pausing.join()
            assert [ticket.run.step for ticket in tickets] == [3] * 4
            assert all(ticket.run.remembered for ticket in tickets)
            engine.move(torch.device("cpu"))
            engine.resume()
        for number, (ticket, bits) in enumerate(zip(tickets, alone, strict=True)):
            if trouble == "cancel" and number == 2:
                with pytest.raises(Cancelled):
                    ticket.left.result(timeout=30)
            else:
                assert torch.equal(ticket.left.result(timeout=30).latents, bits), number
    finally:
        further.set()
        engine.close()
    assert trail[:12] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert len(trail) == sum(one.steps for one in orders) - (4 if trouble == "cancel" else 0)


def test_runs_of_one_shape_never_share_a_pass(cached: Family) -> None:
    widths: list[int] = []
    predict = cached.stepwise.predict

    def watched(runs: Any) -> Any:
        widths.append(len(runs))
        return predict(runs)

    orders = [order(seed) for seed in range(3)]
    alone = [cached.alone(one).latents for one in orders]
    cached.stepwise.predict = watched  # type: ignore[method-assign]
    engine = Engine("test", cached.stepwise, max_batch=4, ageing=1.0)
    try:
        engine.pause()
        tickets = [engine.submit(cached.begun(one), lambda run: None) for one in orders]
        engine.resume()
        for ticket, bits in zip(tickets, alone, strict=True):
            assert torch.equal(ticket.left.result(timeout=30).latents, bits)
    finally:
        engine.close()
        del cached.stepwise.predict
    assert widths == [1] * 24


def test_two_in_one_pass_would_decide_for_each_other(cached: Family) -> None:
    with pytest.raises(ValueError, match="unpack"):
        cached.stepwise.step([cached.begun(order(1)), cached.begun(order(2))])
    assert not told(cached)


def test_what_is_remembered_leaves_the_card_with_the_run(cached: Family) -> None:
    # What is heard goes with the run: no other test hears this prompt.
    run = cached.begun(order(prompt="the drawing of a house"))
    cached.stepwise.step([run])
    held = list(tensors(run.remembered))
    # Of each pass: what the first block said and added, what the others added, of words and of the picture.
    assert len(held) == 5 * (2 if cached.stepwise.guides(run.order) else 1)
    # A card that there is none of: nothing comes back from it, but all of it is seen to have gone there.
    run.move(torch.device("meta"))
    gone = list(tensors(run.remembered))
    assert len(gone) == len(held)
    assert {tensor.device.type for tensor in gone} == {"meta"}


def test_nothing_is_kept_of_runs_that_have_ended(cached: Family) -> None:
    done, left = cached.begun(order(1)), cached.begun(order(2))
    for run in (done, left):
        cached.stepwise.step([run])
        assert not told(cached), "between two steps the transformer knows of no run"
    watched = [weakref.ref(tensor) for run in (done, left) for tensor in tensors(run.remembered)]
    while not done.done:
        cached.stepwise.step([done])
    assert not done.remembered, "a picture is decoded without it"
    engine = Engine("test", cached.stepwise, max_batch=4, ageing=1.0)
    try:
        engine.pause()
        ticket = engine.submit(left, lambda run: None)
        ticket.cancel()
        with pytest.raises(Cancelled):
            ticket.left.result(timeout=30)
    finally:
        engine.close()
    del run, left, ticket
    gc.collect()
    assert watched
    assert not [one for one in watched if one() is not None]


def test_a_pass_that_fails_leaves_nothing_behind(cached: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = cached.begun(order(1)), cached.begun(order(2))
    undisturbed = cached.alone(order(1)).latents
    for run in (good, bad):
        cached.stepwise.step([run])
    with monkeypatch.context() as patch:

        def fails(*_: Any, **__: Any) -> None:
            raise torch.OutOfMemoryError("nothing is left")

        patch.setattr(cached.pipe.transformer.norm_out, "forward", fails)
        with pytest.raises(torch.OutOfMemoryError):
            cached.stepwise.step([bad])
    assert not told(cached)
    while not good.done:
        cached.stepwise.step([good])
    assert torch.equal(good.latents, undisturbed)


def test_beside_weights_in_8_bits(name: str, cached: Family) -> None:
    both = made(name, step_cache=THRESHOLD, fp8_weights=True)
    with asked(both.pipe.transformer) as counts:
        run = both.alone(order())
    assert 0 < counts[1] < counts[0]
    assert run.latents.isfinite().all()
    assert not torch.equal(run.latents, cached.alone(order()).latents)


def test_beside_adapters(tmp_path: Path) -> None:
    fresh, ink = pipeline("flux"), LoraWeight("ink")
    layers = LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    fresh.transformer.add_adapter(layers, "default")
    type(fresh).save_lora_weights(tmp_path, transformer_lora_layers=get_peft_model_state_dict(fresh.transformer))
    family = made("flux", step_cache=THRESHOLD)
    bare = family.alone(order()).latents
    family.stepwise.adapters.load([ink], {"ink": tmp_path / "pytorch_lora_weights.safetensors"}, 8)
    runs = [family.begun(order(loras=loras)) for loras in ((ink,), ())]
    with asked(family.pipe.transformer) as counts:
        while not runs[0].done:
            for run in runs:
                family.stepwise.step([run])
    assert 0 < counts[1] < counts[0]
    assert torch.equal(runs[1].latents, bare)
    other = pipeline("flux")
    other.load_lora_weights(tmp_path, adapter_name="ink")
    other.transformer.eval()
    other.transformer.enable_cache(FirstBlockCacheConfig(threshold=THRESHOLD))
    picture = replace(family, pipe=other).plain(order(), "np")
    assert np.array_equal(family.stepwise.decode(runs[0].latents), (picture * 255).round().astype(np.uint8))


def test_beside_fused_projections(cached: Family, name: str) -> None:
    both = made(name, step_cache=THRESHOLD, fuse_projections=True)
    assert torch.allclose(both.alone(order()).latents, cached.alone(order()).latents, atol=1e-4)


def test_the_lease_of_a_run_counts_what_it_remembers(plain: Family, cached: Family) -> None:
    without, with_it = (memory.denoiser_numbers(family.pipe.transformer, 128 * 128) for family in (plain, cached))
    assert with_it > without


@pytest.mark.parametrize("name", sorted(set(MADE) - set(CACHED)))
def test_those_that_are_refused_are_those_that_diffusers_cannot_do(name: str) -> None:
    pipe = pipeline(name)
    apply_first_block_cache(pipe.transformer, FirstBlockCacheConfig(threshold=THRESHOLD))
    stepwise = wrap(pipe)
    assert isinstance(stepwise, Stepwise)
    run: Run = Family(pipe, stepwise, MADE[name][1]).begun(order())
    with pytest.raises((TypeError, ValueError)):
        stepwise.step([run])


def test_models_that_have_no_such_cache_are_refused_at_the_start() -> None:
    unet = ModelEntry(name="unet", source=str(EMBEDDED), step_cache=0.1)
    with pytest.raises(ValueError, match=r"'unet' can't have step_cache: StableDiffusionPipeline has none"):
        registry.from_settings(DiffusionSettings(models=[unet]))
    with pytest.raises(ValueError, match="step_cache and compile_blocks exclude each other"):
        ModelEntry(name="both", source="", step_cache=0.1, compile_blocks=True)


@pytest.mark.parametrize("name", ["flux2 klein", "z-image"])
def test_models_from_afar_are_refused_before_their_weights_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = pipeline(name)
    (tmp_path / "model_index.json").write_text(f'{{"_class_name": "{type(pipe).__name__}"}}')
    entry = ModelEntry(name="far", source="somebody/far", step_cache=0.1)
    monkeypatch.setattr(loading.PIPELINE, "download", lambda *_, **__: str(tmp_path))
    registry.from_settings(DiffusionSettings(models=[entry]))
    with pytest.raises(ModelNotFound, match="'far' can't have step_cache"):
        loading.located(entry, torch.device("cpu"))
    assert loading.located(entry.model_copy(update={"step_cache": 0.0}), torch.device("cpu")) == (tmp_path, 0)
