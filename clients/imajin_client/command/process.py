"""`imajin process`: images from an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar, cast

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.bars import Bars, bars
from imajin_client.command.files import ENDINGS, read_image, write_image
from imajin_client.command.following import file_name
from imajin_client.command.running import run
from imajin_client.images import Image, ImageSource
from imajin_client.names import Format, Operation
from imajin_client.processed import FocalPoint, Processed

NumberT = TypeVar("NumberT", int, float)


def process(
    image: Annotated[str, typer.Argument(help="Path of an image; - reads stdin.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder, or file for the main image; - writes stdout.")] = ".",
    operation: Annotated[
        list[str] | None,
        typer.Option(
            "--operation",
            "-p",
            help="sanitize, optimize, convert-webp, derivatives, detect-focal-point or clip-focal, in order; repeat it. "
            "By default optimize, convert-webp and derivatives.",
        ),
    ] = None,
    family: Annotated[str, typer.Option(help="Family of the derivatives.")] = "",
    width: Annotated[list[int] | None, typer.Option(help="Make derivatives of this width only; repeat it.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="Encoding of those derivatives; repeat it.")] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of clip-focal, in pixels.")] = "",
    focal: Annotated[str, typer.Option(metavar="X,Y", help="Where the subject is, as fractions; else detected.")] = "",
    target: Annotated[
        float,
        typer.Option(
            help="Fewest bytes that look so near to the original: 50 medium, 70 high, 90 no difference to see."
        ),
    ] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 300,
    as_json: output.Json = False,
) -> None:
    """Work on an image: sanitize, optimize, convert, derivatives, focal point, focal crop."""
    if (width or format) and operation:
        raise typer.BadParameter("--width and --format make derivatives; leave --operation out", param_hint="--width")
    pixels = pair(size, "x", int, "--size") if size else None
    point = pair(focal, ",", float, "--focal") if focal else None
    stem = "image" if image == "-" else Path(image).stem

    async def work(client: AsyncClient) -> None:
        if operation == ["detect-focal-point"]:
            tell_point(await client.focal_point(read_image(image), timeout=timeout), as_json=as_json)
            return
        with bars(quiet=as_json) as drawn:
            done = await make(client, read_image(image), drawn)
        if out == "-":
            if done.image is None:
                raise ValueError("these operations make no main image to write to stdout")
            write_image(done.image, out, default=stem)
            return
        files = save(done, out, stem)
        if as_json:
            output.document({**output.plain(done), "files": files})
        else:
            tell(done, files)

    async def make(client: AsyncClient, source: ImageSource, drawn: Bars) -> Processed:
        if width or format:
            made = await client.derivatives(
                source,
                family=family,
                widths=width or (),
                formats=cast("list[Format]", format or []),
                target_quality=target,
                timeout=timeout,
                on_progress=lambda progress: drawn.show("derivatives", progress),
            )
            return Processed(None, (), tuple(made), None, made.source, made.page)
        return await client.process(
            source,
            operations=cast("list[Operation]", operation or []),
            family=family,
            size=pixels,
            focal_point=point,
            target_quality=target,
            timeout=timeout,
            on_progress=lambda progress: drawn.show("processing", progress),
        )

    run(work, as_json=as_json)


def pair(text: str, sign: str, kind: type[NumberT], option: str) -> tuple[NumberT, NumberT]:
    """Two numbers around `sign`."""
    first, found, second = text.lower().partition(sign)
    try:
        if not found:
            raise ValueError
        return kind(first), kind(second)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not two numbers with {sign!r} between them", param_hint=option) from None


def save(done: Processed, out: str, stem: str) -> dict[str, Path]:
    """Writes everything that was made: the main image where `out` says, the rest beside it."""
    target = Path(out)
    named = target.suffix.lower() in ENDINGS and not target.is_dir()
    folder = target.parent if named else target
    base = target.stem if named else stem
    files: dict[str, Path] = {}
    if done.image is not None:
        # The source may lie in the same folder under the same name: it is never overwritten by default.
        files["image"] = write_image(done.image, out, default=f"{base}-processed") or target
    for image in (*done.variants, *done.derivatives):
        files[image.name] = image.save(folder / f"{base}-{file_name(image)}")
    return files


def tell_point(point: FocalPoint, *, as_json: bool) -> None:
    """Prints where the subject is."""
    if as_json:
        output.document(point)
    else:
        told = f"focal point {point.x:.3f},{point.y:.3f} by {point.method}, {point.confidence:.0%} sure"
        output.out.print(told, markup=False)


def tell(done: Processed, files: dict[str, Path]) -> None:
    """Prints what was made."""
    if done.focal_point is not None:
        tell_point(done.focal_point, as_json=False)
    if done.source is not None and done.source.removed:
        output.out.print(f"removed: {', '.join(done.source.removed)}", markup=False)
    made: list[Image] = [*([done.image] if done.image else []), *done.variants, *done.derivatives]
    rows = output.table("file", "pixels>", "format", "bytes>", "quality>", "score>")
    for path, image in zip(files.values(), made, strict=True):
        pixels = f"{image.width}x{image.height}"
        score = f"{image.score:.1f}" if image.score else ""
        output.row(rows, path, pixels, image.format, output.size_of(len(image.data)), image.quality or "", score)
    if files:
        output.out.print(rows)
