"""Leases as a vram server tells of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imajin.vram.v1 import vram_lease_pb2 as pb


async def leases_once(stub: Any, wanted: Callable[[list[pb.Lease]], bool]) -> list[pb.Lease]:
    """The leases as soon as they are as `wanted`; the watch says when they change, and the test's timeout is the limit."""
    call = stub.WatchLeases(pb.WatchLeasesRequest())
    try:
        async for answer in call:
            if wanted(list(answer.leases)):
                return list(answer.leases)
    finally:
        call.cancel()
    raise AssertionError("the watch ended")
