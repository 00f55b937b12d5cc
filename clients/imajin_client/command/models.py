"""`imajin models`: the image models of the registry."""

from __future__ import annotations

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.running import run


def models(as_json: output.Json = False) -> None:
    """List the image models, and which are loaded."""

    async def work(client: AsyncClient) -> None:
        found = await client.models()
        if as_json:
            output.document(found)
            return
        rows = output.table(
            "model",
            "styles",
            "loaded",
            "weights>",
            "steps>",
            "draws best",
            "schedulers",
            "adapters",
            "licence",
            "what it is",
        )
        for model in found:
            output.row(
                rows,
                model.name + (" *" if model.is_default else ""),
                ", ".join(model.styles),
                "yes" if model.loaded else "no",
                output.size_of(model.weight_bytes) if model.weight_bytes else "",
                model.default_steps,
                ", ".join(f"{width}x{height}" for width, height in model.base_sizes),
                ", ".join(lora.name for lora in model.loras),
                model.license,
                model.description,
            )
        output.out.print(rows)
        output.note("* is drawn with where no model is named")
        for model in found:
            if model.schedulers:
                output.note(f"schedulers of {model.name}: {', '.join(model.schedulers)}")

    run(work, as_json=as_json)
