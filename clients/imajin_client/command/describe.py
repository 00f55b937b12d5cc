"""`imajin describe`: from a description to prompts, as they are written."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.running import run
from imajin_client.describing import Classification, DescribeEvent, DescribeOptions, Description, Prompt, Reasoning


def describe(
    description: Annotated[str, typer.Argument(help="What the picture should show; - reads stdin.")],
    count: Annotated[int, typer.Option(min=1, max=8, help="How many prompts to write.")] = 3,
    category: Annotated[str, typer.Option(help="Kind of picture or of page, such as food.")] = "",
    locale: Annotated[str, typer.Option(help="Language tag of the reader, such as de-AT.")] = "",
    region: Annotated[str, typer.Option(help="Region, country or people.")] = "",
    period: Annotated[str, typer.Option(help="Period, such as 'edo period'.")] = "",
    season: Annotated[str, typer.Option(help="Season.")] = "",
    style: Annotated[str, typer.Option(help="Style, such as photorealistic, anime or watercolor.")] = "",
    audience: Annotated[str, typer.Option(help="Who will see it.")] = "",
    age: Annotated[str, typer.Option(help="Age of the people in it.")] = "",
    gender: Annotated[str, typer.Option(help="Gender of the people in it.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Free tag; repeat it.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="Size that the picture is needed in; repeat it.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the reasoning.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 300,
    as_json: output.Json = False,
    events: output.Events = False,
) -> None:
    """Turn a description into prompts: cultural classification by rules, then a language model's reasoning."""
    text = sys.stdin.read().strip() if description == "-" else description
    options = DescribeOptions(
        count=count,
        category=category,
        locale=locale,
        region=region,
        period=period,
        season=season,
        style=style,
        audience=audience,
        age=age,
        gender=gender,
        tags=tag or [],
        sizes=size or [],
        seed=seed,
    )

    async def work(client: AsyncClient) -> None:
        async with client.describe_stream(text, timeout=timeout, **options) as stream:
            async for event in stream:
                if events:
                    output.line(type(event).__name__.lower(), event)
                elif as_json:
                    if isinstance(event, Description):
                        output.document(event)
                else:
                    tell(event)

    run(work, as_json=as_json or events)


def tell(event: DescribeEvent) -> None:
    """Prints one event for people."""
    match event:
        case Classification():
            tell_classification(event)
        case Reasoning():
            output.out.print(escape(event.text), style="dim", end="", soft_wrap=True)
        case Prompt():
            output.out.print(f"\n[bold]{escape(event.name)}[/]")
            output.out.print(f"  {escape(event.prompt)}", soft_wrap=True)
            if event.negative_prompt:
                output.out.print(f"  [dim]not: {escape(event.negative_prompt)}[/]", soft_wrap=True)
        case Description():
            config = event.config
            facts = [config.style, config.aspect, f"{config.width}x{config.height}", f"{config.steps} steps"]
            output.out.print(f"\n[bold]config[/]  {escape(' · '.join(fact for fact in facts if fact))}")
            output.out.print(
                f"[dim]{escape(event.engine)} {escape(event.engine_model)}: {event.completion_tokens} tokens in "
                f"{event.reasoning_ms / 1000:.1f} s; rules {event.classification_ms:.1f} ms[/]"
            )


def tell_classification(found: Classification) -> None:
    """Prints what the rules found, and why."""
    cultures = ", ".join(f"{item.display_name or item.name} {item.confidence:.0%}" for item in found.cultures)
    rows = {
        "culture": cultures or "none points to one",
        "occasions": ", ".join(found.occasions),
        "attire": ", ".join(found.attire),
        "food": ", ".join(found.food),
        "places": ", ".join(found.places),
        "periods": ", ".join(found.periods),
        "avoid": ", ".join(found.avoid),
        "because": ", ".join(dict.fromkeys(f"{item.words} ({item.rule})" for item in found.evidence)),
    }
    for name, value in rows.items():
        if value:
            output.out.print(f"[bold]{name:<10}[/]{escape(value)}", soft_wrap=True)
    output.out.print()
