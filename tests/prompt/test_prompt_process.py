"""The prompt server as a process, and engines that can't be had."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import grpc
import pytest

from imajin.prompt.v1 import prompt_pb2 as pb
from imajin_servers.runtime.status import from_call


def test_a_model_file_that_is_missing_is_told_at_once() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "imajin_servers.prompt"],
        env={**os.environ, "IMAJIN_PROMPT_MODEL": "no-such-model.gguf"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2
    assert "there is no file no-such-model.gguf" in run.stderr
    assert "Traceback" not in run.stderr


async def test_a_model_that_is_no_model_is_llm_failed(start_prompt: Any, tmp_path: Any) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, but not really")
    async with start_prompt(model=str(tmp_path / "broken.gguf"), lease="off") as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.stub.AnalyzeContext(pb.AnalyzeContextRequest(description="a cat"))
        assert from_call(caught.value).reason == "LLM_FAILED"


async def test_vllm_without_vllm_or_without_the_model_is_llm_failed(start_prompt: Any, tmp_path: Any) -> None:
    async with start_prompt(engine="vllm", model=str(tmp_path / "none"), lease="off") as server:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.stub.AnalyzeContext(pb.AnalyzeContextRequest(description="a cat"))
            assert from_call(caught.value).reason == "LLM_FAILED"
