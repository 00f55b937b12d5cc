"""What goes wrong comes out as a member of one tree, with its reason and its facts."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from imajin.common.v1 import error_pb2
from imajin.job.v1 import job_pb2
from imajin_client import AsyncClient, Client, ImajinError, errors

from .answers import PIXELS, image_chunks, job
from .doubles import Doubles, hold_open


def test_every_reason_of_the_contract_has_a_class() -> None:
    names = [name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.keys()]
    missing = [name for name in names if name not in errors.BY_REASON and name != "UNSPECIFIED"]
    assert missing == []


def test_the_tree_is_drawn_as_it_is() -> None:
    for reason, kind in errors.BY_REASON.items():
        drawn = [line for line in errors.__doc__.splitlines() if f"─ {kind.__name__} " in line]
        assert len(drawn) == 1, kind
        assert reason in drawn[0].split()
        depth = drawn[0].index("─ ") // 4
        assert kind.__mro__.index(ImajinError) == depth + 1, kind


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        ("RESOURCE_EXHAUSTED", "GPU_OOM", errors.GpuOutOfMemory),
        ("NOT_FOUND", "MODEL_NOT_FOUND", errors.ModelNotFound),
        ("FAILED_PRECONDITION", "CONTENT_REJECTED", errors.ContentRejected),
        ("DEADLINE_EXCEEDED", "LLM_TIMEOUT", errors.LlmTimeout),
        ("INTERNAL", "INTERNAL", errors.Internal),
        ("CANCELLED", "JOB_CANCELLED", errors.JobCancelled),
    ],
)
async def test_a_typed_error_keeps_reason_message_and_facts(
    code: str, reason: str, kind: type[ImajinError], doubles: Doubles, client: AsyncClient
) -> None:
    doubles.fail("Generate", code, reason, "no", metadata={"requested": "8GB", "available": "4GB"})
    with pytest.raises(kind) as caught:
        await client.generate("a panda")
    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.message) == (reason, "no")
    assert caught.value.details == {"requested": "8GB", "available": "4GB"}


async def test_violations_and_retry_delay_come_along(doubles: Doubles, client: AsyncClient) -> None:
    doubles.fail("AnalyzeContext", "INVALID_ARGUMENT", "INVALID_ARGUMENT", violations=[("filters.region", "too long")])
    with pytest.raises(errors.InvalidArgument) as caught:
        await client.describe("a panda")
    assert caught.value.violations == (errors.Violation("filters.region", "too long"),)
    doubles.fail("SubmitBatchSizes", "RESOURCE_EXHAUSTED", "QUEUE_FULL", retry=1.5)
    with pytest.raises(errors.QueueFull) as full:
        await client.batch_sizes("a panda", sizes=["hero"])
    assert full.value.retry_after == 1.5


async def test_a_reason_from_the_future_is_still_an_imajin_error(doubles: Doubles, client: AsyncClient) -> None:
    doubles.fail("ListModels", "ABORTED", "NOT_INVENTED_YET")
    with pytest.raises(ImajinError) as caught:
        await client.models()
    assert caught.value.reason == "NOT_INVENTED_YET"


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient({"diffusion": "127.0.0.1:1"}) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.models()
    assert caught.value.details == {"server": "diffusion", "address": "127.0.0.1:1"}


async def test_a_status_without_a_word_of_the_suite_is_mapped_too(doubles: Doubles, client: AsyncClient) -> None:
    def refuse(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "who are you")

    doubles.answers["ListModels"] = refuse
    with pytest.raises(errors.Internal, match="UNIMPLEMENTED"):
        await client.models()


async def test_the_deadline_of_a_call_is_a_timeout_and_ends_the_work(doubles: Doubles, client: AsyncClient) -> None:
    doubles.answers["Generate"] = lambda request, context: hold_open(context) or iter(())
    with pytest.raises(errors.Timeout) as caught:
        await client.generate("a panda", timeout=0.1)
    assert caught.value.reason == "DEADLINE"
    assert doubles.dropped["Generate"].wait(10)


async def test_a_failed_job_raises_its_own_error(doubles: Doubles, client: AsyncClient) -> None:
    doubles.answers["WatchJob"] = lambda request, context: iter([job_pb2.WatchJobResponse(sequence=1, job=job(4))])
    with pytest.raises(errors.GpuOutOfMemory) as caught:
        await client.jobs.wait("job-1")
    assert caught.value.details["requested"] == "8GB"


@pytest.mark.parametrize("fault", ["gap", "gap without a hash", "hash", "cut off", "missing"])
async def test_a_damaged_transfer_is_told(fault: str, doubles: Doubles, client: AsyncClient) -> None:
    chunks = list(image_chunks(PIXELS))
    match fault:
        case "gap":
            del chunks[1]
        case "gap without a hash":
            chunks[0].info.sha256 = b""
            del chunks[1]
        case "hash":
            chunks[0].info.sha256 = bytes(32)
        case "cut off":
            del chunks[2]
        case "missing":
            chunks.clear()
    answer = job_pb2.GetJobResultResponse
    events = [answer(chunk=chunk) for chunk in chunks] + [answer(result=job_pb2.JobResult(format=3))]
    doubles.answers["GetJobResult"] = lambda request, context: iter(events)
    with pytest.raises(errors.TransferBroken):
        await client.jobs.result("job-1")


async def test_unknown_words_are_refused_before_the_call(doubles: Doubles, client: AsyncClient) -> None:
    with pytest.raises(errors.InvalidArgument, match="there are: png, jpeg, webp, avif"):
        await client.generate("a panda", format="gif")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sead"):
        await client.generate("a panda", sead=1)  # type: ignore[call-arg]
    assert doubles.asked["Generate"] == []


async def test_what_is_no_image_is_refused_before_the_call(client: AsyncClient, tmp_path: Any) -> None:
    with pytest.raises(errors.ImageInvalid):
        await client.focal_point(7)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        await client.focal_point(tmp_path / "nothing.png")


def test_the_blocking_twin_raises_the_same(doubles: Doubles) -> None:
    doubles.fail("GetJob", "NOT_FOUND", "JOB_NOT_FOUND", metadata={"job_id": "x"})
    with Client(doubles.addresses) as client, pytest.raises(errors.JobNotFound) as caught:
        client.jobs.get("x")
    assert caught.value.details == {"job_id": "x"}


def test_addresses_come_from_arguments_then_environment_then_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imajin.toml").write_text('[addresses]\nprompt = "file:1"\nvram = "file:2"\ndiffusion = "file:3"\n')
    monkeypatch.setenv("IMAJIN_VRAM_ADDRESS", "env:2")
    found = AsyncClient({"diffusion": "argument:3"}).addresses
    assert (found["prompt"], found["vram"], found["diffusion"]) == ("file:1", "env:2", "argument:3")
    assert found["processing"] == "127.0.0.1:50053"
    with pytest.raises(ValueError, match="no server nowhere"):
        AsyncClient({"nowhere": "a:1"})
    monkeypatch.setenv("IMAJIN_CONFIG", str(tmp_path / "other.toml"))
    with pytest.raises(FileNotFoundError, match="IMAJIN_CONFIG"):
        AsyncClient()
    (tmp_path / "other.toml").write_text("[addresses\n")
    with pytest.raises(ValueError, match="no TOML"):
        AsyncClient()


@pytest.mark.parametrize(
    ("method", "arguments", "options", "field"),
    [
        ("generate", ("a panda",), {"width": -1}, "width"),
        ("generate", ("a panda",), {"seed": 2**70}, "seed"),
        ("generate", ("a panda",), {"noise_canvas": (-1, 64)}, "width"),
        ("generate", ("a panda",), {"loras": {"ink": "much"}}, "weight"),
        ("edit", (PIXELS, "a panda"), {"mask_padding": -1}, "mask_padding"),
        ("batch_sizes", ("a panda",), {"sizes": ["hero"], "steps": 1.5}, "steps"),
        ("describe", ("a panda",), {"count": "two"}, "count"),
        ("process", (PIXELS,), {"size": (64, -64)}, "height"),
        ("derivatives", (PIXELS,), {"widths": [320, -1]}, "widths"),
        ("clip_focal", (PIXELS, 64, 64), {"quality": -1}, "quality"),
    ],
)
async def test_what_the_contract_cant_hold_is_refused_by_the_name_of_its_field(
    method: str, arguments: tuple[Any, ...], options: dict[str, Any], field: str, client: AsyncClient
) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"^{field}: ") as caught:
        await getattr(client, method)(*arguments, **options)
    assert [violation.field for violation in caught.value.violations] == [field]
