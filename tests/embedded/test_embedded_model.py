"""The shipped weights behave like any Stable Diffusion pipeline: shapes, schedulers, img2img, LoRA,
negative prompts, seeds, size; and they draw what they are asked for.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import measure

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore")

MODEL = Path(__file__).resolve().parents[2] / "servers" / "imajin_servers" / "diffusion" / "embedded"
STEPS = 4


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """The model, loaded as anyone would."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = diffusers.DiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    yield loaded
    torch.set_num_threads(threads)


def draw(pipeline: Any, prompt: str = "a red apple", seed: int = 1, **options: Any) -> np.ndarray:
    """One picture (H, W, 3) uint8."""
    generator = torch.Generator().manual_seed(seed)
    settings = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "width": 256, "height": 256, **options}
    return np.asarray(pipeline(prompt, generator=generator, **settings).images[0])


def test_is_a_plain_stable_diffusion_pipeline(pipeline: Any) -> None:
    assert type(pipeline).__name__ == "StableDiffusionPipeline"
    assert pipeline.scheduler.config.prediction_type == "v_prediction"


def test_fits_in_the_repository() -> None:
    assert sum(f.stat().st_size for f in MODEL.rglob("*") if f.is_file()) <= 64 * 2**20


def test_vocabulary_names_what_it_draws() -> None:
    vocabulary = json.loads((MODEL / "vocabulary.json").read_text())
    names = {name for group in vocabulary["concepts"].values() for name in group}
    assert len(names) >= 120
    assert {"panda", "watermelon", "woman", "cat"} <= names
    assert "kitten" in vocabulary["synonyms"]["cat"]


@pytest.mark.parametrize(("width", "height"), [(256, 256), (320, 192), (192, 320)])
def test_draws_each_aspect(pipeline: Any, width: int, height: int) -> None:
    assert draw(pipeline, width=width, height=height).shape == (height, width, 3)


def proportions(picture: np.ndarray) -> float:
    """Width to height of the one coloured thing in the picture; fails where there are several, or it is cut off."""
    bright = picture.astype(int)
    pieces = measure.regionprops(measure.label(bright.max(2) - bright.min(2) > 90))
    largest = max(pieces, key=lambda piece: piece.area)
    # Specks are a soft drawing's; a second thing is as large as the first.
    assert [piece for piece in pieces if piece.area > largest.area / 10] == [largest]
    top, left, bottom, right = largest.bbox
    assert min(top, left) > 0
    assert (bottom, right) < picture.shape[:2]
    return (right - left) / (bottom - top)


@pytest.mark.parametrize("thing", ["a red balloon", "a red car"])
def test_no_aspect_doubles_or_stretches_the_subject(pipeline: Any, thing: str) -> None:
    square, wide, high = (
        proportions(draw(pipeline, f"{thing} on a white background", num_inference_steps=8, width=width, height=height))
        for width, height in [(256, 256), (320, 192), (192, 320)]
    )
    # Pulled along with the picture it would be wider by two thirds, or higher.
    assert wide == pytest.approx(square, rel=0.15)
    assert high == pytest.approx(square, rel=0.15)


COLOURS = {"red": (222, 52, 48), "yellow": (252, 214, 62), "green": (62, 172, 84), "blue": (48, 112, 226)}


def nearest(pixels: np.ndarray) -> str:
    """The colour of most of the pixels (..., 3) that aren't near white."""
    flat = pixels.reshape(-1, 3).astype(int)
    coloured = flat[flat.min(1) < 190]
    distances = np.stack([np.abs(coloured - rgb).sum(1) for rgb in COLOURS.values()])
    return list(COLOURS)[np.bincount(distances.argmin(0), minlength=len(COLOURS)).argmax()]


@pytest.mark.parametrize("colour", COLOURS)
def test_things_have_the_colour_that_is_asked_for(pipeline: Any, colour: str) -> None:
    picture = draw(pipeline, f"a {colour} balloon on a white background", num_inference_steps=12)
    assert nearest(picture[32:160]) == colour
    assert picture[:16, :16].min() > 190


@pytest.mark.parametrize("colour", COLOURS)
def test_backgrounds_have_the_colour_that_is_asked_for(pipeline: Any, colour: str) -> None:
    picture = draw(pipeline, f"a panda on a {colour} background", num_inference_steps=12)
    assert nearest(np.stack([picture[:16, :16], picture[:16, -16:]])) == colour


def test_two_things_stand_side_by_side(pipeline: Any) -> None:
    picture = draw(pipeline, "a red apple and a tree", num_inference_steps=12, width=320, height=192)
    assert (nearest(picture[:, :150]), nearest(picture[:, 170:])) == ("red", "green")


def test_same_seed_same_bits(pipeline: Any) -> None:
    assert np.array_equal(draw(pipeline, seed=5), draw(pipeline, seed=5))
    assert not np.array_equal(draw(pipeline, seed=5), draw(pipeline, seed=6))


def redness(picture: np.ndarray) -> float:
    """The share of the picture that is red."""
    bright = picture.astype(int)
    return float((bright[..., 0] - bright[..., 1:].max(2) > 60).mean())


@pytest.mark.parametrize("seed", [1, 3])
def test_there_is_less_of_what_the_negative_prompt_names(pipeline: Any, seed: int) -> None:
    wish = {"prompt": "an apple on a white background", "seed": seed, "num_inference_steps": 8}
    assert redness(draw(pipeline, **wish, negative_prompt="red")) < 0.92 * redness(draw(pipeline, **wish))


@pytest.mark.parametrize(
    "name",
    ["DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"],
)
def test_other_schedulers(pipeline: Any, name: str) -> None:
    scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config)
    other = diffusers.StableDiffusionPipeline(
        **{**pipeline.components, "scheduler": scheduler}, requires_safety_checker=False
    )
    other.set_progress_bar_config(disable=True)
    assert [
        nearest(draw(other, f"a {colour} balloon on a white background")[32:160]) for colour in ("red", "blue")
    ] == ["red", "blue"]


def test_image_to_image_keeps_more_at_low_strength(pipeline: Any) -> None:
    start = draw(pipeline, "a castle", num_inference_steps=8)
    img2img = diffusers.StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    img2img.set_progress_bar_config(disable=True)
    distance = {}
    for strength in (0.25, 0.9):
        generator = torch.Generator().manual_seed(2)
        result = img2img(
            "a green apple",
            image=Image.fromarray(start),
            strength=strength,
            num_inference_steps=16,
            guidance_scale=2.0,
            generator=generator,
        )
        distance[strength] = np.abs(np.asarray(result.images[0]).astype(int) - start).mean()
    assert distance[0.25] < 0.9 * distance[0.9]


def test_inpainting_by_blending_at_each_step(pipeline: Any) -> None:
    """The stock inpaint pipeline insists on 4 latent channels; blending what to keep into each step needs no
    other pipeline.
    """
    start = draw(pipeline, "a red apple", num_inference_steps=8)
    pixels = torch.from_numpy(start.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        kept = pipeline.vae.encode(pixels).latents
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1  # repaint the right half

    def blend(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        later = pipe.scheduler.timesteps[step + 1 : step + 2]
        noise = torch.randn(kept.shape, generator=torch.Generator().manual_seed(step))
        known = pipe.scheduler.add_noise(kept, noise, later) if len(later) else kept
        return {"latents": known * (1 - mask) + values["latents"] * mask}

    picture = draw(pipeline, "a blue background", num_inference_steps=8, callback_on_step_end=blend).astype(int)
    change = np.abs(picture - start).mean(2)
    # What stays has been through the autoencoder once.
    assert change[:, :112].mean() < 15
    assert change[:, 144:].mean() > 40


def test_lora_loads_and_changes_the_picture(pipeline: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    before = draw(pipeline)
    config = peft.LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights=False)
    pipeline.unet.add_adapter(config)
    layers = diffusers.utils.convert_state_dict_to_diffusers(peft.get_peft_model_state_dict(pipeline.unet))
    pipeline.unet.delete_adapters("default")
    diffusers.StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=layers)
    pipeline.load_lora_weights(tmp_path)
    try:
        assert not np.array_equal(before, draw(pipeline))
    finally:
        pipeline.unload_lora_weights()
    assert np.array_equal(before, draw(pipeline))
