"""`imajin demo`: the main job, once, for the eyes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import output, running
from imajin_client.command.bars import bars
from imajin_client.command.describe import tell
from imajin_client.command.following import file_name, follow
from imajin_client.describing import Description
from imajin_client.errors import Unavailable
from imajin_client.images import Image
from imajin_client.job import Job

if TYPE_CHECKING:
    from imajin_client.command.suite import Suite

DESCRIPTION = "a happy panda"
STAGES = ("analyze", "generate", "detect", "crop")
SIZES = ("hero", "og", "sidebar", "square")


def demo(
    description: Annotated[str, typer.Argument(help="What the picture should show.")] = DESCRIPTION,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that is made.")] = Path("out"),
    size: Annotated[list[str] | None, typer.Option("--size", "-s", help="Name or WxH; repeat it.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the reasoning and of the bases.")] = 7,
    start_seconds: Annotated[float, typer.Option(help="How long the suite may take to start.")] = 120,
    as_json: output.Json = False,
) -> None:
    """Start the suite and show the main job: description, prompts, every size from the fewest bases, derivatives."""
    # The supervisor's settings take time to import: only this subcommand and `up` wait for them.
    from imajin_client.command.suite import suite

    async def work() -> None:
        began = time.perf_counter()
        async with suite(running.given.get(), out / ".suite", start_seconds=start_seconds) as running_suite:
            made = await show(running_suite, description, size or list(SIZES), seed, out, quiet=as_json)
            if as_json:
                output.document(made.document())
            else:
                made.tell(time.perf_counter() - began)

    running.run_plain(work, as_json=as_json)


@dataclass
class Made:
    """What the demo made, and where the time went."""

    out: Path
    description: Description
    job: Job
    files: dict[Path, Image] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sheet: Path | None = None

    def document(self) -> dict[str, object]:
        """For --json."""
        return {
            "description": self.description,
            "job": self.job,
            "files": [{"file": path, **output.plain(image)} for path, image in self.files.items()],
            "seconds": self.seconds,
            "contact_sheet": self.sheet,
        }

    def tell(self, total: float) -> None:
        """Prints the table, the times and the place."""
        bases = {base.name: base for base in self.job.bases}
        rows = output.table("file", "pixels>", "bytes>", "cut from", "enlarged>")
        for path, image in self.files.items():
            told = self.job.images.get(image.name)
            base = bases.get(told.base) if told is not None else None
            output.row(
                rows,
                path,
                f"{image.width}x{image.height}",
                output.size_of(len(image.data)),
                f"{base.name} {base.width}x{base.height}" if base is not None else "",
                f"{told.upscale:.1f}x" if told is not None and told.upscale else "",
            )
        output.out.print()
        output.out.print(rows)
        stages = output.table("stage", "seconds>", "")
        notes = {
            "start": "until the prompt server served",
            "start the rest": "after the prompts were written",
            "describe": f"{len(self.description.prompts)} prompts, {self.description.completion_tokens} tokens",
            "sizes": f"{len(self.job.images)} sizes from {self.job.bases_generated} bases, seed {self.job.seed}",
        }
        for stage, seconds in self.seconds.items():
            output.row(stages, stage, f"{seconds:.2f}", notes.get(stage, ""))
            if stage == "sizes":
                for name, milliseconds in in_order(self.job.stage_ms):
                    drawn = ", ".join(f"{base.name} {base.generating_ms / 1000:.2f}" for base in self.job.bases)
                    output.row(stages, f"  {name}", f"{milliseconds / 1000:.2f}", drawn if name == "generate" else "")
        output.row(stages, "all", f"{total:.2f}", "")
        output.out.print()
        output.out.print(stages)
        output.out.print(f"\nIn {self.out}/; look at {self.sheet}", markup=False, soft_wrap=True)


def in_order(stages: Mapping[str, float]) -> list[tuple[str, float]]:
    """The stages of a batch as they follow each other; one that is not known here comes last."""
    places = {name: place for place, name in enumerate(STAGES)}
    return sorted(stages.items(), key=lambda item: places.get(item[0], len(STAGES)))


class Watch:
    """Takes the time of stages that follow each other, in seconds."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.stages: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """Notes the time since the stage before."""
        now = time.perf_counter()
        self.stages[name], self.began = now - self.began, now


async def show(
    running_suite: Suite, description: str, sizes: list[str], seed: int | None, out: Path, *, quiet: bool
) -> Made:
    """The main job with everything written into `out`."""
    client, watch = running_suite.client, Watch()
    # The prompts are written while the slower servers still start.
    await running_suite.serves(["prompt"], quiet=quiet)
    watch.stage("start")
    analysis = await described(client, description, sizes, seed, quiet=quiet)
    watch.stage("describe")
    await running_suite.serves(quiet=quiet)
    watch.stage("start the rest")
    prompt = analysis.prompts[0]
    submitted = await client.batch_sizes(
        prompt.prompt, sizes=sizes, negative_prompt=prompt.negative_prompt, seed=seed, format="webp"
    )
    job = (await follow(client, submitted.job_id, names=sizes, cancel=True, quiet=quiet)).check()
    made = Made(out, analysis, job)
    images = await client.jobs.images(job.job_id)
    for name in sizes:
        made.files[images[name].save(out / file_name(images[name]))] = images[name]
    watch.stage("sizes")
    await derived(client, images[sizes[0]], made, quiet=quiet)
    watch.stage("derivatives")
    # Pillow comes with the servers, not with the client: only the sheet needs it here.
    from imajin_client.command.sheet import contact_sheet

    made.sheet = await asyncio.to_thread(
        contact_sheet, description, job, {name: images[name] for name in sizes}, out / "contact-sheet.png"
    )
    watch.stage("contact sheet")
    made.seconds = watch.stages
    return made


async def described(
    client: AsyncClient, description: str, sizes: list[str], seed: int | None, *, quiet: bool
) -> Description:
    """The analysis, shown as it is written."""
    if not quiet:
        output.out.print(f"“{description}”\n", markup=False, style="bold")
    async with client.describe_stream(description, count=2, sizes=sizes, seed=seed) as events:
        async for event in events:
            if not quiet:
                tell(event)
            if isinstance(event, Description) and event.prompts:
                return event
    raise Unavailable("the prompt server wrote no prompt", details={"server": "prompt"})


async def derived(client: AsyncClient, hero: Image, made: Made, *, quiet: bool) -> None:
    """Responsive variants of the first size, by the family that is called like it where there is one."""
    families = await client.families()
    family = hero.name if hero.name in families else ""
    with bars(quiet=quiet) as drawn:
        variants = await client.derivatives(
            hero, family=family, on_progress=lambda progress: drawn.show("derivatives", progress)
        )
        drawn.finish("derivatives", f"{len(variants)} of {hero.name}")
    for image in variants:
        made.files[image.save(made.out / "derivatives" / file_name(image))] = image
