"""Writes docs/settings.md: every setting of every server, of the gateway and of `imajin up`, out of the classes that read them.

`python docs/settings.py` writes it; with `--check` it compares, and exits 1 where the two differ.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from imajin_client.up.settings import UpSettings
from imajin_gateway.settings import Addresses, GatewaySettings
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.orchestrator.settings import OrchestratorSettings
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.prompt.settings import PromptSettings
from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.settings import Section, ServerSettings
from imajin_servers.vram.settings import VramSettings

TARGET = Path(__file__).with_suffix(".md")
HEAD = """\
# Settings

Written by `python docs/settings.py` out of the classes that read them; do not edit.

A setting comes from a variable, else from one TOML file, else it has its default. The file is `imajin.toml` in the working folder, or the
one that `IMAJIN_CONFIG` names. `device = "cuda"` under `[diffusion]` and `IMAJIN_DIFFUSION_DEVICE=cuda` are the same; what is nested
takes two underscores (`IMAJIN_DIFFUSION_MODERATION__LEVEL=strict`), and lists and tables are JSON in a variable.
A setting that makes no sense ends its server with a sentence and exit status 2.
"""
SECTIONS: Mapping[str, type[BaseModel]] = {
    "prompt": PromptSettings,
    "diffusion": DiffusionSettings,
    "processing": ProcessingSettings,
    "vram": VramSettings,
    "orchestrator": OrchestratorSettings,
    "gateway": GatewaySettings,
    "credentials": CredentialSettings,
    "up": UpSettings,
}
SHARED = frozenset(ServerSettings.model_fields)
KINDS: Mapping[Any, str] = {
    bool: "`true`, `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
}


def markdown() -> str:
    """The page."""
    parts = [HEAD]
    parts += ["## `[addresses]`", variables("IMAJIN_<SERVER>_ADDRESS"), table(Addresses, Addresses.model_fields)]
    shared = {name: field for name, field in ServerSettings.model_fields.items() if name != "addresses"}
    text = "In the section of each server, such as `[prompt]` and `IMAJIN_PROMPT_*`."
    parts += ["## Every server", text, table(ServerSettings, shared)]
    for section, kind in SECTIONS.items():
        parts += [f"## `[{section}]`", variables(f"IMAJIN_{section.upper()}_*"), *tables(section, kind)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def variables(pattern: str) -> str:
    """The line that says which variables a section has."""
    return f"Variables `{pattern}`."


def tables(section: str, kind: type[BaseModel]) -> Iterator[str]:
    """The table of a class, then those of the classes that are nested in it."""
    own = {
        name: field
        for name, field in kind.model_fields.items()
        if not (issubclass(kind, ServerSettings) and name in SHARED) and name != "addresses" and not is_section(field)
    }
    nested = {name: found for name, field in own.items() if (found := nested_in(field.annotation))}
    yield table(kind, {name: field for name, field in own.items() if name not in nested})
    for name, found in nested.items():
        place = f"{section}.{name}"
        many, named = get_origin(own[name].annotation) is list, get_origin(own[name].annotation) is dict
        yield f"### `{f'[[{place}]]' if many else f'[{place}.NAME]' if named else f'[{place}]'}`"
        said = documented(kind).get(name) or inspect.cleandoc(found.__doc__ or "")
        yield " ".join(said.split())
        yield from tables(place, found)


def is_section(field: FieldInfo) -> bool:
    """Whether a field is a section of its own in the file."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def nested_in(annotation: Any) -> type[BaseModel] | None:
    """The class of the settings in a field, in a list or in a table of them; None for plain values."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def table(kind: type[BaseModel], fields: Mapping[str, FieldInfo]) -> str:
    """Settings with what they take, their default, and what they are. Raises KeyError for one that has no docstring."""
    lines = ["| setting | takes | default | |", "| --- | --- | --- | --- |"]
    for name, field in fields.items():
        text = " ".join(documented(kind)[name].split())
        lines.append(f"| `{name}` | {takes(field)} | {default(field)} | {text} |")
    return "\n".join(lines)


@cache
def documented(kind: type[BaseModel]) -> dict[str, str]:
    """The docstring of each field of a class and of those above it."""
    found: dict[str, str] = {}
    for each in reversed([one for one in kind.__mro__ if one is not BaseModel and issubclass(one, BaseModel)]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for field, after in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = after.value if isinstance(after, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[field.target.id] = text.value
    return found


def takes(field: FieldInfo) -> str:
    """What a setting may be, in words."""
    words = kind_of(field.annotation)
    bounds = {type(each).__name__: each for each in field.metadata}
    least = bounds["Ge"].ge if "Ge" in bounds else bounds["Gt"].gt if "Gt" in bounds else None
    most = bounds["Le"].le if "Le" in bounds else bounds["Lt"].lt if "Lt" in bounds else None
    above = "above " if "Gt" in bounds else ""
    if least is not None and most is not None:
        return f"{words}, {above}{least} to {most}"
    if least is not None:
        return f"{words}, above {least}" if above else f"{words}, {least} or more"
    return words


def kind_of(annotation: Any) -> str:
    """What a type is called."""
    arguments = [each for each in get_args(annotation) if each is not type(None)]
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin in (list, tuple):
        return f"list of {kind_of(arguments[0])}" if origin is list or arguments[-1] is ... else "`[width, height]`"
    if origin is dict:
        return "table"
    if origin is not None:
        return kind_of(arguments[0])
    return KINDS.get(
        annotation, {"ByteSize": "bytes, such as `8GiB`", "SecretStr": "text"}.get(annotation.__name__, "")
    )


def default(field: FieldInfo) -> str:
    """The default, as the file would say it; empty where there is none to say."""
    value = field.default
    if value is PydanticUndefined or value is None or value in ("", (), []) or kind_of(field.annotation) == "table":
        return ""
    if hasattr(value, "get_secret_value"):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1024**2 and value % 1024**2 == 0:
        return f"`{value}` ({value // 1024**2} MiB)"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main() -> None:
    """Writes the page, or compares it."""
    text = markdown()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"{TARGET} is not what the settings say; run python docs/settings.py")


if __name__ == "__main__":
    main()
