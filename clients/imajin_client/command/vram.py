"""`imajin vram`: who has the cards, and a command run under a lease."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.running import run
from imajin_client.errors import LeaseLost
from imajin_client.lease import AsyncLease
from imajin_client.vram import Cards, Device

app = typer.Typer(help="VRAM: cards, leases, and commands under a lease.", no_args_is_help=True)

GRACE_SECONDS = 10.0
"""From SIGTERM to SIGKILL for a command that has to go, where no revocation sets a nearer end."""


@app.command("list")
def list_cards(as_json: output.Json = False) -> None:
    """List the cards, who holds memory and who waits."""

    async def work(client: AsyncClient) -> None:
        devices, leases = await asyncio.gather(client.vram.devices(), client.vram.leases())
        cards = Cards(tuple(devices), tuple(leases))
        if as_json:
            output.document(cards)
        else:
            tell(cards)

    run(work, as_json=as_json)


@app.command()
def watch(as_json: output.JsonLines = False) -> None:
    """Show cards and leases after every change, until Ctrl-C."""

    async def work(client: AsyncClient) -> None:
        async with client.vram.watch() as changes:
            async for cards in changes:
                if as_json:
                    output.line("cards", cards)
                else:
                    output.out.rule(datetime.now(UTC).astimezone().strftime("%H:%M:%S"))
                    tell(cards)

    run(work, as_json=as_json)


@app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_under_lease(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="What to run.")],
    gib: Annotated[float, typer.Option(help="GiB to lease.")],
    holder: Annotated[str, typer.Option(help="Name that others see; the command by default.")] = "",
    device: Annotated[str, typer.Option(help="Id of a card; any by default.")] = "",
    priority: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100,
            help="Higher goes first; 50 by default, as models have. Idle models make room for anyone, busy ones at once for a "
            "higher priority and in turn for the same.",
        ),
    ] = None,
    preemptible: Annotated[
        bool, typer.Option(help="Others of higher priority may have it back, equals in turn.")
    ] = False,
    max_wait: Annotated[float | None, typer.Option(help="Seconds to wait for the memory at most.")] = None,
) -> None:
    """Run a command while memory of a card is leased for it. Its exit status is passed on.

    The command finds IMAJIN_LEASE_ID, IMAJIN_FENCING_TOKEN and IMAJIN_DEVICE_ID in its environment, and
    CUDA_VISIBLE_DEVICES on a real card. When the lease is asked back it gets SIGTERM, and SIGKILL when the time is over.
    """
    name = holder or f"run/{os.path.basename(command[0])}"[:128]

    async def work(client: AsyncClient) -> int:
        lease = client.vram.lease(
            gib=gib,
            holder=name,
            device_id=device,
            priority=priority,
            preemptible=preemptible,
            max_wait=max_wait,
            on_waiting=lambda place, free: output.note(
                f"waiting for the card: place {place}, {output.size_of(free)} free"
            ),
        )
        async with lease:
            cards = {card.device_id: card for card in await client.vram.devices()}
            return await supervise(command, lease, cards.get(lease.device_id))

    run(work)


async def supervise(command: Sequence[str], lease: AsyncLease, card: Device | None) -> int:
    """Runs `command` under `lease`; returns its exit status. Raises LeaseLost when it had to be ended."""
    environment = {
        **os.environ,
        "IMAJIN_LEASE_ID": lease.lease_id,
        "IMAJIN_FENCING_TOKEN": str(lease.fencing_token),
        "IMAJIN_DEVICE_ID": lease.device_id,
    }
    if card is not None and not card.simulated:
        environment["CUDA_VISIBLE_DEVICES"] = lease.device_id
    starting = asyncio.create_task(asyncio.create_subprocess_exec(*command, env=environment))
    try:
        child = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # asyncio would kill what is half started; it may have begun to work already.
        child = await starting
        await end(child, asyncio.create_task(child.wait()), GRACE_SECONDS)
        raise
    ended = asyncio.create_task(child.wait())
    revoked = asyncio.create_task(lease.revoked.wait())
    try:
        await asyncio.wait({ended, revoked}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and lease.revoke is not None:
            output.note(f"the lease is asked back ({lease.revoke.reason}); ending the command")
            await end(child, ended, min(lease.revoke.seconds * 0.8, GRACE_SECONDS))
            raise LeaseLost(f"the lease was asked back: {lease.revoke.reason}", details={"lease_id": lease.lease_id})
        status = await ended
        return status if status >= 0 else 128 - status
    finally:
        revoked.cancel()
        if not ended.done():
            # Ctrl-C, SIGTERM or a lost lease: the memory is given back only when nobody uses it any more.
            await asyncio.shield(end(child, ended, GRACE_SECONDS))


async def end(child: asyncio.subprocess.Process, ended: asyncio.Task[int], grace: float) -> None:
    """Ends a command: SIGTERM, then SIGKILL after `grace` seconds."""
    child.send_signal(signal.SIGTERM)
    await asyncio.wait({ended}, timeout=grace)
    if not ended.done():
        child.kill()
        await asyncio.wait({ended})


def tell(cards: Cards) -> None:
    """Prints cards and leases."""
    rows = output.table("card", "name", "total>", "leased>", "free>")
    for card in cards.devices:
        sizes = (card.total_bytes, card.leased_bytes, card.available_bytes)
        label = f"{card.name} (simulated)" if card.simulated else card.name
        output.row(rows, card.device_id, label, *(output.size_of(size) for size in sizes))
    output.out.print(rows)
    if not cards.leases:
        output.note("no leases")
        return
    rows = output.table("holder", "state", "bytes>", "in use>", "card", "priority>", "preemptible", "place>", "lease")
    for lease in cards.leases:
        output.row(
            rows,
            lease.holder,
            "idle" if lease.idle and lease.state == "held" else lease.state,
            output.size_of(lease.bytes),
            output.size_of(lease.bytes_used) if lease.bytes_used else "",
            lease.device_id,
            lease.priority,
            "yes" if lease.preemptible else "no",
            lease.position or "",
            lease.lease_id,
        )
    output.out.print(rows)
