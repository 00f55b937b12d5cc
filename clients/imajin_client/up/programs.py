"""What the suite consists of, and in which order it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from imajin_client.addresses import SERVERS, addresses, from_file, variable
from imajin_client.up.metrics import metrics_addresses
from imajin_client.up.metrics import variable as metrics_variable
from imajin_client.up.probes import grpc_answers, grpc_serves, http_answers, http_serves
from imajin_client.up.settings import UpSettings

GATEWAY = "gateway"
GATEWAY_ADDRESS = "127.0.0.1:8080"
NEEDS: Mapping[str, tuple[str, ...]] = {
    "vram": (),
    "processing": (),
    "prompt": ("vram",),
    "diffusion": ("vram",),
    "orchestrator": ("prompt", "diffusion", "processing"),
    GATEWAY: ("orchestrator",),
}
TUNING: Mapping[str, str] = {
    # Threads that spin while they wait cost 4 to 13 times on a busy machine.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Returned and faulted pages dominate large gRPC messages otherwise; see docs/decisions/image-bytes.md.
    "MALLOC_MMAP_THRESHOLD_": str(64 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 1024 * 1024),
}


@dataclass(frozen=True)
class Program:
    """One process of the suite."""

    name: str
    command: Sequence[str]
    address: str
    serves: Callable[[str], Awaitable[bool]]
    """Whether it serves at an address; never raises."""
    needs: Sequence[str] = ()
    """Names of the ones that serve before it starts."""
    answers: Callable[[str, float], Awaitable[bool]] | None = None
    """Whether it says anything at an address within some seconds; never raises. Nobody asks where there is none."""
    tells_where: bool = False
    """Whether it writes to its log on SIGUSR1 where each of its threads is."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


def suite(config: UpSettings, given: Mapping[str, str] | None = None) -> list[Program]:
    """The servers and the gateway, or those of them in `config.only`, where arguments, environment and file say they are.

    Raises ValueError for an unknown name or a broken file, FileNotFoundError where IMAJIN_CONFIG names no file.
    """
    only = config.only
    unknown = sorted(set(only) - set(NEEDS))
    if unknown:
        raise ValueError(f"no server {', '.join(unknown)}; there are: {', '.join(NEEDS)}")
    places = {**addresses(given), GATEWAY: gateway_address()}
    environment = {
        **TUNING,
        # A vram server that is started again must know who still holds what.
        "IMAJIN_VRAM_JOURNAL": str(config.state_dir.resolve() / "vram-leases.json"),
        **os.environ,
        **{variable(name): address for name, address in (given or {}).items()},
    }
    if config.metrics:
        read = metrics_addresses(places)
        environment.update({metrics_variable(name): address for name, address in read.items()})
    return [
        Program(
            name=name,
            command=(sys.executable, "-m", f"imajin_servers.{name}" if name in SERVERS else "imajin_gateway"),
            address=places[name],
            serves=grpc_serves if name in SERVERS else http_serves,
            answers=grpc_answers if name in SERVERS else http_answers,
            tells_where=True,
            needs=[need for need in needs if need in only or not only],
            environment=environment,
        )
        for name, needs in NEEDS.items()
        if name in only or not only
    ]


def gateway_address() -> str:
    """Where the gateway listens: `IMAJIN_GATEWAY_ADDRESS`, then the file, then loopback."""
    return os.environ.get(variable(GATEWAY)) or from_file().get(GATEWAY) or GATEWAY_ADDRESS
