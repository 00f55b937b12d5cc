"""Orders out of the contract's requests."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from imajin.common.v1 import drawing_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_servers.diffusion.models.registry import Registry
from imajin_servers.diffusion.orders import LoraWeight, Order
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.diffusion.surroundings import Lens
from imajin_servers.diffusion.uploads import LARGEST_SIDE, SMALLEST_SIDE, Area, Wish
from imajin_servers.runtime.errors import InvalidArgument, Violation

Request = diffusion_pb2.GenerateRequest | diffusion_pb2.EditSpec
"""The contract numbers and names their fields alike, as far as a prompt is drawn."""


def order(request: Request, registry: Registry, drawn: tuple[int, int] | None = None) -> Order:
    """The order in `request`, `drawn` in pixels where that isn't its own to say.

    Raises ModelNotFound, NotFound, InvalidArgument.
    """
    model = registry.find(request.model, style_name(request.style))
    if not request.prompt.strip():
        raise InvalidArgument.field("prompt", "is blank")
    width, height = drawn or size(request, model)
    return Order(
        model=model,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=width,
        height=height,
        steps=request.steps if request.HasField("steps") else model.default_steps,
        guidance_scale=request.guidance_scale if request.HasField("guidance_scale") else model.default_guidance_scale,
        seed=request.seed if request.HasField("seed") else secrets.randbits(32),
        preview_interval=request.preview_interval,
        priority=request.priority if request.HasField("priority") else 50,
        scheduler=scheduler_name(request.scheduler),
        loras=loras(request.loras, model, registry),
        noise_canvas=noise_canvas(request, width, height),
    )


def check_edit(spec: diffusion_pb2.EditSpec, registry: Registry) -> None:
    """Raises what is wrong with `spec` whatever picture comes with it: ModelNotFound, NotFound, InvalidArgument."""
    order(spec, registry, (SMALLEST_SIDE, SMALLEST_SIDE))
    area(spec)


def edit(spec: diffusion_pb2.EditSpec, registry: Registry) -> Wish:
    """What `spec` asks of its picture. Raises ModelNotFound."""
    model = registry.find(spec.model, style_name(spec.style))
    return Wish(
        width=spec.width if spec.HasField("width") else None,
        height=spec.height if spec.HasField("height") else None,
        # As it was written: a float of the wire has 24 bits, and 0.7 of 10 steps are 7.
        strength=round(spec.strength, 6) if spec.HasField("strength") else 1.0 if spec.mask_data else 0.8,
        mask=spec.mask_data,
        area=area(spec),
        padding=spec.mask_padding if spec.HasField("mask_padding") else None,
        lens=Lens(model.base_sizes, model.max_upscale),
    )


def area(spec: diffusion_pb2.EditSpec) -> Area:
    """How much of a picture is drawn for its mask. Raises InvalidArgument."""
    canvas = spec.HasField("noise_canvas")
    if spec.area == diffusion_pb2.EDIT_AREA_MASK and canvas:
        raise InvalidArgument.field("noise_canvas", "is for all of an image, and only a mask's surroundings are drawn")
    if spec.area == diffusion_pb2.EDIT_AREA_IMAGE or canvas:
        return "image"
    return "mask" if spec.area == diffusion_pb2.EDIT_AREA_MASK else "auto"


def style_name(value: int) -> str:
    """Name of a style as settings write it; empty when unspecified."""
    return model_pb2.ModelStyle.Name(value).removeprefix("MODEL_STYLE_").lower() if value else ""


def scheduler_name(value: int) -> str:
    """Name of a scheduler as `pipelines.schedulers` has it; empty when unspecified."""
    return drawing_pb2.Scheduler.Name(value).removeprefix("SCHEDULER_").lower() if value else ""


def loras(wanted: Sequence[drawing_pb2.LoraWeight], model: ModelEntry, registry: Registry) -> tuple[LoraWeight, ...]:
    """The adapters in the order in which they are named. Raises NotFound, and InvalidArgument for one that is named twice."""
    names = [lora.name for lora in wanted]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InvalidArgument.field(f"loras[{at}].name", f"{name!r} is named twice")
        registry.lora(name, model)
    return tuple(LoraWeight(lora.name, lora.weight if lora.HasField("weight") else 1.0) for lora in wanted)


def noise_canvas(request: Request, width: int, height: int) -> tuple[int, int] | None:
    """Width and height of the field of noise in pixels, None where none is named. Raises InvalidArgument."""
    if not request.HasField("noise_canvas"):
        return None
    canvas = request.noise_canvas
    if canvas.width < width or canvas.height < height:
        raise InvalidArgument.field("noise_canvas", f"is smaller than the image of {width} x {height} pixels")
    return canvas.width, canvas.height


def size(request: Request, model: ModelEntry) -> tuple[int, int]:
    """Width and height in pixels; where one is absent, that of the model's base size closest in the other."""
    bases = model.base_sizes or [(1024, 1024)]
    wide, high = request.HasField("width"), request.HasField("height")
    if wide and high:
        found = request.width, request.height
    elif wide:
        found = request.width, min(bases, key=lambda base: abs(base[0] - request.width))[1]
    elif high:
        found = min(bases, key=lambda base: abs(base[1] - request.height))[0], request.height
    else:
        found = bases[0]
    wrong = [
        Violation(field, f"must be from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
        for field, side in zip(("width", "height"), found, strict=True)
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE
    ]
    if wrong:
        raise InvalidArgument("the size is out of range", violations=wrong)
    return found
