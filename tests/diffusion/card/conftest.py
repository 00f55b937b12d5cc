"""An emulated card for the length of a test."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from .emulated import Memory, emulated

GIB = 1024**3


@pytest.fixture
def memory() -> Iterator[Memory]:
    """That of a card of 4 GiB. At the end no stream may have got in another's way."""
    if torch.backends.cuda.is_built():
        pytest.skip("a torch that was built with CUDA has a CUDA of its own")
    torch.set_num_threads(1)
    gc.collect()
    with emulated(4 * GIB) as memory:
        yield memory
    assert not memory.hazards
