"""The cards of this host: read from the NVIDIA driver, or simulated where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

import structlog

from imajin_servers.vram.claims import Card

log = structlog.get_logger()
Kind = Literal["auto", "nvml", "simulated"]


class DriverFailed(Exception):
    """A driver does not answer."""


class Driver(Protocol):
    """Tells how much of one card is in use."""

    @property
    def device_id(self) -> str:
        """Id of the card."""
        ...

    def used(self) -> int:
        """Bytes in use by whomever. Blocks for a moment. Raises DriverFailed."""
        ...


@dataclass(frozen=True)
class Devices:
    """Cards, and the drivers of those that have one."""

    cards: Sequence[Card]
    drivers: Sequence[Driver]


@contextlib.contextmanager
def devices(kind: Kind, simulated_bytes: int, simulated_cards: int, nvml: Any = None) -> Iterator[Devices]:
    """The cards of this host while the context lives. `auto` simulates where NVML finds none. Raises DriverFailed.

    `nvml` is the module that speaks to the driver: pynvml where none is given.
    """
    simulated = Devices([simulated_card(index, simulated_bytes) for index in range(simulated_cards)], [])
    if kind == "simulated":
        yield simulated
        return
    with nvml_devices(nvml or import_module("pynvml")) as found:
        if found.cards:
            yield found
        elif kind == "auto":
            yield simulated
        else:
            raise DriverFailed("NVML finds no card")


def simulated_card(index: int, total: int) -> Card:
    """A card of `total` bytes that exists on paper."""
    return Card(device_id=f"simulated-{index}", name="simulated card", total=total, simulated=True)


@dataclass(frozen=True)
class NvmlDriver:
    """One card of NVML."""

    nvml: Any
    device_id: str
    handle: Any

    def memory(self) -> tuple[int, int]:
        """All bytes, and those in use or reserved by the driver."""
        try:
            info = self.nvml.nvmlDeviceGetMemoryInfo(self.handle)
        except self.nvml.NVMLError as error:
            raise DriverFailed(str(error)) from None
        return int(info.total), int(info.total) - int(info.free)

    def used(self) -> int:
        """Bytes in use by whomever. Raises DriverFailed."""
        return self.memory()[1]


@contextlib.contextmanager
def nvml_devices(nvml: Any) -> Iterator[Devices]:
    """The cards that NVML shows; none without a driver. Those that don't tell their memory are left out."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        log.info("no NVIDIA driver", error=str(error))
        yield Devices([], [])
        return
    try:
        cards: list[Card] = []
        drivers: list[NvmlDriver] = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            driver = NvmlDriver(nvml, text(nvml.nvmlDeviceGetUUID(handle)), handle)
            try:
                total, used = driver.memory()
            except DriverFailed as error:
                log.warning("a card does not tell its memory", device=driver.device_id, error=str(error))
                continue
            name = text(nvml.nvmlDeviceGetName(handle))
            cards.append(Card(device_id=driver.device_id, name=name, total=total, simulated=False, used=used))
            drivers.append(driver)
        yield Devices(cards, drivers)
    finally:
        nvml.nvmlShutdown()


def text(value: str | bytes) -> str:
    """A string of NVML, which older releases give as bytes."""
    return value.decode() if isinstance(value, bytes) else value
