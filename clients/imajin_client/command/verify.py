"""`imajin verify`: where an image comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.files import read_image
from imajin_client.command.running import Exit, run
from imajin_client.credentials import Manifest, Verification

SAID = {
    "generated": "A model made it: a signer that is trusted here says so, and nothing was changed since.",
    "generated-untrusted": "A model made it: its signer says so, whom nobody vouches for here; nothing was changed since.",
    "generated-by-mark": "A model made it: the invisible mark in its pixels says so; there is no manifest that holds.",
    "not-generated": "It is signed, and its signer does not say that a model made it.",
    "broken": "Its manifest is broken, or it was changed after it was signed.",
    "none": "It has neither manifest nor mark. That says nothing about where it comes from.",
}


def verify(
    image: Annotated[str, typer.Argument(help="Path of an image; - reads stdin.")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 60,
    as_json: output.Json = False,
) -> None:
    """Say where an image comes from: its C2PA manifest, and the invisible mark in its pixels.

    Exit status 0: a model made it. 4: nothing says so. 5: its manifest is broken, or it was changed since it was signed.
    """

    async def work(client: AsyncClient) -> int:
        found = await client.verify(read_image(image), timeout=timeout)
        if as_json:
            output.document(found)
        else:
            show(found)
        return exit_status(found)

    run(work, as_json=as_json)


def exit_status(found: Verification) -> Exit:
    """What the command ends with."""
    if found.generated:
        return Exit.OK
    return Exit.BROKEN if found.verdict == "broken" else Exit.NOT_GENERATED


def show(found: Verification) -> None:
    """Prints an answer for people."""
    output.out.print(SAID.get(found.verdict, found.verdict), soft_wrap=True, markup=False)
    facts = output.table("", "")
    for name, fact in lines(found):
        output.row(facts, name, fact)
    output.out.print(facts)


def lines(found: Verification) -> Iterator[tuple[str, str]]:
    """Names and facts, those that there are."""
    yield "image", f"{found.format}, {found.width} x {found.height}"
    if found.manifest is None:
        yield "manifest", "none"
    else:
        yield from manifest_lines(found.manifest)
    if found.mark.found:
        yield "mark", f"{found.mark.content_id or 'unreadable'}, confidence {found.mark.confidence:.6f}"
    else:
        yield "mark", "none found"


def manifest_lines(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Those of the manifest."""
    signer = ", ".join(part for part in (manifest.signer, manifest.issuer) if part)
    yield "manifest", manifest.state
    facts = {
        "error": manifest.error,
        "signer": signer,
        "model": manifest.model,
        "created": manifest.created_at.isoformat() if manifest.created_at else "",
        "generator": manifest.generator,
        "source": manifest.source_type.rsplit("/", 1)[-1],
        "actions": ", ".join(manifest.actions),
        "made of": ", ".join(item.format for item in manifest.ancestors),
        "prompt": manifest.prompt,
        "notices": ", ".join(manifest.statuses),
    }
    yield from ((name, fact) for name, fact in facts.items() if fact)
