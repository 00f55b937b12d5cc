from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from imajin.common.v1 import error_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.runtime import errors, status
from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.channels import connect


class Failing(diffusion_pb2_grpc.DiffusionServiceServicer):
    """Fails every call with the error it holds, after `answers` messages."""

    def __init__(self, error: Exception, answers: int = 0) -> None:
        self.error = error
        self.answers = answers

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[diffusion_pb2.GenerateResponse]:
        for _ in range(self.answers):
            yield diffusion_pb2.GenerateResponse()
        raise self.error

    async def ListModels(self, request: Any, context: Any) -> diffusion_pb2.ListModelsResponse:
        raise self.error


@asynccontextmanager
async def stub_of(servicer: Failing) -> AsyncIterator[diffusion_pb2_grpc.DiffusionServiceAsyncStub]:
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(f"127.0.0.1:{port}") as channel:
        yield diffusion_pb2_grpc.DiffusionServiceStub(channel)
    await server.stop(None)


async def error_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        if hasattr(call, "read"):
            while await call.read() is not grpc.aio.EOF:
                pass
            await call.code()
            raise AssertionError("the call ended well")
        await call
    return failed.value


def made(kind: type[errors.ImajinError]) -> errors.ImajinError:
    return kind("what went wrong", metadata={"fact": "1"}, retry_after=1.5)


@pytest.mark.parametrize("kind", status.BY_REASON.values(), ids=lambda kind: kind.__name__)
async def test_every_error_crosses_a_call_unchanged(kind: type[errors.ImajinError]) -> None:
    async with stub_of(Failing(made(kind))) as stub:
        raised = status.from_call(await error_of(stub.ListModels(diffusion_pb2.ListModelsRequest())))
    assert type(raised) is kind
    assert raised.message == "what went wrong"
    assert raised.metadata == {"fact": "1"}
    assert raised.retry_after == 1.5


def test_every_reason_of_the_contract_has_one_error() -> None:
    contract = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}
    assert set(status.BY_REASON) == contract


async def test_an_error_after_the_first_answers_keeps_its_details() -> None:
    async with stub_of(Failing(errors.GpuOutOfMemory.of(8 << 30, 4 << 30), answers=3)) as stub:
        error = await error_of(stub.Generate(diffusion_pb2.GenerateRequest(prompt="x")))
    raised = status.from_call(error)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.metadata["requested"] == "8GB"
    assert raised.metadata["available"] == "4GB"


async def test_an_unknown_exception_keeps_its_text_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    async with stub_of(Failing(RuntimeError("the password is swordfish"))) as stub:
        error = await error_of(stub.ListModels(diffusion_pb2.ListModelsRequest()))
    raised = status.from_call(error)
    assert isinstance(raised, errors.Internal)
    assert "swordfish" not in str(error)
    assert raised.metadata["error_id"] in raised.message


async def test_a_request_against_the_contract_lists_every_wrong_field() -> None:
    request = diffusion_pb2.GenerateRequest(prompt="a\x00b", width=1, style=model_pb2.MODEL_STYLE_ANIME, priority=101)
    async with stub_of(Failing(AssertionError("must not be reached"))) as stub:
        error = await error_of(stub.Generate(request))
    raised = status.from_call(error)
    assert isinstance(raised, errors.InvalidArgument)
    assert {violation.field for violation in raised.violations} == {"prompt", "width", "priority"}


async def test_a_status_carries_exactly_one_error_info() -> None:
    async with stub_of(Failing(errors.InvalidArgument.field("a.b", "is wrong"))) as stub:
        error = await error_of(stub.ListModels(diffusion_pb2.ListModelsRequest()))
    trailing = dict(error.trailing_metadata() or ())
    rich = status_pb2.Status.FromString(trailing[status.STATUS_DETAILS])
    infos = [detail for detail in rich.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1


async def test_a_server_that_is_not_there_is_named() -> None:
    async with connect("127.0.0.1:1") as channel:
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        error = await error_of(stub.ListModels(diffusion_pb2.ListModelsRequest()))
    raised = status.from_call(error, "diffusion")
    assert isinstance(raised, errors.ServerUnavailable)
    assert raised.metadata == {"server": "diffusion"}


class Reading(diffusion_pb2_grpc.DiffusionServiceServicer):
    """Reads all that comes."""

    async def Edit(self, requests: Any, context: Any) -> AsyncIterator[diffusion_pb2.EditResponse]:
        async for _ in requests:
            yield diffusion_pb2.EditResponse()


@pytest.mark.parametrize("method", ["Edit", "Generate", "ListModels"])
@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f"], ids=["junk", "longer than it is"])
async def test_bytes_that_are_no_message_are_an_invalid_argument(method: str, data: bytes) -> None:
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(Reading(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(f"/imajin.diffusion.v1.DiffusionService/{method}")()
        await call.write(data)
        await call.done_writing()
        error = await error_of(call)
    await server.stop(None)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(status.from_call(error), errors.InvalidArgument)


def test_details_that_are_none_leave_the_status_to_go_by() -> None:
    broken = grpc.aio.Metadata((status.STATUS_DETAILS, b"\xff\xff not a message"))
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), broken)
    assert status.from_call(error, "vram").metadata == {"server": "vram"}
