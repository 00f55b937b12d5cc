"""What is drawn with: real architectures with random weights, without text encoders. Embeddings are made up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from card.scale import Scale
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run, Stepwise
from imajin_servers.diffusion.pipelines.flux import StepwiseFlux
from imajin_servers.diffusion.pipelines.xl import StepwiseXL

BLOCKS: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "sample_size": 1024,
    "force_upcast": True,
}
TINY_BLOCKS = {**BLOCKS, "block_out_channels": [32, 32, 32, 32], "layers_per_block": 1, "sample_size": 256}
# The published configuration of SDXL base 1.0.
UNET: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "layers_per_block": 2,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
TINY_UNET = {
    **UNET,
    "attention_head_dim": [2, 4, 4],
    "block_out_channels": [32, 64, 64],
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 1, 2],
    "sample_size": 32,
}
XL_LATENTS: dict[str, Any] = {"latent_channels": 4, "scaling_factor": 0.13025}
# The published configuration of FLUX.1 dev.
TRANSFORMER: dict[str, Any] = {
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
TINY_TRANSFORMER = {
    **TRANSFORMER,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 4,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 32,
    "axes_dims_rope": (4, 4, 8),
}
FLUX_LATENTS: dict[str, Any] = {
    "latent_channels": 16,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
SHIFTED: dict[str, Any] = {"use_dynamic_shifting": True, "shift": 3.0, "base_shift": 0.5, "max_shift": 1.15}


class Subject(ABC):
    """A pipeline, the same taken apart, and made-up embeddings for both."""

    name: str
    guidance: float
    tokens: int
    pipe: Any
    stepwise: Stepwise

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        torch.manual_seed(0)
        # Not on the card, as pipelines that are loaded have it: diffusers reads its tables with numpy.
        scheduler = self.schedule()
        torch.set_default_dtype(scale.dtype)
        with torch.device(scale.device):
            self.build(scheduler)
        torch.set_default_dtype(torch.float32)
        for part in (self.denoiser, self.pipe.vae):
            part.eval().requires_grad_(False)
        self.pipe.set_progress_bar_config(disable=True)

    @abstractmethod
    def schedule(self) -> Any:
        """The model's own scheduler."""

    @abstractmethod
    def build(self, scheduler: Any) -> None:
        """Makes the pipeline and takes it apart."""

    @property
    def denoiser(self) -> Any:
        """What is run at each step."""
        return self.stepwise.denoiser

    def made(self, seed: int) -> Callable[..., torch.Tensor]:
        """Draws embeddings."""
        pick = torch.Generator("cpu").manual_seed(1000 + seed)
        return lambda *shape: torch.randn(*shape, generator=pick).to(self.scale.device, self.scale.dtype)

    @abstractmethod
    def embeddings(self, seed: int) -> dict[str, torch.Tensor]:
        """What text encoders would say, as the plain pipeline takes it."""

    @abstractmethod
    def begun(self, order: Order) -> Run:
        """A run before its first step."""

    def plain(self, order: Order, output: str) -> Any:
        """The plain pipeline's picture or latents."""
        return self.pipe(
            **self.embeddings(order.seed),
            width=order.width,
            height=order.height,
            num_inference_steps=order.steps,
            guidance_scale=order.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(order.seed),
            output_type=output,
        ).images[0]

    def latents(self, run: Run) -> torch.Tensor:
        """Those of `run`, as the plain pipeline gives them."""
        return run.latents[0]


class XL(Subject):
    """SDXL base 1.0: guided against a negative prompt."""

    name = "SDXL"
    guidance = 5.0
    tokens = 77

    def schedule(self) -> Any:
        """The model's own scheduler."""
        return EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        )

    def build(self, scheduler: Any) -> None:
        """Makes the pipeline and takes it apart."""
        self.pipe = StableDiffusionXLPipeline(
            vae=AutoencoderKL(**(TINY_BLOCKS if self.scale.tiny else BLOCKS), **XL_LATENTS),
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            unet=UNet2DConditionModel(**(TINY_UNET if self.scale.tiny else UNET)),
            scheduler=scheduler,
            add_watermarker=False,
        )
        self.xl = self.stepwise = StepwiseXL(self.pipe)

    def embeddings(self, seed: int) -> dict[str, torch.Tensor]:
        """What two text encoders would say."""
        made = self.made(seed)
        width = self.denoiser.config.cross_attention_dim
        pooled = self.denoiser.config.projection_class_embeddings_input_dim - 6 * 256
        return {
            "prompt_embeds": made(1, self.tokens, width),
            "negative_prompt_embeds": made(1, self.tokens, width),
            "pooled_prompt_embeds": made(1, pooled),
            "negative_pooled_prompt_embeds": made(1, pooled),
        }

    def begun(self, order: Order) -> Run:
        """A run before its first step."""
        said = self.embeddings(order.seed)
        conditioning = self.xl.conditioning(
            order,
            said["prompt_embeds"],
            said["negative_prompt_embeds"],
            said["pooled_prompt_embeds"],
            said["negative_pooled_prompt_embeds"],
        )
        return self.xl.start(order, conditioning)


class Flux(Subject):
    """FLUX.1 dev: it hears the guidance as a number, a step is one row."""

    name = "FLUX.1"
    guidance = 3.5
    tokens = 512

    def schedule(self) -> Any:
        """The model's own scheduler."""
        return FlowMatchEulerDiscreteScheduler(**SHIFTED)

    def build(self, scheduler: Any) -> None:
        """Makes the pipeline and takes it apart."""
        self.pipe = FluxPipeline(
            vae=AutoencoderKL(**(TINY_BLOCKS if self.scale.tiny else BLOCKS), **FLUX_LATENTS),
            text_encoder=None,
            text_encoder_2=None,
            tokenizer=None,
            tokenizer_2=None,
            transformer=FluxTransformer2DModel(**(TINY_TRANSFORMER if self.scale.tiny else TRANSFORMER)),
            scheduler=scheduler,
        )
        self.flux = self.stepwise = StepwiseFlux(self.pipe)

    def embeddings(self, seed: int) -> dict[str, torch.Tensor]:
        """What two text encoders would say."""
        made, known = self.made(seed), self.denoiser.config
        return {
            "prompt_embeds": made(1, self.tokens, known.joint_attention_dim),
            "pooled_prompt_embeds": made(1, known.pooled_projection_dim),
        }

    def begun(self, order: Order) -> Run:
        """A run before its first step."""
        said = self.embeddings(order.seed)
        places = torch.zeros(self.tokens, 3, device=self.scale.device, dtype=self.scale.dtype)
        conditioning = self.flux.conditioning(order, said["prompt_embeds"], said["pooled_prompt_embeds"], places)
        return self.flux.start(order, conditioning)

    def latents(self, run: Run) -> torch.Tensor:
        """Those of `run`, as the plain pipeline gives them: tokens."""
        return self.flux.packed(run.latents)[0]


SUBJECTS: dict[str, type[Subject]] = {"sdxl": XL, "flux": Flux}
