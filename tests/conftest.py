"""What every test needs: a place of its own for the key that servers make at their first start, and time on a busy machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("imajin", deadline=None)
settings.load_profile("imajin")

# A shell starts what runs in the background with Ctrl-C ignored, and children inherit that: tests that press it would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def credentials_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers that tests build keep their development key out of the working folder."""
    os.environ["IMAJIN_CREDENTIALS_DIRECTORY"] = str(tmp_path_factory.mktemp("credentials"))
    yield
    del os.environ["IMAJIN_CREDENTIALS_DIRECTORY"]
