"""A person's command gets the card from models that hold it and rest, and models come back after it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Any

from imajin_client import AsyncClient

ROOM = 320 * 2**20
"""Enough for either embedded model at work, not for both."""


async def test_describing_and_drawing_take_turns_on_a_card_with_room_for_one(suite: Any) -> None:
    async with AsyncClient(suite.addresses) as client:
        total = (await client.vram.devices())[0].total_bytes
        async with client.vram.lease(bytes=total - ROOM, holder="training", priority=100):
            for seed in (1, 2):
                described = await client.describe("a red apple on a table", seed=seed, timeout=90)
                assert described.prompts
                assert "prompt/embedded" in [lease.holder for lease in await client.vram.leases()]
                image = await client.generate(described.prompts[0].prompt, seed=seed, steps=2, timeout=90)
                assert image.width
                holders = [lease.holder for lease in await client.vram.leases() if lease.state == "held"]
                assert ("diffusion/embedded" in holders, "prompt/embedded" in holders) == (True, False)


async def test_a_command_gets_the_card_from_resting_models_and_they_come_back(suite: Any) -> None:
    async with AsyncClient(suite.addresses) as client:
        before = await client.generate("a red apple", seed=7, steps=2, format="png")
        assert [lease for lease in await client.vram.leases() if lease.holder.startswith("diffusion/")]
        whole = (await client.vram.devices())[0].total_bytes / 2**30
        command = [sys.executable, "-m", "imajin_client", "vram", "run", "--gib", str(whole), "--max-wait", "60", "--"]
        child = await asyncio.create_subprocess_exec(
            *command, sys.executable, "-c", "print('ran')", env=suite.environment, stdout=PIPE, stderr=PIPE
        )
        out, err = await asyncio.wait_for(child.communicate(), 90)
        assert (child.returncode, out.split()) == (0, [b"ran"]), err
        after = await client.generate("a red apple", seed=7, steps=2, format="png")
        assert after.pil().tobytes() == before.pil().tobytes()


async def test_a_command_that_waits_says_so(suite: Any) -> None:
    async with AsyncClient(suite.addresses) as client:
        total = (await client.vram.devices())[0].total_bytes
        command = [sys.executable, "-m", "imajin_client", "vram", "run", "--gib", "1", "--max-wait", "60", "--", "true"]
        async with client.vram.lease(bytes=total, holder="training", priority=100):
            child = await asyncio.create_subprocess_exec(*command, env=suite.environment, stdout=PIPE, stderr=PIPE)
            assert child.stderr is not None
            said = await asyncio.wait_for(child.stderr.readline(), 60)
            assert said == b"waiting for the card: place 1, 0 B free\n"
        assert await asyncio.wait_for(child.wait(), 60) == 0
