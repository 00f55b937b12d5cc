"""The doubles that the tests of a folder call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from imajin_client import AsyncClient

from . import answers
from .doubles import Doubles


@pytest.fixture
def doubles() -> Iterator[Doubles]:
    made = Doubles(answers)
    yield made
    made.stop()


@pytest.fixture
async def client(doubles: Doubles) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(doubles.addresses) as made:
        yield made
