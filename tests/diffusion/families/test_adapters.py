"""Adapters per request: the plain pipeline's bits with them, a fresh pipeline's bits without, whoever else is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPAGPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.orders import LoraWeight, Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, Whole, wrap
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.runtime.errors import NotFound

# numpy's note on how the scheduler of these pipelines reads its tables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

BARE = Order(ModelEntry(name="tiny", source=""), "a cat", "a dog", 96, 64, 2, 4.0, 7, 0, 50)
INK, FUR = LoraWeight("ink"), LoraWeight("fur", -0.5)
TARGETS = {"unet": ["to_q", "to_v", "time_emb_proj"], "text_encoder": ["q_proj"], "text_encoder_2": ["q_proj"]}


def wish(*loras: LoraWeight, **changes: Any) -> Order:
    return replace(BARE, loras=loras, **changes)


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> Any:
    """A pipeline that has seen no adapter; of the XL family, whose text encoders take them too, unless a test says otherwise."""
    return request.getfixturevalue(getattr(request, "param", "stable_diffusion_xl"))


@pytest.fixture
def never(fresh: Any) -> torch.Tensor:
    """What the plain pipeline draws before it has seen any adapter."""
    return plain(fresh, BARE)


@pytest.fixture
def files(fresh: Any, never: torch.Tensor, tmp_path: Path) -> dict[str, Path]:
    """Adapters of random numbers, written as people write them."""
    parts = [part for part in TARGETS if hasattr(getattr(fresh, part, None), "add_adapter")]
    # The embedded model's text encoder is none that adapters of this family know.
    parts = [part for part in parts if part == "unet" or hasattr(fresh, "text_encoder_2")]
    made = {}
    for seed, (name, rank) in enumerate([("ink", 2), ("fur", 4), ("third", 2)]):
        torch.manual_seed(seed)
        layers = {}
        for part in parts:
            module = getattr(fresh, part)
            config = LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS[part], init_lora_weights=False)
            module.add_adapter(config, "default")
            layers[f"{part}_lora_layers"] = get_peft_model_state_dict(module)
            fresh.delete_adapters(["default"])
        type(fresh).save_lora_weights(tmp_path / name, **layers)
        made[name] = tmp_path / name / "pytorch_lora_weights.safetensors"
    return made


@pytest.fixture
def stepwise(fresh: Any, files: dict[str, Path], request: pytest.FixtureRequest) -> Stepwise:
    stepwise = wrap(fresh)
    assert isinstance(stepwise, Stepwise)
    return stepwise


def drawn(stepwise: Stepwise, order: Order) -> torch.Tensor:
    run = begun(stepwise, order)
    while not run.done:
        stepwise.step([run])
    return run.latents


def begun(stepwise: Stepwise, order: Order) -> Run:
    return stepwise.start(order, stepwise.encode(order))


def plain(pipe: Any, order: Order) -> torch.Tensor:
    """Latents of the pipeline's own call, with the adapters that it has active."""
    made: torch.Tensor = pipe(
        order.prompt,
        negative_prompt=order.negative_prompt,
        width=order.width,
        height=order.height,
        num_inference_steps=order.steps,
        guidance_scale=order.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(order.seed),
        output_type="latent",
    ).images
    return made


@pytest.mark.parametrize("fresh", ["stable_diffusion", "stable_diffusion_xl"], indirect=True)
def test_the_bits_are_those_of_the_plain_pipeline_with_them_and_without(
    fresh: Any, files: dict[str, Path], never: torch.Tensor, stepwise: Stepwise
) -> None:
    sets = [(), (INK,), (FUR, INK), (LoraWeight("ink", 0.3),)]
    stepwise.adapters.load([INK, FUR], files, 8)
    ours = [drawn(stepwise, wish(*loras)) for loras in (*sets, *sets)]
    for first, again in zip(ours[: len(sets)], ours[len(sets) :], strict=True):
        assert torch.equal(first, again)
    assert torch.equal(ours[0], never)
    stepwise.adapters.make_room(0)
    assert torch.equal(drawn(stepwise, wish()), never)
    for name, file in files.items():
        fresh.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name)
    for loras, bits in zip(sets, ours, strict=False):
        if loras:
            fresh.enable_lora()
            fresh.set_adapters([lora.name for lora in loras], [lora.weight for lora in loras])
        else:
            fresh.disable_lora()
        assert torch.equal(plain(fresh, BARE), bits), loras
    assert len({bits.numpy().tobytes() for bits in ours}) == len(sets)


def test_company_of_other_adapters_never_shows(stepwise: Stepwise, files: dict[str, Path]) -> None:
    stepwise.adapters.load([INK, FUR], files, 8)
    wishes = [
        wish(*loras, seed=seed, steps=steps)
        for seed, (loras, steps) in enumerate(
            [((), 3), ((INK,), 4), ((INK,), 2), ((INK, FUR), 3), ((), 2), ((INK,), 3)]
        )
    ]
    alone = [drawn(stepwise, one) for one in wishes]
    passes: list[set[tuple[LoraWeight, ...]]] = []
    predict = stepwise.predict

    def watched(runs: Any) -> Any:
        passes.append({run.order.loras for run in runs})
        return predict(runs)

    stepwise.predict = watched  # type: ignore[method-assign]
    engine = Engine("test", stepwise, max_batch=4, ageing=1.0)
    try:
        engine.pause()
        tickets = [engine.submit(begun(stepwise, one), lambda run: None) for one in wishes]
        engine.resume()
        for ticket, bits in zip(tickets, alone, strict=True):
            assert torch.equal(ticket.left.result(timeout=60).latents, bits)
    finally:
        engine.close()
    assert all(len(heard) == 1 for heard in passes)
    assert {loras for heard in passes for loras in heard} == {(), (INK,), (INK, FUR)}


def test_they_are_loaded_once_and_kept_within_the_bound(
    stepwise: Stepwise, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters = stepwise.adapters
    loads: list[str] = []
    load = adapters.pipe.load_lora_weights

    def counted(*args: Any, **options: Any) -> Any:
        loads.append(options["adapter_name"])
        return load(*args, **options)

    monkeypatch.setattr(adapters.pipe, "load_lora_weights", counted)
    third = LoraWeight("third")
    bare = drawn(stepwise, wish())
    inked = None
    for _ in range(2):
        adapters.load([INK], files, 2)
        inked = drawn(stepwise, wish(INK))
    adapters.load([FUR], files, 2)
    assert loads == ["ink", "fur"]
    adapters.load([INK], files, 2)
    adapters.load([third], files, 2)
    assert list(adapters.loaded) == ["ink", "third"], "the one that was unused for longest is taken out"
    with adapters.kept([INK, third]):
        adapters.load([FUR], files, 2)
        assert set(adapters.loaded) == {"ink", "third", "fur"}, "those in use stay"
    adapters.load([FUR], files, 1)
    adapters.load([INK], files, 1)
    assert list(adapters.loaded) == ["ink"]
    assert inked is not None
    assert torch.equal(drawn(stepwise, wish(INK)), inked)
    assert torch.equal(drawn(stepwise, wish()), bare)
    assert not adapters.wanted


@pytest.mark.parametrize("damage", ["other shapes", "other layers", "no tensors"])
def test_a_file_that_does_not_fit_leaves_nothing_behind(
    stepwise: Stepwise, files: dict[str, Path], tmp_path: Path, damage: str
) -> None:
    from safetensors.torch import load_file, save_file

    bare = drawn(stepwise, wish())
    broken = tmp_path / "broken.safetensors"
    tensors = load_file(files["ink"])
    if damage == "other shapes":
        save_file({name: torch.cat([one, one], dim=1) for name, one in tensors.items()}, broken)
    elif damage == "other layers":
        save_file(
            {name.replace("unet.", "prior.").replace("text_encoder", "reader"): one for name, one in tensors.items()},
            broken,
        )
    else:
        broken.write_bytes(b"not safetensors")
    with pytest.raises(NotFound, match="broken"):
        stepwise.adapters.load([LoraWeight("broken")], {"broken": broken}, 8)
    assert not stepwise.adapters.loaded
    assert not any(stepwise.pipe.get_list_adapters().values())
    assert torch.equal(drawn(stepwise, wish()), bare)
    stepwise.adapters.load([INK], files, 8)
    assert not torch.equal(drawn(stepwise, wish(INK)), bare)


@pytest.mark.parametrize("fresh", ["stable_diffusion"], indirect=True)
def test_a_pipeline_that_runs_whole_hears_them_too(fresh: Any, files: dict[str, Path]) -> None:
    whole = wrap(StableDiffusionPAGPipeline(**fresh.components, requires_safety_checker=False))
    assert isinstance(whole, Whole)
    bare = whole.draw(wish(), lambda step: None, lambda: None)
    whole.adapters.load([INK, FUR], files, 8)
    inked, furred = (whole.draw(wish(lora), lambda step: None, lambda: None) for lora in (INK, FUR))
    assert (whole.draw(wish(), lambda step: None, lambda: None) == bare).all()
    assert (inked != bare).any()
    assert (furred != inked).any()
