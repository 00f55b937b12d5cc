"""vLLM in this process: AsyncLLM of vLLM 0.32, with structured outputs and sleep."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from imajin_servers.prompt.reasoning.engine import Finished, Piece, Thought, Writing, Written
from imajin_servers.prompt.reasoning.residency import LeaseTerms, Residency, Room
from imajin_servers.prompt.reasoning.thinking import BEGIN, Splitter
from imajin_servers.prompt.reasoning.turns import Turns
from imajin_servers.runtime.errors import ImajinError, LlmFailed

DEFAULT_MODEL = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"

log = structlog.get_logger()


@dataclass(frozen=True)
class VllmOptions:
    """How the model is laid over the cards. `reasoning_parser` names how it marks its thoughts; empty for one that has none.
    `enforce_eager` leaves compilation out: it starts faster and writes slower.

    vLLM takes `gpu_memory_utilization` of each card, whatever the model needs, so that is what is leased.
    """

    model: str = DEFAULT_MODEL
    tensor_parallel_size: int = 1
    quantization: str = ""
    max_model_len: int = 16384
    gpu_memory_utilization: float = 0.85
    reasoning_parser: str = "deepseek_r1"
    enforce_eager: bool = False


class Answer:
    """An answer as far as it has been written: over one request of vLLM, or over many where the model had to leave the card."""

    def __init__(self, writing: Writing) -> None:
        self.writing = writing
        self.prompt: list[int] = []
        """Tokens of the prompt."""
        self.splitter = Splitter()
        self.tokens: list[int] = []
        """Tokens written."""
        self.begun = False
        """Whether anything but thoughts was written."""
        self.whole = False

    def add(self, text: str, tokens: Sequence[int]) -> Iterator[Piece]:
        """The pieces that `text` completes."""
        self.tokens += tokens
        yield from self.noted(self.splitter.add(text))

    def end(self) -> Iterator[Piece]:
        """The pieces that were held back, and the end."""
        self.whole = True
        yield from self.noted(self.splitter.end())
        yield Finished(len(self.tokens))

    def noted(self, pieces: Iterator[Thought | Written]) -> Iterator[Piece]:
        """`pieces`, and whether they are of the answer itself."""
        for piece in pieces:
            self.begun = self.begun or (isinstance(piece, Written) and not piece.text.isspace())
            yield piece


class VllmEngine:
    """A model on the cards of this host. It is loaded by the first request.

    When its lease is asked back it finishes what it writes, then sleeps at level 1: the weights move to host memory and the
    cache is dropped, and the next request wakes it within seconds. Requests may never be in flight while it falls asleep
    (vLLM issue 28714): Residency sees to that. An answer that isn't whole by then is taken up behind its last token.
    """

    name = "vllm"
    capable = True

    def __init__(
        self, options: VllmOptions, *, lease: LeaseTerms | None = None, at_once: int = 32, max_waiting: int = 64
    ) -> None:
        self.options = options
        self.model = options.model
        self.turns = Turns(max_waiting, at_once)
        room = Room(fraction=options.gpu_memory_utilization, cards=options.tensor_parallel_size)
        self.residency = Residency(lease, self.leave, holder="prompt/vllm", room=room)
        self.engine: Any = None
        self.asleep = False
        self.rising = asyncio.Lock()
        self.loading: asyncio.Task[Any] | None = None

    async def write(self, writing: Writing) -> AsyncGenerator[Piece, None]:
        """Writes, beside other requests. Raises LlmFailed, QueueFull, and what a lease raises."""
        async with self.turns:
            answer = Answer(writing)
            while not answer.whole:
                async with self.residency.use():
                    await self.rise()
                    try:
                        async with aclosing(self.generate(answer)) as pieces:
                            async for piece in pieces:
                                yield piece
                    except (ImajinError, GeneratorExit):
                        raise
                    except Exception as error:
                        log.error("vllm failed", exc_info=error)
                        self.bury()
                        raise LlmFailed("the language model failed") from error

    async def generate(self, answer: Answer) -> AsyncGenerator[Piece, None]:
        """The pieces of an answer that are still to come, or those until the model has to leave. Closing it aborts the request in vLLM."""
        from vllm import SamplingParams  # type: ignore[import-not-found, unused-ignore]
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams  # type: ignore[import-not-found, unused-ignore]

        writing = answer.writing
        if not answer.prompt:
            answer.prompt, thinking = self.prompt(writing)
            answer.splitter = Splitter(thinking=thinking)
        room = min(writing.max_tokens, self.options.max_model_len - len(answer.prompt) - 1)
        sampling = SamplingParams(
            temperature=writing.temperature,
            top_p=0.95,
            max_tokens=room - len(answer.tokens),
            seed=writing.seed,
            # A grammar knows only whole answers. One that goes on in its middle has what is there to go by.
            structured_outputs=None if answer.begun else StructuredOutputsParams(json=dict(writing.schema)),
            output_kind=RequestOutputKind.DELTA,
        )
        # Raw prompts are deprecated in generate().
        prompt = {"prompt_token_ids": [*answer.prompt, *answer.tokens]}
        (rendered,) = await self.engine.renderer.render_cmpl_async([prompt])
        stream = self.engine.generate(rendered, sampling, secrets.token_hex(8))
        async with aclosing(stream) as outputs:
            async for output in outputs:
                for completion in output.outputs:
                    for piece in answer.add(completion.text, completion.token_ids):
                        yield piece
                    # Without text, the last token is part of a character that the next ones complete.
                    if self.residency.evicting and completion.text and not output.finished:
                        return
        for piece in answer.end():
            yield piece

    def prompt(self, writing: Writing) -> tuple[list[int], bool]:
        """The tokens of the prompt, and whether the model's template has it begin with a thought."""
        tokenizer = self.engine.get_tokenizer()
        if self.options.reasoning_parser:
            # DeepSeek's advice for R1: no system prompt, everything in the user's turn.
            messages = [{"role": "user", "content": f"{writing.system}\n\n{writing.user}"}]
        else:
            messages = [{"role": "system", "content": writing.system}, {"role": "user", "content": writing.user}]
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        # The template has put the begin-of-text mark in already.
        return tokenizer.encode(text, add_special_tokens=False), text.rstrip().endswith(BEGIN)

    async def rise(self) -> None:
        """Loads the model, or wakes it."""
        async with self.rising:
            if self.engine is None:
                # Loading a large model takes minutes: it goes on for the next request when this one is given up.
                self.loading = self.loading or asyncio.create_task(asyncio.to_thread(load, self.options))
                try:
                    self.engine = await asyncio.shield(self.loading)
                finally:
                    if self.loading.done():
                        self.loading = None
                self.asleep = False
                log.info("language model loaded", model=self.model)
            elif self.asleep:
                await self.engine.wake_up()
                self.asleep = False
                log.info("language model awake", model=self.model)
            self.residency.tell_there()

    def bury(self) -> None:
        """Lets go of an engine that has died, so that the next request starts another."""
        if self.engine is not None and self.engine.errored:
            self.engine.shutdown()
            self.engine = None

    async def leave(self) -> None:
        """Puts the model to sleep, when it is awake; one that can't sleep is ended, because its memory is wanted."""
        if self.engine is None or self.asleep:
            return
        try:
            await self.engine.sleep(level=1, mode="wait")
            self.asleep = True
        except Exception as error:
            log.error("vllm can't sleep", exc_info=error)
            self.engine.shutdown()
            self.engine = None

    async def close(self) -> None:
        """Ends the engine and its processes."""
        await self.residency.close()
        if self.engine is not None:
            self.engine.shutdown()
            self.engine = None


def load(options: VllmOptions) -> Any:
    """The running engine, in its own process. Blocks until the model is loaded. Raises LlmFailed."""
    try:
        from vllm import AsyncEngineArgs  # type: ignore[import-not-found, unused-ignore]
        from vllm.platforms import current_platform  # type: ignore[import-not-found, unused-ignore]
        from vllm.v1.engine.async_llm import AsyncLLM  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise LlmFailed("vllm isn't installed; it comes with: pip install 'imajin[vllm]'") from error
    try:
        return AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=options.model,
                tensor_parallel_size=options.tensor_parallel_size,
                quantization=options.quantization or None,
                max_model_len=options.max_model_len,
                gpu_memory_utilization=options.gpu_memory_utilization,
                reasoning_parser=options.reasoning_parser,
                enforce_eager=options.enforce_eager,
                enable_sleep_mode=current_platform.is_sleep_mode_available(),
                disable_log_stats=True,
            )
        )
    except Exception as error:
        log.error("vllm does not start", model=options.model, exc_info=error)
        raise LlmFailed(f"the language model {options.model} can't be loaded") from error
