"""The prompt server as a process, and engines that can't be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import ValidationError

from imajin.prompt.v1 import prompt_pb2 as pb
from imajin_servers.prompt.settings import PromptSettings
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


def test_a_model_file_of_another_kind_is_told_at_once(tmp_path: Path) -> None:
    other = tmp_path / "weights.safetensors"
    other.write_bytes(bytes(64))
    with pytest.raises(ValidationError, match="is no GGUF file"):
        PromptSettings(model=str(other))


@pytest.mark.parametrize(
    "wrong", ["", "foo", "127.0.0.1:8000/v1", "ftp://host/v1", "http://", "http://[::1", "http://h:x/v1"]
)
def test_an_endpoint_that_is_no_url_is_told_at_once(wrong: str) -> None:
    with pytest.raises(ValidationError, match="openai_base_url"):
        PromptSettings(engine="openai", openai_base_url=wrong)


async def test_a_model_that_is_no_model_is_llm_failed(start_prompt: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, but not really")
    async with start_prompt(model=str(tmp_path / "broken.gguf"), lease="off") as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.stub.AnalyzeContext(pb.AnalyzeContextRequest(description="a cat"))
        assert from_call(caught.value).reason == "LLM_FAILED"


async def test_vllm_without_vllm_or_without_the_model_is_llm_failed(start_prompt: Any, tmp_path: Path) -> None:
    async with start_prompt(engine="vllm", model=str(tmp_path / "none"), lease="off") as server:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.stub.AnalyzeContext(pb.AnalyzeContextRequest(description="a cat"))
            assert from_call(caught.value).reason == "LLM_FAILED"
