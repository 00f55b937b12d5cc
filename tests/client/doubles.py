"""A suite of wire doubles: real gRPC servers of every service, whose answers a test may change."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent import futures
from types import ModuleType
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin.job.v1 import job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2_grpc
from imajin.processing.v1 import processing_pb2_grpc
from imajin.prompt.v1 import prompt_pb2_grpc
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_client.addresses import SERVERS

STREAMS = {
    "StreamAnalyzeContext",
    "Generate",
    "Edit",
    "Process",
    "CreateDerivatives",
    "ClipFocal",
    "HoldLease",
    "WatchLeases",
    "WatchJob",
    "ReadJob",
    "GetJobResult",
    "DownloadJobImage",
}


class Doubles:
    """The servers, what they were asked, and what they shall answer."""

    def __init__(self, usual: ModuleType) -> None:
        self.usual = usual
        """By rpc: what answers where a test says nothing else."""
        self.asked: dict[str, list[Any]] = defaultdict(list)
        self.errors: dict[str, dict[str, Any]] = {}
        """By rpc: what it fails with instead of answering."""
        self.answers: dict[str, Callable[..., Any]] = {}
        """By rpc: what answers in the place of the double."""
        self.dropped: dict[str, threading.Event] = defaultdict(threading.Event)
        """By rpc: set when a call has ended, by the client or by itself."""
        self.port = 0
        self.server: grpc.Server | None = None
        self.start()

    def start(self) -> None:
        self.server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)], handlers=None)
        prompt_pb2_grpc.add_PromptServiceServicer_to_server(Door(self), self.server)
        diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(Door(self), self.server)
        processing_pb2_grpc.add_ProcessingServiceServicer_to_server(Door(self), self.server)
        vram_lease_pb2_grpc.add_VramLeaseServiceServicer_to_server(Door(self), self.server)
        orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(Door(self), self.server)
        job_pb2_grpc.add_JobServiceServicer_to_server(Door(self), self.server)
        states = health.HealthServicer()
        states.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(states, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self) -> None:
        assert self.server is not None
        self.server.stop(0).wait()

    @property
    def addresses(self) -> dict[str, str]:
        return dict.fromkeys(SERVERS, f"127.0.0.1:{self.port}")

    def fail(self, rpc: str, code: str, reason: str, message: str = "it failed", **facts: Any) -> None:
        self.errors[rpc] = {"code": code, "reason": reason, "message": message, **facts}


def abort(context: grpc.ServicerContext, error: dict[str, Any]) -> None:
    """Ends a call as the suite does it: one ErrorInfo, domain `imajin`."""
    status = status_pb2.Status(code=grpc.StatusCode[error["code"]].value[0], message=error["message"])
    details: list[Any] = [
        error_details_pb2.ErrorInfo(reason=error["reason"], domain="imajin", metadata=error.get("metadata"))
    ]
    if "violations" in error:
        bad = error_details_pb2.BadRequest()
        for field, description in error["violations"]:
            bad.field_violations.add(field=field, description=description)
        details.append(bad)
    if "retry" in error:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error["retry"] * 1000))
        details.append(retry)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode[error["code"]], error["message"])


class Door:
    """Every rpc of every service: notes the request, fails or answers as the test says, else answers as usual."""

    def __init__(self, doubles: Doubles) -> None:
        self.doubles = doubles

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(request: Any, context: grpc.ServicerContext) -> Any:
            answer = self.doubles.answers.get(name) or getattr(self.doubles.usual, name)
            context.add_callback(self.doubles.dropped[name].set)
            if isinstance(request, Iterator) and name != "HoldLease":
                request = list(request)
            self.doubles.asked[name].append(request)
            if name in self.doubles.errors:
                abort(context, self.doubles.errors[name])
            return answer(request, context)

        def stream(request: Any, context: grpc.ServicerContext) -> Any:
            yield from method(request, context)

        return stream if name in STREAMS else method


def hold_open(context: grpc.ServicerContext, seconds: float = 30) -> None:
    """Keeps a call open until its client has gone."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(seconds)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether `condition` holds within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()
