"""Flow transformers step by step: the bits of the plain pipeline, alone and in any company. Real architectures, random weights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
)

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models import loading, registry
from imajin_servers.diffusion.models.memory import estimate
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Conditioning, Run, Stepwise, wrap
from imajin_servers.diffusion.previews import Previewer
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.runtime.errors import Cancelled

WORDS = [
    "<pad>",
    "<unk>",
    "</s>",
    "<s>",
    "a",
    "red",
    "car",
    "cat",
    "tree",
    "dog",
    "house",
    "fish",
    "blurry",
    "drawing",
    "of",
    "the",
]
BLOCKS: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "latent_channels": 4,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
TEXT: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_attention_heads": 4,
    "bos_token_id": 3,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
QWEN: dict[str, Any] = {**TEXT, "num_key_value_heads": 2, "max_position_embeddings": 600}


def tokenizer() -> Any:
    """A word a token."""
    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>", "bos_token": "<s>"}
    made = PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=16, **marks)
    made.chat_template = "{% for message in messages %}{{ message['content'] }} a drawing of{% endfor %}"
    return made


def scheduler() -> Any:
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_image_seq_len=16, max_image_seq_len=64)


def autoencoder() -> Any:
    return AutoencoderKL(**BLOCKS, scaling_factor=0.36, shift_factor=0.11)


def flux(guidance_embeds: bool) -> Any:
    return FluxPipeline(
        scheduler=scheduler(),
        vae=autoencoder(),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT, num_hidden_layers=2, max_position_embeddings=16)),
        tokenizer=tokenizer(),
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=37, num_layers=2)),
        tokenizer_2=tokenizer(),
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=guidance_embeds,
            axes_dims_rope=(4, 4, 8),
        ),
    )


def klein() -> Any:
    return Flux2KleinPipeline(
        scheduler=scheduler(),
        vae=AutoencoderKLFlux2(**BLOCKS),
        # It takes the hidden states of layers 9, 18 and 27.
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**QWEN, num_hidden_layers=27, head_dim=8)),
        tokenizer=tokenizer(),
        transformer=Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=96,
            timestep_guidance_channels=32,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
    )


def qwen() -> Any:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    sees = {"depth": 1, "hidden_size": 32, "intermediate_size": 37, "num_heads": 2, "out_hidden_size": 32}
    text = {**QWEN, "num_hidden_layers": 2, "rope_parameters": rope}
    pipe = QwenImagePipeline(
        scheduler=scheduler(),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 2],
            num_res_blocks=1,
            temperal_downsample=[False],
            latents_mean=[0.1] * 4,
            latents_std=[1.5] * 4,
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration(
            Qwen2_5_VLConfig(text_config=text, vision_config=sees, bos_token_id=3, eos_token_id=2)
        ),
        tokenizer=tokenizer(),
        transformer=QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(4, 6, 6),
        ),
    )
    # As in the real one, five tokens follow the prompt.
    pipe.prompt_template_encode = "a drawing of {} the dog of a house"
    pipe.prompt_template_encode_start_idx = 3
    return pipe


def z_image() -> Any:
    return ZImagePipeline(
        scheduler=scheduler(),
        vae=autoencoder(),
        text_encoder=Qwen3ForCausalLM(Qwen3Config(**QWEN, num_hidden_layers=2, head_dim=8)).model,
        tokenizer=tokenizer(),
        transformer=ZImageTransformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=32,
            axes_dims=[8, 4, 4],
            axes_lens=[256, 32, 32],
        ),
    )


def true_guidance(order: Order) -> dict[str, Any]:
    return {"true_cfg_scale": order.guidance_scale, "negative_prompt": order.negative_prompt}


def embedded_guidance(order: Order) -> dict[str, Any]:
    return {"guidance_scale": order.guidance_scale}


def z_guidance(order: Order) -> dict[str, Any]:
    # It guides from 0 on; the contract's 1 and below are without.
    scale = order.guidance_scale if order.guided else 0.0
    return {"guidance_scale": scale, "negative_prompt": order.negative_prompt}


@dataclass
class Family:
    """A pipeline, the same taken apart, and how the pipeline wants to be told of guidance."""

    pipe: Any
    stepwise: Stepwise
    told: Callable[[Order], dict[str, Any]]
    heard: dict[Hashable, Conditioning] = field(default_factory=dict)

    @cached_property
    def finished(self) -> list[torch.Tensor]:
        """Latents of each of ORDERS, alone."""
        return [self.alone(one).latents for one in ORDERS]

    def plain(self, order: Order, output: str, **more: Any) -> Any:
        return self.pipe(
            prompt=order.prompt,
            width=order.width,
            height=order.height,
            num_inference_steps=order.steps,
            generator=torch.Generator("cpu").manual_seed(order.seed),
            output_type=output,
            **self.told(order),
            **more,
        ).images[0]

    def begun(self, order: Order) -> Run:
        words = order.prompt, order.negative_prompt, order.width, order.guided
        if words not in self.heard:
            self.heard[words] = self.stepwise.encode(order)
        # A run moves what it hears to where it is.
        return self.stepwise.start(order, replace(self.heard[words]))

    def alone(self, order: Order) -> Run:
        run = self.begun(order)
        while not run.done:
            self.stepwise.step([run])
        return run


MADE: dict[str, tuple[Callable[[], Any], Callable[[Order], dict[str, Any]]]] = {
    "flux": (lambda: flux(guidance_embeds=False), true_guidance),
    "flux distilled": (lambda: flux(guidance_embeds=True), embedded_guidance),
    "flux2 klein": (klein, embedded_guidance),
    "qwen-image": (qwen, true_guidance),
    "z-image": (z_image, z_guidance),
}


@pytest.fixture(scope="module", params=MADE)
def family(request: pytest.FixtureRequest) -> Family:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, told = MADE[request.param]
    pipe = make()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    stepwise = wrap(pipe)
    assert isinstance(stepwise, Stepwise)
    return Family(pipe, stepwise, told)


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


@settings(max_examples=5, deadline=None)
@given(plan=plans)
def test_company_never_shows(family: Family, plan: list[tuple[int, str]]) -> None:
    assert len(family.finished) == len(ORDERS)
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
            assert torch.equal(run.latents, family.finished[number])
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
