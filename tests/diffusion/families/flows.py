"""Pipelines of the flow transformers in their real architectures, with small random weights, and the same taken apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

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

from imajin_servers.diffusion.drawing import recognised
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Conditioning, Run, Stepwise, wrap

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


@dataclass(eq=False)
class Family:
    """A pipeline, the same taken apart, and how the pipeline wants to be told of guidance."""

    pipe: Any
    stepwise: Stepwise
    told: Callable[[Order], dict[str, Any]]
    heard: dict[Hashable, Conditioning] = field(default_factory=dict)

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
        known = None if order.source is None else recognised(self.stepwise, order, order.source)
        # A run moves what it hears to where it is.
        return self.stepwise.start(order, replace(self.heard[words]), known)

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


def made(name: str) -> Family:
    """The family `name` of MADE, the same weights each time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, told = MADE[name]
    pipe = make()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    stepwise = wrap(pipe)
    assert isinstance(stepwise, Stepwise)
    return Family(pipe, stepwise, told)
