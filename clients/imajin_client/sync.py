"""The same client for code without an event loop. Each method is made from its twin, so that the two can't drift."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import ParamSpec, Self

from imajin_client.client import AsyncClient
from imajin_client.errors import LeaseLost
from imajin_client.jobs import AsyncJobs
from imajin_client.lease import AsyncLease, Revoke
from imajin_client.twin import Blocking, Iterating, Method, Portal, Twin
from imajin_client.vram import AsyncVram

P = ParamSpec("P")


class Lease:
    """Memory of a card, held while the block `with client.vram.lease(...) as lease` runs.

    Python can't stop a thread: a block under a preemptible lease asks `lease.revoked` or calls `lease.check()` between
    its steps. A lease that was lost raises LeaseLost at the end of the block.
    """

    def __init__(self, portal: Portal, lease: AsyncLease) -> None:
        self._portal = portal
        self._lease = lease

    def __enter__(self) -> Self:
        """Waits for the memory. Raises GpuOutOfMemory, QueueFull, NotFound (no such card), Unavailable."""
        self._portal.run(self._lease.acquire())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the memory back. Raises LeaseLost when it was lost while the block ran."""
        self._portal.run(self._lease.release())
        if self._lease.lost is not None and kind is None:
            raise self._lease.lost

    @property
    def lease_id(self) -> str:
        """Id of the lease."""
        return self._lease.lease_id

    @property
    def fencing_token(self) -> int:
        """Grows with every grant. Work that is done under the lease carries it."""
        return self._lease.fencing_token

    @property
    def device_id(self) -> str:
        """Id of the card."""
        return self._lease.device_id

    @property
    def bytes(self) -> int:
        """Bytes held."""
        return self._lease.bytes

    @property
    def position(self) -> int:
        """Place in the line while it waits, 1 is next."""
        return self._lease.position

    @property
    def revoked(self) -> bool:
        """Whether the lease is asked back."""
        return self._lease.revoked.is_set()

    @property
    def revoke(self) -> Revoke | None:
        """Why it is asked back, and how soon."""
        return self._lease.revoke

    @property
    def lost(self) -> LeaseLost | None:
        """Why the memory may not be used any more."""
        return self._lease.lost

    def check(self) -> None:
        """Raises LeaseLost unless the memory may be used."""
        self._lease.check()

    def report(self, *, bytes_used: int | None = None, idle: bool | None = None) -> None:
        """Says how much is in use, and whether nobody needs it at the moment."""

        async def told() -> None:  # in the loop that the heartbeats go out from
            self._lease.report(bytes_used=bytes_used, idle=idle)

        self._portal.run(told())

    def resize(self, *, gib: float = 0, bytes: int = 0) -> None:
        """Holds another amount in all; more waits in the line. Raises GpuOutOfMemory, LeaseLost."""
        self._portal.run(self._lease.resize(gib=gib, bytes=bytes))


class Leasing(Method[AsyncVram, P, Lease]):
    """The method that makes a lease."""

    def called(self, twin: Twin[AsyncVram], *args: P.args, **options: P.kwargs) -> Lease:
        """A lease that is held in the client's own loop."""
        return Lease(twin._portal, self.method(twin._target, *args, **options))


class Jobs(Twin[AsyncJobs]):
    """Jobs of the orchestrator."""

    get = Blocking(AsyncJobs.get)
    list = Blocking(AsyncJobs.list)
    watch = Iterating(AsyncJobs.watch)
    wait = Blocking(AsyncJobs.wait)
    cancel = Blocking(AsyncJobs.cancel)
    result = Blocking(AsyncJobs.result)
    images = Blocking(AsyncJobs.images)
    download = Blocking(AsyncJobs.download)


class Vram(Twin[AsyncVram]):
    """The vram server: cards and leases."""

    devices = Blocking(AsyncVram.devices)
    leases = Blocking(AsyncVram.leases)
    watch = Iterating(AsyncVram.watch)
    lease = Leasing(AsyncVram.lease)


class Client(Twin[AsyncClient]):
    """The suite, for code without an event loop; `AsyncClient` says what each method does.

    It runs the coroutines in a thread of its own and may be used from many threads. Use it as `with Client() as client`.
    """

    def __init__(self, addresses: Mapping[str, str] | None = None) -> None:
        super().__init__(Portal(), AsyncClient(addresses))
        self.jobs = Jobs(self._portal, self._target.jobs)
        self.vram = Vram(self._portal, self._target.vram)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where this client calls each server."""
        return self._target.addresses

    def __enter__(self) -> Self:
        """The client; connections are made when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self.close()

    def close(self) -> None:
        """Closes the connections and ends the thread; calls under way are cancelled."""
        if not self._portal.ending:
            self._portal.run(self._target.close())
            self._portal.close()

    health = Blocking(AsyncClient.health)
    describe = Blocking(AsyncClient.describe)
    describe_stream = Iterating(AsyncClient.describe_stream)
    generate = Blocking(AsyncClient.generate)
    generate_stream = Iterating(AsyncClient.generate_stream)
    edit = Blocking(AsyncClient.edit)
    edit_stream = Iterating(AsyncClient.edit_stream)
    submit_generate = Blocking(AsyncClient.submit_generate)
    batch_sizes = Blocking(AsyncClient.batch_sizes)
    plan_sizes = Blocking(AsyncClient.plan_sizes)
    sizes = Blocking(AsyncClient.sizes)
    models = Blocking(AsyncClient.models)
    process = Blocking(AsyncClient.process)
    derivatives = Blocking(AsyncClient.derivatives)
    clip_focal = Blocking(AsyncClient.clip_focal)
    focal_point = Blocking(AsyncClient.focal_point)
    verify = Blocking(AsyncClient.verify)
    families = Blocking(AsyncClient.families)
