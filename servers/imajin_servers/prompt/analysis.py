"""The flow: classify, settle the brief, let a model reason, tell each thing as soon as it is known."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from imajin_servers.prompt.classification import Classification, Classifier, Query
from imajin_servers.prompt.composition import Brief, Prompt, brief_of, composed
from imajin_servers.prompt.composition.subject import plain
from imajin_servers.prompt.generation import Generation, generation_of
from imajin_servers.prompt.reasoning.answers import FullForm, Reading, SlotsForm
from imajin_servers.prompt.reasoning.engine import Engine, Finished, Thought, Writing
from imajin_servers.runtime.errors import InvalidArgument, LlmTimeout


@dataclass(frozen=True)
class Request:
    """What is asked. `age` and `gender` are those of the people in the picture."""

    query: Query
    age: str = ""
    gender: str = ""
    count: int = 3
    sizes: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Reasoning:
    """Text to append to the reasoning so far."""

    text: str


@dataclass(frozen=True)
class Analysis:
    """Everything, when all is done. Times in milliseconds."""

    generation: Generation
    prompts: tuple[Prompt, ...]
    classification: Classification
    reasoning: str
    engine: str
    model: str
    tokens: int
    classification_ms: float
    reasoning_ms: float


Event = Classification | Reasoning | Prompt | Analysis


class Analyst:
    """Analyses descriptions with a classifier and an engine. `known` are the named sizes in pixels."""

    def __init__(self, classifier: Classifier, engine: Engine, known: Mapping[str, tuple[int, int]]) -> None:
        self.classifier = classifier
        self.engine = engine
        self.known = known

    async def analyze(self, request: Request, seconds: float) -> AsyncGenerator[Event, None]:
        """Yields the classification, reasoning and prompts as they come, then the Analysis.

        The reasoning has `seconds`: then it is stopped and LlmTimeout raised. Closing the generator stops it too.
        Raises InvalidArgument, LlmFailed, QueueFull.
        """
        if not plain(request.query.description):
            raise InvalidArgument.field("description", "holds no text, and neither does the category")
        began = time.perf_counter()
        found = self.classifier.classify(request.query)
        classified = time.perf_counter()
        yield found
        seed = secrets.randbits(32) if request.seed is None else request.seed
        brief = brief_of(request.query, found, age=request.age, gender=request.gender, count=request.count, seed=seed)
        reasoning: list[str] = []
        prompts: list[Prompt] = []
        tokens = 0
        deadline = classified + seconds
        async with aclosing(self.reason(brief, seed)) as events:
            while True:
                try:
                    async with asyncio.timeout(max(deadline - time.perf_counter(), 0)):
                        event = await anext(events)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise LlmTimeout(
                        f"the language model did not answer within {seconds:.1f} s",
                        metadata={"engine": self.engine.name},
                    ) from None
                if isinstance(event, int):
                    tokens = event
                elif isinstance(event, str):
                    reasoning.append(event)
                    yield Reasoning(event)
                else:
                    prompts.append(event)
                    yield event
        yield Analysis(
            generation=generation_of(brief, request.query.description, request.sizes, request.seed, self.known),
            prompts=tuple(prompts),
            classification=found,
            reasoning="".join(reasoning),
            engine=self.engine.name,
            model=self.engine.model,
            tokens=tokens,
            classification_ms=(classified - began) * 1000,
            reasoning_ms=(time.perf_counter() - classified) * 1000,
        )

    async def reason(self, brief: Brief, seed: int) -> AsyncGenerator[str | Prompt | int, None]:
        """What the engine writes for a brief: reasoning, prompts, and at the end the number of tokens."""
        form = FullForm(brief) if self.engine.capable else SlotsForm(brief)
        reading = Reading(form, len(brief.shots))
        writing = Writing(form.system, form.user, form.schema(), form.max_tokens, seed=seed)
        distinct = Distinct(brief, seed)
        tokens = 0
        async with aclosing(self.engine.write(writing)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Finished):
                    tokens = piece.tokens
                elif isinstance(piece, Thought):
                    yield piece.text
                else:
                    for news in reading.add(piece.text):
                        yield distinct.of(news) if isinstance(news, Prompt) else news
        for news in reading.end():
            yield distinct.of(news) if isinstance(news, Prompt) else news
        for prompt in distinct.missing():
            yield prompt
        yield tokens


class Distinct:
    """Sees to it that there are as many prompts as were asked for and no two alike: what lacks is composed by the rules."""

    def __init__(self, brief: Brief, seed: int) -> None:
        self.brief = brief
        self.chance = random.Random(seed)
        self.prompts: list[Prompt] = []

    def of(self, prompt: Prompt) -> Prompt:
        """`prompt`, or another one in its place when it came before."""
        if any(prompt.prompt == other.prompt for other in self.prompts):
            prompt = self.composed()
        self.prompts.append(prompt)
        return prompt

    def composed(self) -> Prompt:
        """The next prompt by rules alone."""
        index = len(self.prompts)
        return composed(self.brief, index, self.brief.shots[index].drawn(self.chance))

    def missing(self) -> Sequence[Prompt]:
        """The prompts that the model left out."""
        missing = []
        while len(self.prompts) < len(self.brief.shots):
            missing.append(self.of(self.composed()))
        return missing
