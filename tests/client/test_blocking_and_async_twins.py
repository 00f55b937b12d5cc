"""The blocking client is the coroutine client: same public members, same parameters, same words."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import imajin_client
from imajin_client import AsyncClient, AsyncLease, Client, Lease
from imajin_client.calls import Stream
from imajin_client.jobs import AsyncJobs
from imajin_client.sync import Jobs, Vram
from imajin_client.twin import Events
from imajin_client.vram import AsyncVram

from .doubles import Doubles

PAIRS = [(AsyncClient, Client), (AsyncJobs, Jobs), (AsyncVram, Vram)]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("coroutine_face", "blocking_face"), [*PAIRS, (AsyncLease, Lease)])
def test_the_twins_have_the_same_members(coroutine_face: type, blocking_face: type) -> None:
    members = public(coroutine_face)
    if coroutine_face is AsyncLease:
        # A block is the only way to hold one without an event loop; the attributes are properties there.
        members = members - {"acquire", "release"} | {
            "lease_id",
            "fencing_token",
            "device_id",
            "bytes",
            "position",
            "revoked",
            "revoke",
            "lost",
        }
    assert public(blocking_face) == members


@pytest.mark.parametrize("pair", PAIRS)
def test_the_twins_have_the_same_signatures_and_words(pair: tuple[type, type], doubles: Doubles) -> None:
    coroutine_face, blocking_face = pair
    with Client(doubles.addresses) as client:
        twins = {Client: client, Jobs: client.jobs, Vram: client.vram}
        for name in public(coroutine_face):
            method = getattr(coroutine_face, name)
            if not callable(method) or name == "close":
                continue
            twin = getattr(twins[blocking_face], name)
            parameters = list(inspect.signature(method).parameters.values())[1:]
            assert list(inspect.signature(twin).parameters.values()) == parameters, name
            assert twin.__doc__ == method.__doc__
            assert method.__doc__, name


def test_streams_and_events_are_closed_alike() -> None:
    assert public(Stream) == {"aclose"}
    assert public(Events) == {"close"}


def test_what_is_exported_is_there_and_documented() -> None:
    for name in imajin_client.__all__:
        assert getattr(imajin_client, name).__doc__, name


def test_the_client_imports_no_heavy_package() -> None:
    code = "import sys, imajin_client, imajin_client.command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"PIL", "torch", "numpy", "imajin_servers", "imajin_gateway"} & set(loaded)
