"""Pipelines of every family with small random weights: what they draw is nothing, but it is drawn by the same code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    AutoTokenizer,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from imajin_servers.diffusion.models.loading import hush
from imajin_servers.diffusion.settings import EMBEDDED


def scheduler() -> Any:
    """The one of Stable Diffusion 1.5 and XL."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )


def autoencoder() -> Any:
    """Four latent channels, a latent for eight pixels."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
    ).eval()


def unet(**options: Any) -> Any:
    """Four channels in and out."""
    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "block_out_channels": (16, 32),
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "layers_per_block": 1,
            "attention_head_dim": 8,
            "norm_num_groups": 8,
            "cross_attention_dim": 384,
            **options,
        }
    ).eval()


@pytest.fixture
def stable_diffusion() -> Any:
    """The 1.x and 2.x family, with the embedded model's text encoder."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    hush()
    return StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=BertModel.from_pretrained(EMBEDDED / "text_encoder", dtype=torch.float32).eval(),
        tokenizer=AutoTokenizer.from_pretrained(EMBEDDED / "tokenizer"),
        unet=unet(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture
def stable_diffusion_xl() -> Any:
    """The XL family, with text encoders that know letters."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    tokenizer = CLIPTokenizer({word: number for number, word in enumerate(words)}, [], model_max_length=77)
    shape = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=3,
        projection_dim=32,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    denoiser = unet(
        cross_attention_dim=64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=CLIPTextModel(shape).eval(),
        text_encoder_2=CLIPTextModelWithProjection(shape).eval(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=denoiser,
        scheduler=scheduler(),
        add_watermarker=False,
    )
