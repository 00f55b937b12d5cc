"""Where the servers are: arguments, then `IMAJIN_<SERVER>_ADDRESS`, then `[addresses]` of imajin.toml, then loopback."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

SERVERS = ("prompt", "diffusion", "processing", "vram", "orchestrator")
"""The servers, by the names that settings and errors use."""
DEFAULTS: Mapping[str, str] = {
    "prompt": "127.0.0.1:50051",
    "diffusion": "127.0.0.1:50052",
    "processing": "127.0.0.1:50053",
    "vram": "127.0.0.1:50054",
    "orchestrator": "127.0.0.1:50055",
}
CONFIG_VARIABLE = "IMAJIN_CONFIG"


def variable(server: str) -> str:
    """Name of the variable that says where `server` is."""
    return f"IMAJIN_{server.upper()}_ADDRESS"


def addresses(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The address of every server, as `host:port`.

    Raises ValueError for an unknown server or a broken file, FileNotFoundError when IMAJIN_CONFIG names no file.
    """
    chosen = given or {}
    unknown = set(chosen) - set(SERVERS)
    if unknown:
        raise ValueError(f"no server {', '.join(sorted(unknown))}; there are: {', '.join(SERVERS)}")
    in_file = from_file()
    found: dict[str, str] = {}
    for server in SERVERS:
        choices = (chosen.get(server), os.environ.get(variable(server)), in_file.get(server), DEFAULTS[server])
        found[server] = next(choice for choice in choices if choice)
    return found


def from_file() -> dict[str, str]:
    """`[addresses]` of the settings file; empty where there is no file."""
    named = os.environ.get(CONFIG_VARIABLE)
    path = Path(named or "imajin.toml")
    if not path.is_file():
        if named:
            raise FileNotFoundError(f"{CONFIG_VARIABLE} names {path}, which is no file")
        return {}
    try:
        part = tomllib.loads(path.read_text(encoding="utf-8")).get("addresses", {})
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    if not isinstance(part, dict):
        raise ValueError(f"[addresses] in {path} must be a table")
    return {str(name): str(value) for name, value in part.items()}
