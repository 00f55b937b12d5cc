"""Holds the state folder for one supervisor: two would write over each other's logs, and over the journal of leases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from imajin_client.up.settings import UpSettings


@contextlib.contextmanager
def claimed(config: UpSettings, names: Sequence[str]) -> Iterator[None]:
    """Holds the places of the programs `names` in the state folder. Raises OSError where another supervisor runs one of them."""
    try:
        import fcntl
    except ImportError:  # Where there is no flock the folder is not held.
        yield
        return
    with contextlib.ExitStack() as stack:
        for name in names:
            place = config.log_of(name).with_suffix(".lock")
            place.parent.mkdir(parents=True, exist_ok=True)
            # Programs don't inherit it: the place is free as soon as this process is gone.
            lock = stack.enter_context(place.open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                folder = config.state_dir
                raise OSError(f"another `imajin up` runs {name} in {folder}; set IMAJIN_UP_STATE_DIR") from None
        yield
