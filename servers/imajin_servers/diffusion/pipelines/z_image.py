"""Z-Image: prompt and negative prompt in one pass, each as long as it is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.flow import StepwiseFlow
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.stepwise import joined
from imajin_servers.diffusion.sources import Pixels

BLOCK = 32
"""Tokens that the transformer pads a prompt to a multiple of."""


class StepwiseZImage(StepwiseFlow):
    """Z-Image, base and turbo."""

    vectors = ("t_embedder", "adaLN_modulation")
    lays_out = False

    def move(self, device: torch.device) -> None:
        """See Autoencoding; the tables of the transformer's rotary embedding, which are no parameters of it, go too."""
        super().move(device)
        rope = self.denoiser.rope_embedder
        if rope.freqs_cis is not None:
            rope.freqs_cis = [table.to(self.device) for table in rope.freqs_cis]

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return int(self.denoiser.config.in_channels)

    def noise_dtype(self, conditioning: Conditioning) -> torch.dtype:
        """The latents stay exact between the steps."""
        return torch.float32

    def levels(self, steps: int) -> Sequence[float]:
        """Noise levels of the steps, before the shift: in float32, unlike those of the others."""
        levels: list[float] = torch.linspace(1.0, 1 / steps, steps).tolist()
        return levels

    def hear(self, order: Order, prompt: str) -> Conditioning:
        """The prompt through the language model."""
        embeddings, _ = self.pipe.encode_prompt(
            prompt,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=order.model.prompt_tokens,
        )
        return Conditioning(embeddings[0].unsqueeze(0))

    def shape(self, run: Run) -> Hashable:
        """What the cost of a step depends on; prompts that are padded to the same length are of one shape."""
        heard = [run.conditioning, run.conditioning.negative]
        return tuple(run.latents.shape), *[-(-one.embeddings.shape[1] // BLOCK) for one in heard if one is not None]

    def predict(self, runs: Sequence[Run]) -> list[torch.Tensor]:
        """What the transformer says of each run's latents, the negative row first."""
        inputs: list[torch.Tensor] = []
        heard: list[torch.Tensor] = []
        times, counts = [], []
        for run in runs:
            both = [one for one in (run.conditioning, run.conditioning.negative) if one is not None]
            rows = torch.cat([run.latents.to(self.dtype)] * len(both))
            inputs.extend(rows.unsqueeze(2).unbind())
            times.append(((1000 - run.moment.expand(1)) / 1000).repeat(len(both)))
            heard.extend(one.embeddings[0] for one in both)
            counts.append(len(both))
        with self.rows.of(counts):
            said = self.denoiser(inputs, joined(times), heard, return_dict=False)[0]
        predictions = torch.split(torch.stack([one.float() for one in said]).squeeze(2), counts)
        return [one.flip(0) for one in predictions]

    def guide(self, run: Run, negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """Both predictions in one; the scale counts from the prompt's own."""
        return positive + run.order.guidance_scale * (positive - negative)

    def advance(self, run: Run, prediction: torch.Tensor) -> None:
        """One step of the run's scheduler; the transformer looks the other way."""
        super().advance(run, -prediction)

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`."""
        return super().decode(latents.to(self.pipe.vae.dtype), generator)
