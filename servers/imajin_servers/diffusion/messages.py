"""Between the contract's messages and the server's own words, for what orders don't cover."""

from __future__ import annotations

from collections.abc import Sequence

from imajin.common.v1 import drawing_pb2, finishing_pb2, image_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_servers.diffusion.finishing import Finish, Format, origin
from imajin_servers.diffusion.generations import Made
from imajin_servers.diffusion.models.loading import dtype
from imajin_servers.diffusion.models.model import Model
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.requests import Request
from imajin_servers.diffusion.settings import LoraEntry
from imajin_servers.runtime.overlay import text_from_proto, watermark_from_proto


def finish(request: Request, order: Order) -> Finish:
    """How the image is wanted."""
    width, height = (order.width, order.height) if order.source is None else order.source.finished_size
    return Finish(
        width=width,
        height=height,
        origin=origin(order),
        format=Format[image_format_name(request.format)],
        text_overlay=text_from_proto(request.text_overlay) if request.HasField("text_overlay") else None,
        watermark=watermark_from_proto(request.watermark) if request.HasField("watermark") else None,
    )


def image_format_name(value: image_pb2.ImageFormat) -> str:
    """Name of an encoding; PNG when unspecified."""
    return image_pb2.ImageFormat.Name(value or image_pb2.IMAGE_FORMAT_PNG).removeprefix("IMAGE_FORMAT_")


def image_format(format: Format) -> image_pb2.ImageFormat:
    """The contract's word for an encoding."""
    value: image_pb2.ImageFormat = getattr(image_pb2, f"IMAGE_FORMAT_{format.name}")
    return value


def result(order: Order, wish: Finish, made: Made) -> diffusion_pb2.GenerateResult:
    """What was made."""
    verdict, timings = made.finished.verdict, made.timings
    return diffusion_pb2.GenerateResult(
        format=image_format(wish.format),
        width=wish.width,
        height=wish.height,
        seed=order.seed,
        model=order.model.name,
        steps=made.steps,
        guidance_scale=order.guidance_scale,
        moderation=finishing_pb2.Moderation(
            image_checked=verdict.checked,
            image_score=verdict.score,
            threshold=verdict.threshold,
            prompt_level=made.prompt_level,
        ),
        timings=diffusion_pb2.GenerateTimings(
            queued_ms=timings.queued,
            waiting_for_vram_ms=timings.waiting_for_vram,
            loading_ms=timings.loading,
            encoding_ms=timings.encoding,
            denoising_ms=timings.denoising,
            decoding_ms=timings.decoding,
            finishing_ms=timings.finishing,
        ),
        credentials=made.finished.credentials.to_proto(),
        provenance=made.finished.provenance.to_proto(),
    )


def edited(event: diffusion_pb2.GenerateResponse) -> diffusion_pb2.EditResponse:
    """An event of a drawing as one of an edit."""
    name = str(event.WhichOneof("event"))
    return diffusion_pb2.EditResponse(**{name: getattr(event, name)})


def model(known: Model, loras: Sequence[LoraEntry], *, is_default: bool) -> diffusion_pb2.Model:
    """A model of the registry."""
    entry = known.entry
    message = diffusion_pb2.Model(
        name=entry.name,
        styles=[getattr(model_pb2, f"MODEL_STYLE_{style.upper()}") for style in entry.styles],
        description=entry.description,
        source=entry.source,
        license=entry.license,
        loaded=known.loaded is not None,
        weight_bytes=known.residency.weight_bytes,
        is_default=is_default,
        edits=bool(known.edits),
        default_steps=entry.default_steps,
        default_guidance_scale=entry.default_guidance_scale,
        max_upscale=entry.max_upscale,
        dtype=str(dtype(entry, known.device)).removeprefix("torch."),
    )
    present = known.loaded.pipeline.adapters.loaded if known.loaded is not None else {}
    for lora in loras:
        message.loras.add(
            name=lora.name, description=lora.description, license=lora.license, loaded=lora.name in present
        )
    for name in known.schedulers or ():
        message.schedulers.append(getattr(drawing_pb2, f"SCHEDULER_{name.upper()}"))
    for width, height in entry.base_sizes:
        message.base_sizes.add(width=width, height=height)
    return message
