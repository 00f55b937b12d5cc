"""diffusers' caches of what a transformer says, between the steps of many runs.

The first-block cache: where the first block of a transformer puts out nearly what it put out when all blocks last ran, the others are skipped, and
what they added then is added again. The forecast: at most steps no block is asked, and what the transformer would say is on the
line through what it said at the last two that were. The memory that this takes lies in the run, not in the transformer, so that it goes where
the run goes and ends with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from diffusers.hooks.first_block_cache import FBCHeadBlockHook
from diffusers.hooks.taylorseer_cache import TaylorSeerCacheHook

from imajin_servers.diffusion.pipelines.run import Run


class StepCache:
    """The cache that was put into `transformer` by its `enable_cache`. Use it from the thread that denoises."""

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer
        found = [
            hook.state_manager
            for block in transformer.modules()
            if hasattr(block, "_diffusers_hook")
            for hook in block._diffusers_hook.hooks.values()
            if isinstance(hook, FBCHeadBlockHook | TaylorSeerCacheHook)
        ]
        self.memories: list[Any] = list(dict.fromkeys(found))
        """One for all blocks of the first-block cache; one for each part of a forecast."""

    @contextmanager
    def of(self, runs: Sequence[Run], name: str) -> Iterator[None]:
        """Within, the pass `name` of the one run in `runs` goes on from what its last pass of that name left.

        Blocks are skipped for a whole pass: two runs in one would decide for each other.
        """
        (run,) = runs
        for at, memory in enumerate(self.memories):
            memory._state_cache = run.remembered.setdefault(at, {})
        try:
            with self.transformer.cache_context(name):
                yield
        finally:
            for memory in self.memories:
                memory._state_cache = {}
