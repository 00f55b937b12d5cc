"""What the commands that draw one image have in common: options, and an image as it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imajin_client.calls import Stream
from imajin_client.command import output
from imajin_client.command.bars import bars
from imajin_client.command.files import write_image
from imajin_client.errors import Unavailable
from imajin_client.generating import GenerateEvent
from imajin_client.images import Image
from imajin_client.progress import Preview, Progress

Scheduler = Annotated[
    str, typer.Option(help="How the noise is taken away: ddim, euler, dpmpp2m-karras, ...; `imajin models` lists them.")
]
Lora = Annotated[
    list[str] | None,
    typer.Option("--lora", metavar="NAME[=WEIGHT]", help="Adapter of the server to draw with; repeat it."),
]


def loras(given: list[str] | None) -> dict[str, float]:
    """Weights by name. Raises BadParameter where a weight is no number."""
    found = {}
    for text in given or ():
        name, sign, weight = text.rpartition("=")
        try:
            found[name if sign else weight] = float(weight) if sign else 1.0
        except ValueError:
            raise typer.BadParameter(f"{weight!r} is no number", param_hint="--lora") from None
    return found


def canvas(given: str) -> tuple[int, int] | None:
    """Width and height out of `WxH`; None where nothing is given. Raises BadParameter."""
    if not given:
        return None
    width, _, height = given.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{given!r} is no WxH", param_hint="--noise-canvas")
    return int(width), int(height)


async def follow_drawing(
    stream: Stream[GenerateEvent],
    out: str,
    *,
    default: str,
    derivatives: Path | None = None,
    previews: Path | None = None,
    as_json: bool = False,
    events: bool = False,
) -> None:
    """Shows the progress of `stream`, and writes its image to `out`, under the name `default` and its seed in a folder."""
    finished: Image | None = None
    with bars(quiet=as_json or events) as drawn:
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
        raise Unavailable("the drawing ended without an image", details={"server": "diffusion"})
    path = write_image(finished, out, default=f"{default}-{finished.seed}")
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


def write_preview(preview: Preview, folder: Path | None) -> Path | None:
    """Writes a preview into `folder`."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{preview.step:03d}.jpg"
    path.write_bytes(preview.data)
    return path
