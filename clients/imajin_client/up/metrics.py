"""Where Prometheus may read each program: what its settings say, else the port of its address and a thousand more, on loopback."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imajin_client.addresses import CONFIG_VARIABLE

BESIDE = 1000
"""From the port of a program to that of its metrics."""


def variable(name: str) -> str:
    """Name of the variable that says where the metrics of `name` are; set and empty, they are nowhere."""
    return f"IMAJIN_{name.upper()}_METRICS_ADDRESS"


def metrics_addresses(places: Mapping[str, str]) -> dict[str, str]:
    """Where the metrics of each program are, as `host:port`, by the `places` where they serve; without those that have none."""
    in_file = sections()
    found = {}
    for name, place in places.items():
        said = os.environ.get(variable(name), in_file.get(name, {}).get("metrics_address"))
        address = beside(place) if said is None else str(said)
        if address:
            found[name] = address
    return found


def beside(place: str) -> str:
    """The address of metrics for a program at `place`; empty where there is no such port."""
    _, _, port = place.rpartition(":")
    number = int(port) + BESIDE if port.isdigit() else 0
    return f"127.0.0.1:{number}" if BESIDE < number < 65536 else ""


def sections() -> dict[str, dict[str, Any]]:
    """The tables of the settings file; empty where there is none that can be read: who needs it says so."""
    path = Path(os.environ.get(CONFIG_VARIABLE) or "imajin.toml")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: table for name, table in tables.items() if isinstance(table, dict)}
