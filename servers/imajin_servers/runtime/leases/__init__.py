"""VRAM leases, as an engine holds them: ask, wait, hold, give back.

    leases = LeaseClient(channel)                            # channel = connect(settings.addresses.vram)
    async with await leases.acquire(
        2 * 2**30, holder="diffusion/embedded", priority=60, preemptible=True,
        on_waiting=lambda position, requested, available: ...,   # called in the event loop, must not block
    ) as lease:
        lease.fencing_token, lease.device_id, lease.bytes
        lease.report_used(bytes)       # lets the server see what is in use
        lease.report_idle(True)        # nobody needs it now: it may be asked back for whoever does
        await lease.resize(3 * 2**30)  # less at once; more waits in the queue
        lease.check()                  # between two steps, from any thread: raises LeaseLost once the lease is void
        lease.revoked                  # Event: asked back; finish the step, free the memory, release within
        lease.revoke_reason            #   lease.seconds_to_revoke() seconds. PREEMPTED or DRAINING
        lease.lost                     # Event: void. Stop using the card at once

`acquire` raises GpuOutOfMemory (no card can ever hold it, or `max_wait` passed), QueueFull, NotFound (no such card),
InvalidArgument, Draining and ServerUnavailable. A cancelled `acquire` takes the request out of the queue before the
cancellation goes on. `resize` raises the same, and LeaseLost; after a failed or cancelled one the old amount is still held.

Heartbeats go out in the background, as messages: the transport answers pings even while a process hangs. A broken
stream is taken up again with the lease's token until the TTL has passed since the last heartbeat that was answered;
then the lease is void here too, even if the server can't be asked. A server that was there and is gone is waited for by
`acquire`, for as long as the client's `outage` says. `release` never raises; where the server can't be
told within five seconds, the TTL ends the lease.
"""

from imajin_servers.runtime.leases.asking import LeaseClient
from imajin_servers.runtime.leases.held import HeldLease, OnWaiting

__all__ = ["HeldLease", "LeaseClient", "OnWaiting"]
