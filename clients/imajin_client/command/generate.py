"""`imajin generate`: one image from a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.bars import bars
from imajin_client.command.files import write_image
from imajin_client.command.running import run
from imajin_client.errors import Unavailable
from imajin_client.generating import GenerateOptions, TextOverlay
from imajin_client.images import Image
from imajin_client.names import Anchor, Format, Style
from imajin_client.progress import Preview, Progress


def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw; - reads stdin.")],
    out: Annotated[str, typer.Option("--out", "-o", help="File or folder for the image; - writes stdout.")] = ".",
    negative: Annotated[str, typer.Option(help="What not to draw.")] = "",
    model: Annotated[str, typer.Option(help="Name of a model.")] = "",
    style: Annotated[str, typer.Option(help="photorealistic or anime, where no model is named.")] = "",
    width: Annotated[int | None, typer.Option(help="Width in pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Height in pixels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the noise.")] = None,
    format: Annotated[str, typer.Option(help="png, jpeg, webp or avif.")] = "",
    text: Annotated[str, typer.Option(help="Text to draw over the image.")] = "",
    text_position: Annotated[str, typer.Option(help="Where: top-left, top, ..., bottom-right.")] = "",
    watermark: Annotated[str | None, typer.Option(help="Visible mark; empty for the server's default text.")] = None,
    raw: Annotated[bool, typer.Option("--skip-processing", help="Leave the image as drawn.")] = False,
    family: Annotated[str, typer.Option(help="Family of derivatives.")] = "",
    derivatives: Annotated[Path | None, typer.Option(help="Folder for the derivatives.")] = None,
    previews: Annotated[Path | None, typer.Option(help="Folder for a preview of each step.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 900,
    as_json: output.Json = False,
    events: output.Events = False,
) -> None:
    """Make one image. Ctrl-C ends the work at the server within a step."""
    options = GenerateOptions(
        negative_prompt=negative,
        model=model,
        style=cast("Style | None", style or None),
        width=width,
        height=height,
        steps=steps,
        guidance_scale=guidance,
        seed=seed,
        format=cast("Format | None", format or None),
        text_overlay=TextOverlay(text, position=cast("Anchor | None", text_position or None)) if text else None,
        watermark=watermark,
        skip_processing=raw,
        family=family,
    )
    wanted = sys.stdin.read().strip() if prompt == "-" else prompt
    machine = as_json or events

    async def work(client: AsyncClient) -> None:
        stream = client.generate_stream(wanted, preview_interval=1 if previews else 0, timeout=timeout, **options)
        finished: Image | None = None
        with bars(quiet=machine) as drawn:
            async with stream as coming:
                async for event in coming:
                    match event:
                        case Progress():
                            drawn.show("image", event)
                            if events:
                                output.line("progress", event)
                        case Preview():
                            path = write_preview(event, previews)
                            if events:
                                output.line("preview", {**output.plain(event), "file": path})
                        case Image():
                            drawn.finish("image", "done")
                            finished = event
        if finished is None:
            raise Unavailable("the generation ended without an image", details={"server": "orchestrator"})
        path = write_image(finished, out, default=f"imajin-{finished.seed}")
        made = [
            item.save(derivatives / item.name) for item in finished.derivatives if derivatives is not None and item.name
        ]
        if out == "-":
            return
        told = {**output.plain(finished), "file": path, "derivative_files": made}
        if events:
            output.line("image", told)
        elif as_json:
            output.document(told)
        else:
            output.out.print(
                f"{path}  {finished.width}x{finished.height} {finished.format}  {output.size_of(len(finished.data))}  "
                f"seed {finished.seed}  {finished.model}",
                markup=False,
                soft_wrap=True,
            )

    run(work, as_json=machine)


def write_preview(preview: Preview, folder: Path | None) -> Path | None:
    """Writes a preview into `folder`."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{preview.step:03d}.jpg"
    path.write_bytes(preview.data)
    return path
