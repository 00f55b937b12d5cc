"""What Prometheus may read of the cards and their leases."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

from imajin_servers.runtime.metrics import SECONDS
from imajin_servers.vram.book import Book
from imajin_servers.vram.claims import ClaimState, Ended, Event, Granted, Refused, Revoked

LEASES = Gauge("imajin_vram_leases", "Leases on a card: held, or asked back.", ("device", "state"))
BYTES = Gauge(
    "imajin_vram_bytes",
    "Memory of a card: in all, leased, free to lease, and in use by the driver's word.",
    ("device", "what"),
)
WAITING = Gauge("imajin_vram_waiting", "Claims that wait for room, leases that wait to grow included.")
WAIT = Histogram("imajin_vram_wait_seconds", "Time from asking for a lease to its grant.", buckets=SECONDS)
ENDS = Counter(
    "imajin_vram_ends_total", "Claims that are over: released, revoked, expired, or refused after waiting.", ("cause",)
)
REVOKES = Counter("imajin_vram_revokes_total", "Leases that were asked back, by why.", ("cause",))

ENDINGS = {"CLIENT": "released", "REVOKED": "revoked", "EXPIRED": "expired"}


def stands(book: Book) -> None:
    """Sets the gauges by what the book says now."""
    WAITING.set(len(book.line()))
    for card in book.cards.values():
        claims = list(book.on(card))
        revoking = sum(claim.state is ClaimState.REVOKING for claim in claims)
        LEASES.labels(card.device_id, "held").set(len(claims) - revoking)
        LEASES.labels(card.device_id, "revoking").set(revoking)
        BYTES.labels(card.device_id, "total").set(card.total)
        BYTES.labels(card.device_id, "leased").set(book.leased(card))
        BYTES.labels(card.device_id, "free").set(book.room(card))
        if card.used is not None:
            BYTES.labels(card.device_id, "used").set(card.used)


def happened(event: Event, now: Callable[[], float]) -> None:
    """Counts an event of the ledger; `now` is the ledger's clock."""
    match event:
        case Granted(claim):
            WAIT.observe(now() - claim.asked_at)
        case Revoked(claim):
            REVOKES.labels(claim.revoke_cause.name.lower() if claim.revoke_cause else "").inc()
        case Ended(_, cause):
            ENDS.labels(ENDINGS[cause.name]).inc()
        case Refused():
            ENDS.labels("refused").inc()
        case _:
            pass
