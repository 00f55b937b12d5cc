"""Room on the card, leased from the vram server, or taken for granted where there is none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from imajin_servers.diffusion.models.usage import Usage
from imajin_servers.runtime.errors import NotFound, ServerUnavailable
from imajin_servers.runtime.leases import HeldLease, LeaseClient

OnWaiting = Callable[[int, int, int], None]

log = structlog.get_logger()


class Card:
    """Hands out leases of the card `device_id`, of any where that is empty or not among those that the vram server knows.

    Without `client` nothing is leased; unless `required`, nothing is where no vram server answers and none ever did.
    """

    def __init__(
        self,
        client: LeaseClient | None,
        usage: Usage,
        *,
        required: bool = False,
        max_wait: float = 600.0,
        device_id: str = "",
    ) -> None:
        self.client = client
        self.usage = usage
        self.device_id = device_id
        self.required = required
        self.max_wait = max_wait
        self.warned = False

    async def acquire(
        self, bytes: int, holder: str, priority: int, on_waiting: OnWaiting, *, group: str, preemptible: bool = False
    ) -> HeldLease | None:
        """Waits for `bytes`, of which none are in use yet. None where nothing is leased. Raises GpuOutOfMemory and what else leases raise."""
        if self.client is None or bytes == 0:
            return None
        ask = partial(
            self.client.acquire,
            bytes,
            holder=holder,
            priority=priority,
            preemptible=preemptible,
            max_wait=self.max_wait,
            group=group,
            on_waiting=on_waiting,
        )
        try:
            try:
                lease = await ask(device_id=self.device_id)
            except NotFound:
                if not self.device_id:
                    raise
                log.warning("the vram server doesn't know the card: leasing of any", device=self.device_id)
                self.device_id = ""
                lease = await ask()
        except ServerUnavailable:
            # Where one was there before, others may hold what it will know again when it comes back.
            if self.required or self.client.heard is not None:
                raise
            if not self.warned:
                log.warning("no vram server answers: working without leases")
                self.warned = True
            return None
        lease.report_used(0)
        return lease
