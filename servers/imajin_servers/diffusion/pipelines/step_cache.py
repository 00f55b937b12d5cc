"""diffusers' first-block cache, between the steps of many runs.

Where the first block of a transformer puts out nearly what it put out when all blocks last ran, the others are skipped, and
what they added then is added again. The memory that this takes lies in the run, not in the transformer, so that it goes where
the run goes and ends with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from diffusers.hooks.first_block_cache import FBCHeadBlockHook

from imajin_servers.diffusion.pipelines.run import Run


class StepCache:
    """The cache that was put into `transformer` by its `enable_cache`. Use it from the thread that denoises."""

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer
        hooks = [
            hook
            for block in transformer.modules()
            if hasattr(block, "_diffusers_hook")
            for hook in block._diffusers_hook.hooks.values()
            if isinstance(hook, FBCHeadBlockHook)
        ]
        # All blocks share one.
        self.memory: Any = hooks[0].state_manager

    @contextmanager
    def of(self, runs: Sequence[Run], name: str) -> Iterator[None]:
        """Within, the pass `name` of the one run in `runs` goes on from what its last pass of that name left.

        Blocks are skipped for a whole pass: two runs in one would decide for each other.
        """
        (run,) = runs
        self.memory._state_cache = run.remembered
        try:
            with self.transformer.cache_context(name):
                yield
        finally:
            self.memory._state_cache = {}
