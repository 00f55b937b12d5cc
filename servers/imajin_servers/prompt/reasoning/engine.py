"""The wall between what is asked of a language model and which one answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Writing:
    """What to write: an answer to `user` under `system`, as JSON that `schema` allows, in at most `max_tokens` tokens.

    `seed` makes the answer repeatable where the engine can. `temperature` is never 0: a small model loops when it is greedy.
    """

    system: str
    user: str
    schema: Mapping[str, Any]
    max_tokens: int
    temperature: float = 0.7
    seed: int | None = None


@dataclass(frozen=True)
class Thought:
    """Reasoning that the model wrote beside its answer."""

    text: str


@dataclass(frozen=True)
class Written:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The answer is whole; `tokens` were written."""

    tokens: int


Piece = Thought | Written | Finished


class Engine(Protocol):
    """A language model.

    `name` is `embedded`, `openai` or `vllm`; `capable` says that it writes good prose by itself, so that it may write whole
    prompts; otherwise it is asked to choose and to fill slots.
    """

    name: str
    model: str
    capable: bool

    def write(self, writing: Writing) -> AsyncGenerator[Piece, None]:
        """Writes; ends with Finished. Closing the generator stops the model. Raises LlmFailed, QueueFull."""
        ...

    async def close(self) -> None:
        """Stops whatever runs and frees the model."""
        ...
