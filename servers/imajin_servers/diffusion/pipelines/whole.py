"""Any other pipeline of diffusers: it runs whole, is heard through its callback or its bar, and rests before each pass of a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.auto_pipeline import (
    AUTO_IMAGE2IMAGE_PIPELINES_MAPPING as TO_IMAGE,
)
from diffusers.pipelines.auto_pipeline import (
    AUTO_INPAINT_PIPELINES_MAPPING as INPAINT,
)
from diffusers.pipelines.auto_pipeline import (
    AUTO_TEXT2IMAGE_PIPELINES_MAPPING as FROM_TEXT,
)
from PIL import Image

from imajin_servers.diffusion import streams
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import schedulers
from imajin_servers.diffusion.pipelines.adapters import Adapters
from imajin_servers.diffusion.pipelines.autoencoding import counted
from imajin_servers.diffusion.pipelines.strays import Strays, in_frames, in_modules
from imajin_servers.diffusion.sources import Pixels, covering
from imajin_servers.runtime.errors import ContentRejected, InvalidArgument

OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
CALLBACK = "callback_on_step_end"


class Bar:
    """Stands in for the bar on a terminal, where a pipeline has no callback: `on_step` hears how many steps of how many are done."""

    def __init__(self, on_step: Callable[[int, int], None], steps: Iterable[Any] | None, total: int | None) -> None:
        self.on_step = on_step
        self.steps = list(steps or ())
        self.total = total or len(self.steps)
        self.done = 0

    def __enter__(self) -> Bar:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be closed."""

    def __iter__(self) -> Iterator[Any]:
        """The steps; each is done when the next is asked for."""
        for step in self.steps:
            yield step
            self.update()

    def update(self, count: int = 1) -> None:
        """`count` more steps are done."""
        self.done += count
        self.on_step(self.done, self.total)

    def close(self) -> None:
        """Nothing is to be closed."""


class Whole:
    """A pipeline with a `__call__` from a prompt to images. Use it from one thread."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.template = getattr(pipe, "scheduler", None)
        denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
        self.adapters = Adapters(pipe, denoiser, lambda: None)
        self.device: torch.device = pipe.device
        self.taken = inspect.signature(pipe.__call__).parameters
        if type(pipe).__name__ in from_images():
            raise ValueError(f"{type(pipe).__name__} draws from images, and not from prompts alone")
        missing = {name for name, one in self.taken.items() if one.default is one.empty and one.kind not in OPEN}
        if "prompt" not in self.taken or missing - {"prompt"}:
            raise ValueError(f"{type(pipe).__name__} draws no images from prompts alone")
        self.networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
        self.rest: Callable[[], None] = lambda: None
        """Called where no network is at work; what it raises ends the run."""
        for network in self.networks:
            network.register_forward_pre_hook(lambda module, given: self.rest())
        self.kept: Strays | None = None

    def move(self, device: torch.device) -> None:
        """Takes the weights to another device and back, while a run rests or none is there."""
        self.pipe.to(device)
        if device != self.device:
            self.kept = Strays(in_modules(self.networks, self.device))
        elif self.kept is not None:
            self.kept.back()
            self.kept = None
        streams.settle(self.device)

    def aside(self) -> Strays:
        """What the run that rests in the calling thread holds on the device, taken off it."""
        return Strays(in_frames(Whole.draw.__code__, self.device))

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be multiples of, in pixels: enough for autoencoders that patch."""
        return max(16, 2 * int(getattr(self.pipe, "vae_scale_factor", 8)))

    def drawn_size(self, order: Order) -> tuple[int, int]:
        """Width and height that are drawn, before the crop to the size asked for."""
        up = self.multiple
        return -(-order.width // up) * up, -(-order.height // up) * up

    @property
    def edits(self) -> bool:
        """Whether it draws from images too."""
        return False

    @property
    def schedulers(self) -> list[str]:
        """Names of the schedulers that fit the model; its own needs no name."""
        # Several pipelines in one have a scheduler each, and would not hear of another.
        several = [name for name in self.pipe.components if name.endswith("scheduler")] != ["scheduler"]
        return [] if several or self.template is None else schedulers.fitting(self.template.config)

    def pass_rows(self, order: Order) -> int:
        """Rows that `order` takes in a forward pass, as most pipelines do it."""
        return 2 if order.guided else 1

    def draw(self, order: Order, on_step: Callable[[int], None], rest: Callable[[], None]) -> Pixels:
        """The picture. `on_step` hears how many steps are done, `rest` is called where the weights may be taken away.

        What they raise ends the run. Raises InvalidArgument where the scheduler doesn't fit the model, ContentRejected where its
        own safety checker refuses the picture.
        """
        schedulers.check(order.scheduler, self.schedulers)
        if self.schedulers:
            self.pipe.scheduler = schedulers.chosen(self.template, order.scheduler)
        self.adapters.encoders.hear(order.loras)
        width, height = self.drawn_size(order)

        def stepped(done: int, total: int) -> None:
            # Some schedulers ask the denoiser twice a step.
            on_step(min(done * order.steps // max(total, 1), order.steps))
            rest()

        def heard(pipe: Any, step: int, moment: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            stepped(step + 1, max(int(getattr(pipe, "num_timesteps", order.steps)), order.steps))
            return tensors

        wishes = {
            "prompt": order.prompt,
            "width": width,
            "height": height,
            "num_inference_steps": order.steps,
            "guidance_scale": order.guidance_scale,
            "generator": torch.Generator("cpu").manual_seed(order.seed),
            CALLBACK: heard,
            "output_type": "np",
        }
        if order.negative_prompt:
            # Where there is none, some want "" and others None: their defaults.
            wishes["negative_prompt"] = order.negative_prompt
        self.rest = rest
        if CALLBACK not in self.taken:
            self.pipe.progress_bar = lambda iterable=None, total=None, **_: Bar(stepped, iterable, total)
        try:
            with self.adapters.used(order.loras):
                made = self.pipe(**{name: value for name, value in wishes.items() if name in self.taken})
        except ValueError as error:
            raise InvalidArgument.field("model", f"its pipeline doesn't take this: {str(error)[:500]}") from error
        finally:
            self.rest = lambda: None
        return fitted(picture(made), width, height)


def from_images() -> set[str]:
    """Names of diffusers' pipelines that draw from images."""
    return {kind.__name__ for known in (TO_IMAGE, INPAINT) for kind in known.values()} - {
        kind.__name__ for kind in FROM_TEXT.values()
    }


def picture(made: Any) -> Pixels:
    """The first picture of what a pipeline made. Raises ContentRejected where its own safety checker refused it."""
    if any(getattr(made, "nsfw_content_detected", None) or ()):
        raise ContentRejected(
            "the image was refused by the model's safety checker", metadata={"stage": "image", "category": "nsfw"}
        )
    pixels = np.asarray(made[0][0])
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InvalidArgument.field("model", "draws something else than images")
    return pixels if pixels.dtype == np.uint8 else counted(pixels)


def fitted(pixels: Pixels, width: int, height: int) -> Pixels:
    """`pixels` in the size that was asked for, which some pipelines round or don't hear of."""
    return np.asarray(covering(Image.fromarray(pixels), width, height, Image.Resampling.LANCZOS))
