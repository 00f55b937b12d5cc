"""One step at a time, with diffusers' own encoders, schedulers and autoencoders: what all families share.

The arithmetic of a family is that of its pipeline's `__call__`, in the same order: a run that steps alone gives the same
bits as the plain pipeline. Runs that share a pass give them too, where `probe` has seen it.
"""

from __future__ import annotations

import inspect
import time
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import diffusers
import torch
from diffusers.utils.torch_utils import randn_tensor

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import schedulers
from imajin_servers.diffusion.pipelines.adapters import Adapters
from imajin_servers.diffusion.pipelines.autoencoding import Autoencoding
from imajin_servers.diffusion.pipelines.noise import centre
from imajin_servers.diffusion.pipelines.rows import Rows
from imajin_servers.diffusion.pipelines.run import Conditioning, Known, Run


class Stepwise(Autoencoding):
    """A pipeline taken apart. A family says how it encodes, schedules, predicts and decodes; the engine knows only this.

    `encode` and `start` belong to one thread, `step` to another, `decode` to a third; the pipeline's own scheduler is
    only a template.
    """

    vectors: tuple[str, ...] = ()
    """Parts of the denoiser that work on one vector a row; see `Rows`."""

    def __init__(self, pipe: Any, denoiser: Any, scheduler: str | None = None) -> None:
        super().__init__(pipe, denoiser.dtype)
        self.denoiser = denoiser
        self.template = pipe.scheduler
        if scheduler is not None:
            self.template = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
        self.rows = Rows(denoiser, self.vectors)
        self.adapters = Adapters(pipe, denoiser, self.rows.cover)

    @property
    def schedulers(self) -> list[str]:
        """Names of the schedulers that fit the model; its own needs no name."""
        return schedulers.fitting(self.template.config)

    def guides(self, order: Order) -> bool:
        """Whether a run of `order` hears the negative prompt too."""
        return order.guided

    def pass_rows(self, order: Order) -> int:
        """Rows that a run of `order` takes in a forward pass."""
        return 2 if self.guides(order) else 1

    @abstractmethod
    def encode(self, order: Order) -> Conditioning:
        """The prompt through the text encoders; what is too long for them is cut off, as diffusers does."""

    @abstractmethod
    def schedule(self, order: Order) -> Any:
        """A scheduler of the run's own, with its timesteps set. Raises InvalidArgument on steps that it can't take."""

    @abstractmethod
    def predict(self, runs: Sequence[Run]) -> list[torch.Tensor]:
        """What the denoiser says of each run's latents, `(rows, channels, height, width)` each, the negative row first."""

    def planned(self, order: Order) -> int:
        """Steps that are made of `order`: those that the noise of its source takes, one at least."""
        return order.steps if order.source is None else max(1, int(order.steps * order.source.strength))

    @torch.inference_mode()
    def start(self, order: Order, conditioning: Conditioning, known: Known | None = None) -> Run:
        """The run before its first step; `known` is what the order's source is as latents.

        Raises InvalidArgument where its scheduler doesn't fit the model.
        """
        schedulers.check(order.scheduler, self.schedulers)
        scheduler = self.schedule(order)
        generator = known.generator if known is not None else torch.Generator("cpu").manual_seed(order.seed)
        dtype = self.noise_dtype(conditioning) if known is None else conditioning.embeddings.dtype
        noise = self.noise(order, generator, dtype)
        if known is None:
            timesteps, latents = scheduler.timesteps, self.initial(scheduler, noise)
        else:
            timesteps, latents = self.enter(order, scheduler, known, noise)
        extra = step_extras(scheduler, generator)
        run = Run(
            order,
            conditioning,
            scheduler,
            timesteps,
            latents,
            generator,
            extra,
            self.device,
            self.planned(order),
            known=known,
        )
        self.states.add(run)
        return run

    def enter(
        self, order: Order, scheduler: Any, known: Known, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The timesteps that are left from where the source's noise ends, and the latents there."""
        assert order.source is not None
        if known.mask is not None and known.drawn:
            # The plain pipeline hides the picture a second time, with a hole, for denoisers that ask for it; schedulers
            # that add noise go on from where that has left the generator.
            randn_tensor(known.latents.shape, generator=known.generator, dtype=self.pipe.vae.dtype)
        skipped = (order.steps - self.planned(order)) * scheduler.order
        timesteps = scheduler.timesteps[skipped:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped)
        known.noise = noise if known.mask is not None else None
        if order.source.from_nothing:
            return timesteps, self.initial(scheduler, noise)
        return timesteps, self.noised(scheduler, known.latents, noise, timesteps[:1])

    def noised(self, scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
        """`latents` under as much of `noise` as there is at `moment`, `(1,)`."""
        under: torch.Tensor = scheduler.add_noise(latents, noise, moment)
        return under

    def noise(self, order: Order, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
        """What a run begins with, `(1, channels, height, width)`: the centre of the field, where it has one to share."""
        width, height = (side // self.cell for side in self.drawn_size(order))
        wide, high = self.field(order)
        shape = (1, self.channels, high, wide)
        return centre(randn_tensor(shape, generator=generator, device=self.device, dtype=dtype), width, height)

    def field(self, order: Order) -> tuple[int, int]:
        """Width and height of the field of noise in latents, no smaller than the picture."""
        drawn, up = self.drawn_size(order), self.multiple
        wide, high = (
            max(side, -(-asked // up) * up) // self.cell
            for side, asked in zip(drawn, order.noise_canvas or drawn, strict=True)
        )
        return wide, high

    def noise_dtype(self, conditioning: Conditioning) -> torch.dtype:
        """Type of the numbers that noise is drawn in."""
        return conditioning.embeddings.dtype

    def initial(self, scheduler: Any, noise: torch.Tensor) -> torch.Tensor:
        """The latents that the scheduler's first step takes, from `noise` of variance one."""
        return noise

    def kind(self, run: Run) -> Hashable | None:
        """Runs of one kind may share a pass; None goes alone."""
        return self.shape(run)

    def shape(self, run: Run) -> Hashable:
        """What the cost of a step depends on: the shapes of latents and embeddings."""
        return tuple(run.latents.shape), run.conditioning.shape

    @torch.inference_mode()
    def step(self, runs: Sequence[Run]) -> None:
        """Takes one step of each run, in one forward pass. All of them hear the same adapters."""
        with self.adapters.used(runs[0].order.loras):
            predictions = self.predict(runs)
        for run, prediction in zip(runs, predictions, strict=True):
            self.advance(run, prediction)

    @torch.inference_mode()
    def probe(self, runs: Sequence[Run]) -> tuple[bool, float, float]:
        """Takes one step of each run alone, and tries them together as well.

        Returns whether the bits were the same, seconds together and seconds one after the other.
        """
        with self.adapters.used(runs[0].order.loras):
            began = self.now()
            alone = [self.predict([run])[0] for run in runs]
            between = self.now()
            together = self.predict(runs)
            ended = self.now()
        same = all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
        for run, prediction in zip(runs, alone, strict=True):
            self.advance(run, prediction)
        return same, ended - between, between - began

    def now(self) -> float:
        """Seconds, when all work that was handed to the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def advance(self, run: Run, prediction: torch.Tensor) -> None:
        """One step of the run's scheduler."""
        if len(prediction) == 2:
            prediction = self.guide(run, *prediction.chunk(2))
        moved = run.scheduler.step(prediction, run.moment, run.latents, **run.extra)
        run.clean = self.clean(run, prediction, moved)
        run.latents = moved.prev_sample
        run.step += 1
        if run.known is not None and run.known.mask is not None:
            self.keep(run, run.known, run.known.mask)
        if run.done:
            run.remembered.clear()

    def keep(self, run: Run, known: Known, mask: torch.Tensor) -> None:
        """Puts the picture that the run began from back where it stays, under as much noise as there is after the step."""
        kept = known.latents
        if not run.done and known.noise is not None:
            kept = self.noised(run.scheduler, kept, known.noise, run.moment.reshape(1))
        run.latents = (1 - mask) * kept + mask * run.latents
        if run.clean is not None:
            run.clean = (1 - mask) * known.latents + mask * run.clean

    def guide(self, run: Run, negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """Both predictions in one."""
        return negative + run.order.guidance_scale * (positive - negative)

    def clean(self, run: Run, prediction: torch.Tensor, moved: Any) -> torch.Tensor | None:
        """A guess of the finished latents; `run.latents` are still those before the step. None where there is none."""
        return getattr(moved, "pred_original_sample", None)


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The rows of all `parts`; one part alone isn't copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def step_extras(scheduler: Any, generator: torch.Generator) -> dict[str, Any]:
    """What the scheduler's step takes beyond the three that all take."""
    taken = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in (("eta", 0.0), ("generator", generator)) if name in taken}
