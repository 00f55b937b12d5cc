"""`imajin derivatives`: every size of an image that a page needs, and the element that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.bars import bars
from imajin_client.command.files import read_image
from imajin_client.command.running import run
from imajin_client.names import Format
from imajin_client.processed import Derivatives, PageOptions

SNIPPET = "snippet.html"


def derivatives(
    image: Annotated[str, typer.Argument(help="Path of an image; - reads stdin.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files and snippet.html.")] = Path(),
    family: Annotated[str, typer.Option(help="Family of the settings, such as hero.")] = "",
    width: Annotated[list[int] | None, typer.Option(help="Width in pixels, in place of a family; repeat it.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="avif, webp, jpeg or png; repeat it.")] = None,
    target: Annotated[
        float,
        typer.Option(
            help="Fewest bytes that look so near to the original: 50 medium, 70 high, 90 no difference to see."
        ),
    ] = 0,
    sizes: Annotated[str, typer.Option(help="The sizes attribute: how wide the page shows it.")] = "",
    alt: Annotated[str, typer.Option(help="The alt attribute.")] = "",
    url_prefix: Annotated[str, typer.Option(help="What stands before every file name in the snippet.")] = "",
    eager: Annotated[bool, typer.Option("--eager", help="Load at once: for the largest image at the top.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 300,
    as_json: output.Json = False,
) -> None:
    """Make every size of an image that a page needs, under names that caches may keep for ever."""

    async def work(client: AsyncClient) -> None:
        with bars(quiet=as_json) as drawn:
            made = await client.derivatives(
                read_image(image),
                family=family,
                widths=width or (),
                formats=cast("list[Format]", format or []),
                target_quality=target,
                page=PageOptions(sizes, alt, url_prefix, eager),
                timeout=timeout,
                on_progress=lambda progress: drawn.show("derivatives", progress),
            )
        files = save(made, out)
        if as_json:
            output.document({"derivatives": made, "page": made.page, "source": made.source, "files": files})
        else:
            tell(made, files)

    run(work, as_json=as_json)


def save(made: Derivatives, out: Path) -> list[Path]:
    """Writes every file under the name that the snippet has for it, and the snippet."""
    files = [image.save(out / image.file_name) for image in made]
    if made.page is not None:
        (out / SNIPPET).write_text(made.page.html + "\n", encoding="utf-8")
    return files


def tell(made: Derivatives, files: list[Path]) -> None:
    """Prints the files and the snippet."""
    rows = output.table("file", "pixels>", "bytes>", "quality>", "score>")
    for path, image in zip(files, made, strict=True):
        score = f"{image.score:.1f}" if image.score else ""
        pixels = f"{image.width}x{image.height}"
        output.row(rows, path, pixels, output.size_of(len(image.data)), image.quality or "", score)
    output.out.print(rows)
    if made.page is not None:
        output.out.print(made.page.html, markup=False, highlight=False, soft_wrap=True)
