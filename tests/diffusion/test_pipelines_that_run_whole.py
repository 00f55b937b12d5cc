"""A family that the engine doesn't know runs whole: with progress, and cancel between its steps."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from imajin_servers.diffusion.settings import EMBEDDED


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Any]:
    """The parts of the embedded model in a pipeline of another class."""
    for part in EMBEDDED.iterdir():
        if part.is_dir():
            (tmp_path / part.name).symlink_to(part)
    index = json.loads((EMBEDDED / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionPAGPipeline"}))
    return {"name": "whole", "source": str(tmp_path)}


async def test_it_tells_every_step_and_repeats_by_its_seed(start: Any, model: dict[str, Any]) -> None:
    async with start(models=[model]) as server:
        first, second = await asyncio.gather(
            server.generate(steps=4, width=100, height=64), server.generate(steps=4, width=100, height=64)
        )
        assert first.steps[-1] == 4
        assert first.data == second.data
        assert (first.result.width, first.result.height, first.result.model) == (100, 64, "whole")


async def test_cancel_frees_its_place(start: Any, model: dict[str, Any]) -> None:
    async with start(models=[model], max_active=1) as server:
        call = await server.begun(width=64, height=64)
        call.cancel()
        assert (await server.generate(steps=1, width=64, height=64)).result.steps == 1
