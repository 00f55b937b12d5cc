"""Writes docs/api: the reference of the contract in Markdown, and the OpenAPI file.

`python -m imajin_gateway.reference` writes into docs/api (or the folder named after it); with `--check` it compares, and exits 1
where the two differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from imajin_gateway import described, dialect
from imajin_gateway.contract import of_method, services
from imajin_gateway.openapi import openapi
from imajin_gateway.schemas import short

TARGET = Path("docs/api")
HEAD = """\
# API reference

Generated from the contract by `python -m imajin_gateway.reference`; do not edit. The same for machines: [openapi.json](openapi.json).

Fields stand here by the name that REST answers with; over gRPC they have the contract's (`negativePrompt` is `negative_prompt`), and
REST takes both. What REST adds to the contract is written in [the decision on the REST shim](../decisions/rest-shim.md).
"""
SHOWN = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "{} or more",
    "maximum": "{} or less",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
KINDS = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def files() -> dict[str, str]:
    """The generated files by name."""
    return {
        "README.md": markdown(),
        "openapi.json": json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n",
    }


def markdown() -> str:
    """The reference."""
    every = sorted(services(), key=lambda service: service.full_name)
    parts = [HEAD, "## Services\n", "\n".join(f"- [{service.name}](#{anchor(service.full_name)})" for service in every)]
    parts += [service_section(service) for service in every]
    messages, enums = reachable(every)
    parts += ["## Messages\n", *(message_section(message) for message in messages)]
    parts += ["## Enums\n", *(enum_section(enum) for enum in enums)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def anchor(full_name: str) -> str:
    """How Markdown links to the heading of a name."""
    return short(full_name).replace(".", "").lower()


def link(full_name: str) -> str:
    """A link to the section of a name."""
    return f"[{short(full_name)}](#{anchor(full_name)})"


def service_section(service: ServiceDescriptor) -> str:
    """A service and its rpcs."""
    text = described.comments().get(service.full_name, "")
    return "\n".join([f"## {short(service.full_name)}\n", text, "", *(rpc(method) for method in service.methods)])


def rpc(method: MethodDescriptor) -> str:
    """One rpc: signature, HTTP, comment."""
    takes = f"{'stream ' if method.client_streaming else ''}{link(method.input_type.full_name)}"
    output = method.output_type.full_name
    gives = f"{'stream ' if method.server_streaming else ''}{link(output) if output.startswith('imajin.') else f'`{output}`'}"
    ways = [f"`{binding.verb} {binding.template}` → {', '.join(binding.offers)}" for binding in of_method(method)]
    lines = [f"### {method.name}\n", f"{takes} → {gives}\n"]
    lines += [*(f"- {way}" for way in ways), ""] if ways else ["gRPC only.\n"]
    return "\n".join([*lines, described.comments().get(method.full_name, ""), ""])


def reachable(every: list[ServiceDescriptor]) -> tuple[list[Descriptor], list[EnumDescriptor]]:
    """Messages and enums that the services use, by name."""
    messages: dict[str, Descriptor] = {}
    enums: dict[str, EnumDescriptor] = {}

    def visit(message: Descriptor) -> None:
        if message.full_name in messages or not message.full_name.startswith("imajin."):
            return
        if not message.GetOptions().map_entry:
            messages[message.full_name] = message
        for field in message.fields:
            if field.message_type is not None:
                visit(field.message_type)
            if field.enum_type is not None:
                enums[field.enum_type.full_name] = field.enum_type

    for service in every:
        for method in service.methods:
            visit(method.input_type)
            visit(method.output_type)
    return [messages[name] for name in sorted(messages)], [enums[name] for name in sorted(enums)]


def message_section(message: Descriptor) -> str:
    """A message and its fields."""
    lines = [f"### {short(message.full_name)}\n", described.comments().get(message.full_name, ""), ""]
    if message.fields:
        lines += ["| Field | Type | Limits | What it is |", "|---|---|---|---|", *map(row, message.fields)]
    return "\n".join([*lines, ""])


def row(field: FieldDescriptor) -> str:
    """A field as a row of a table."""
    text = described.comments().get(field.full_name, "").replace("\n", " ")
    oneof = f" One of `{field.containing_oneof.name}`." if field.containing_oneof is not None else ""
    cells = [f"`{field.json_name}`", type_of(field), "; ".join(limit_texts(field)), text + oneof]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def type_of(field: FieldDescriptor) -> str:
    """The type of a field, linked where it has a section."""
    if dialect.is_map(field):
        key, value = dialect.map_fields(field)
        return f"map of {type_of(key)} to {type_of(value)}"
    named = field.enum_type or field.message_type
    if named is not None:
        name = named.full_name
        kind = link(name) if name.startswith("imajin.") else f"`{name}`"
    else:
        kind = KINDS[field.type]
    return f"list of {kind}" if field.is_repeated else kind


def limit_texts(field: FieldDescriptor) -> Iterator[str]:
    """The limits of a field in words. Patterns are left to the OpenAPI file."""
    if described.is_required(field.full_name):
        yield "required"
    limits = described.limits(field.full_name)
    yield from in_words(limits)
    if limits.get("uniqueItems"):
        yield "none twice"
    yield from (f"each {text}" for text in in_words(limits.get("items", {})))


def in_words(limits: dict[str, Any]) -> Iterator[str]:
    """Keywords of JSON Schema in words."""
    for keyword, words in SHOWN.items():
        if keyword in limits:
            yield words.format(limits[keyword])


def enum_section(enum: EnumDescriptor) -> str:
    """An enum and its values."""
    lines = [f"### {short(enum.full_name)}\n", described.comments().get(enum.full_name, ""), ""]
    lines += ["| REST | gRPC | What it is |", "|---|---|---|"]
    for value in enum.values:
        text = described.comments().get(f"{enum.full_name}.{value.name}", "").replace("\n", " ")
        lines.append(f"| {f'`{dialect.short(value)}`' if value.number else ''} | `{value.name}` | {text} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    """Writes or compares; returns the exit status."""
    named = [argument for argument in arguments if argument != "--check"]
    target = Path(named[0]) if named else TARGET
    stale = []
    for name, text in files().items():
        path = target / name
        if "--check" in arguments:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(path)
        else:
            target.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} does not match the contract: run `python -m imajin_gateway.reference`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
