"""`imajin edit`: one image from another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import drawing, output
from imajin_client.command.files import format_for, read_image
from imajin_client.command.running import run
from imajin_client.editing import EditOptions
from imajin_client.names import Area, Scheduler, Style


def edit(
    image: Annotated[str, typer.Argument(help="Path of an image; - reads stdin.")],
    prompt: Annotated[str, typer.Argument(help="What to draw; - reads stdin.")],
    out: Annotated[str, typer.Option("--out", "-o", help="File or folder for the image; - writes stdout.")] = ".",
    mask: Annotated[
        Path | None, typer.Option(help="Image that is white where it is painted anew; all of it without one.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much goes under in noise, above 0 to 1; 0.8 by default, 1 with a mask.")
    ] = None,
    area: Annotated[
        str, typer.Option(help="What is drawn for a mask: image or mask; what suits the model by default.")
    ] = "",
    mask_padding: Annotated[int | None, typer.Option(help="Pixels around the mask that are drawn with it.")] = None,
    negative: Annotated[str, typer.Option(help="What not to draw.")] = "",
    model: Annotated[str, typer.Option(help="Name of a model.")] = "",
    style: Annotated[str, typer.Option(help="photorealistic or anime, where no model is named.")] = "",
    width: Annotated[int | None, typer.Option(help="Width in pixels; the image's own by default.")] = None,
    height: Annotated[int | None, typer.Option(help="Height in pixels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps of the whole way from noise.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the noise.")] = None,
    scheduler: drawing.Scheduler = "",
    lora: drawing.Lora = None,
    format: Annotated[str, typer.Option(help="png, jpeg, webp or avif; by the ending of --out otherwise.")] = "",
    text: Annotated[str, typer.Option(help="Text to draw over the image.")] = "",
    watermark: Annotated[str | None, typer.Option(help="Visible mark; empty for the server's default text.")] = None,
    previews: Annotated[Path | None, typer.Option(help="Folder for a preview of each step.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 900,
    as_json: output.Json = False,
    events: output.Events = False,
) -> None:
    """Draw from an image, or paint a part of it anew. Ctrl-C ends the work at the server within a step."""
    if image == prompt == "-":
        raise typer.BadParameter("stdin is either the image or the prompt", param_hint="PROMPT")
    options = EditOptions(
        negative_prompt=negative,
        model=model,
        style=cast("Style | None", style or None),
        width=width,
        height=height,
        strength=strength,
        area=cast("Area | None", area or None),
        mask_padding=mask_padding,
        steps=steps,
        guidance_scale=guidance,
        seed=seed,
        scheduler=cast("Scheduler | None", scheduler or None),
        loras=drawing.loras(lora),
        format=format_for(format, out),
        text_overlay=text or None,
        watermark=watermark,
    )
    wanted = sys.stdin.read().strip() if prompt == "-" else prompt
    stem = "image" if image == "-" else Path(image).stem

    async def work(client: AsyncClient) -> None:
        stream = client.edit_stream(
            read_image(image), wanted, mask=mask, preview_interval=1 if previews else 0, timeout=timeout, **options
        )
        await drawing.follow_drawing(
            stream, out, default=f"{stem}-edited", previews=previews, as_json=as_json, events=events
        )

    run(work, as_json=as_json or events)
