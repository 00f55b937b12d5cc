"""Cards as NVML tells them. Only its C library is stood in for, because it needs a card."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml
import pytest

from imajin_servers.vram.claims import Ask
from imajin_servers.vram.desk import Desk
from imajin_servers.vram.devices import DriverFailed, devices
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.mailbox import Mailbox

GIB = 1024**3


@dataclass
class Library:
    """As much of pynvml as is used, over cards of the test's own: bytes in use by uuid."""

    used: dict[str, int]
    total: int = 80 * GIB
    broken: set[str] = field(default_factory=set)
    shut: bool = False
    failed: threading.Event = field(default_factory=threading.Event)
    NVMLError = pynvml.NVMLError

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None:
        self.shut = True

    def nvmlDeviceGetCount(self) -> int:
        return len(self.used)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return list(self.used)[index]

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:
        return handle.encode()

    def nvmlDeviceGetName(self, handle: str) -> str:
        return "NVIDIA H100"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        if handle in self.broken:
            self.failed.set()
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(total=self.total, free=self.total - self.used[handle], used=0)


def test_cards_have_the_names_and_sizes_of_the_driver() -> None:
    library = Library({"GPU-1": 2 * GIB, "GPU-2": 0}, broken={"GPU-2"})
    with devices("auto", GIB, 1, library) as found:
        assert [(c.device_id, c.name, c.total, c.used, c.simulated) for c in found.cards] == [
            ("GPU-1", "NVIDIA H100", 80 * GIB, 2 * GIB, False)
        ]
        library.used["GPU-1"] = 3 * GIB
        assert [driver.used() for driver in found.drivers] == [3 * GIB]
        library.broken.add("GPU-1")
        with pytest.raises(DriverFailed):
            found.drivers[0].used()
    assert library.shut


def test_without_a_card_cards_are_simulated_unless_real_ones_are_asked_for() -> None:
    with devices("auto", 2 * GIB, 2, Library({})) as found:
        assert [(c.device_id, c.total, c.used) for c in found.cards] == [
            ("simulated-0", 2 * GIB, None),
            ("simulated-1", 2 * GIB, None),
        ]
    with pytest.raises(DriverFailed), devices("nvml", GIB, 1, Library({})):
        pass


async def test_the_desk_reads_the_driver_until_it_shows_the_bytes() -> None:
    library = Library({"GPU-1": 60 * GIB})
    with devices("nvml", GIB, 1, library) as found:
        loop = asyncio.get_running_loop()
        clock = SimpleNamespace(now=loop.time, sleep_until=lambda moment: asyncio.sleep(moment - loop.time()))
        ledger = Ledger(found.cards, loop.time, lambda: "lease")
        async with Desk(ledger, clock, found.drivers, poll_seconds=0.001).open() as desk:
            mailbox = Mailbox()
            claim = desk.acquire(Ask(40 * GIB, "waits"), mailbox)
            await mailbox.take()
            assert not claim.held
            library.broken.add("GPU-1")
            assert await asyncio.to_thread(library.failed.wait, 10)
            library.used["GPU-1"] = 10 * GIB
            library.broken.clear()
            await mailbox.take()
            assert claim.held
