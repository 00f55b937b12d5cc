"""Many at once: the same bits as alone, whoever comes, goes or fails; a bounded line; cancel and deadline within a step."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from imajin.common.v1 import image_pb2
from imajin_servers.diffusion.settings import EMBEDDED
from imajin_servers.runtime.status import from_call

SMALL: dict[str, Any] = {"width": 96, "height": 64, "format": image_pb2.IMAGE_FORMAT_RAW_RGB8}


async def test_the_bits_do_not_depend_on_the_company(diffusion: Any) -> None:
    wishes: list[dict[str, Any]] = [
        {"prompt": "a red car", "seed": 1, "steps": 6, "guidance_scale": 5.0},
        {"prompt": "a cat", "seed": 2, "steps": 4, "guidance_scale": 3.0},
        {"prompt": "a tree", "seed": 3, "steps": 8, "guidance_scale": 7.5, "preview_interval": 2},
        {"prompt": "a dog", "seed": 4, "steps": 5, "guidance_scale": 1.0},
        {"prompt": "a house", "seed": 5, "steps": 3, "width": 96},
    ]
    alone = [(await diffusion.generate(**{**SMALL, **wish})).data for wish in wishes]
    for _ in range(2):
        leaver = await diffusion.begun(**SMALL)
        together = asyncio.gather(*(diffusion.generate(**{**SMALL, **wish}) for wish in wishes))
        await asyncio.sleep(0)
        leaver.cancel()
        assert [heard.data for heard in await together] == alone


async def test_a_cancelled_call_frees_its_place(start: Any) -> None:
    async with start(max_active=1, max_queue=0) as server:
        call = await server.begun(**SMALL)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(**SMALL)
        error = from_call(refused.value)
        assert error.reason == "QUEUE_FULL"
        assert error.retry_after is not None
        assert error.retry_after > 0
        call.cancel()
        while isinstance(
            heard := (await asyncio.gather(server.generate(**SMALL), return_exceptions=True))[0], Exception
        ):
            assert isinstance(heard, grpc.aio.AioRpcError)
            assert from_call(heard).reason == "QUEUE_FULL"
        assert heard.result.steps == 3


async def test_a_deadline_ends_the_work_and_frees_its_place(start: Any) -> None:
    async with start(max_active=1) as server:
        await server.generate(**SMALL)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await server.generate(steps=150, timeout=0.5)
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await server.generate(**SMALL)).result.steps == 3


async def test_those_in_line_hear_their_place_and_the_urgent_go_first(start: Any) -> None:
    async with start(max_active=1, ageing_seconds=100) as server:
        first = await server.begun(**SMALL)
        order: list[str] = []

        async def ask(name: str, priority: int) -> list[int]:
            heard = await server.generate(**SMALL, steps=1, priority=priority)
            order.append(name)
            return [event.progress.queued.position for event in heard.events if event.progress.HasField("queued")]

        async def standing() -> Any:
            """A call that has heard that it waits."""
            call = server.stub.Generate(server.request(**SMALL, steps=1, priority=10))
            async for event in call:
                if event.progress.HasField("queued"):
                    return call
            raise AssertionError("the call ended")

        patient = await standing()
        slow = asyncio.create_task(ask("patient", 10))
        fast = asyncio.create_task(ask("urgent", 90))
        # The urgent one overtakes: whoever stood first hears of a worse place.
        async for event in patient:
            if event.progress.queued.position == 2:
                break
        first.cancel()
        places = await asyncio.gather(slow, fast)
        assert order == ["urgent", "patient"]
        assert max(places[0]) > 1
        patient.cancel()


async def test_one_that_fails_harms_nobody(start: Any, tmp_path: Any) -> None:
    entry = {"name": "odd", "source": str(EMBEDDED), "scheduler": "DDPMWuerstchenScheduler"}
    async with start(models=[entry], default_model="embedded") as server:
        good = await server.generate(**SMALL)
        again, failed = await asyncio.gather(
            server.generate(**SMALL), server.generate(**SMALL, model="odd"), return_exceptions=True
        )
        assert isinstance(failed, grpc.aio.AioRpcError)
        assert from_call(failed).reason == "MODEL_NOT_FOUND"
        assert again.data == good.data


# numpy's note on how these schedulers of diffusers read their tables.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
async def test_another_scheduler_by_the_registry(start: Any) -> None:
    names = [
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
    ]
    entries = [{"name": name, "source": str(EMBEDDED), "scheduler": name} for name in names]
    async with start(models=entries) as server:
        for name in names:
            wish = {**SMALL, "model": name, "steps": 4}
            alone = await server.generate(**wish)
            together = await asyncio.gather(
                server.generate(**wish), server.generate(**wish, prompt="a dog"), server.generate(**wish, seed=9)
            )
            assert together[0].data == alone.data


async def test_whoever_leaves_while_the_model_loads_leaves_nobody_behind(diffusion: Any) -> None:
    leaver = diffusion.stub.Generate(diffusion.request(**SMALL))
    async for event in leaver:
        if event.progress.HasField("loading_model"):
            break
    leaver.cancel()
    first, second = await asyncio.gather(diffusion.generate(**SMALL), diffusion.generate(**SMALL))
    assert first.data == second.data
