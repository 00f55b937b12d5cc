"""The SQLite store for the event loop: every call runs in the one thread that owns the connection."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from imajin.common.v1 import error_pb2, progress_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator.clock import Clock
from imajin_servers.orchestrator.jobs.schema import WrongTables
from imajin_servers.orchestrator.jobs.store import JobPage, Submission, Work
from imajin_servers.orchestrator.jobs.tables import DATABASE, JobTables
from imajin_servers.runtime.errors import StorageFull

T = TypeVar("T")


class FolderRefused(Exception):
    """The data directory can't be used."""


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Holds `folder` for this process. Raises FolderRefused when another one does: they would fail each other's jobs."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderRefused(f"{folder} is in use by another orchestrator") from error
        yield


def is_full(error: OSError | sqlite3.Error) -> bool:
    """Whether this is about room on the disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # An extended code has the plain one in its last byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


class SqliteJobStore:
    """JobStore in SQLite. `changed` is called in the event loop with the ids of the jobs that a call changed."""

    def __init__(self, tables: JobTables, thread: ThreadPoolExecutor, changed: Callable[[Iterable[str]], None]) -> None:
        self.tables = tables
        self.thread = thread
        self.changed = changed
        self.loop = asyncio.get_running_loop()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        clock: Clock,
        retention_seconds: float,
        max_queued: int,
        changed: Callable[[Iterable[str]], None],
    ) -> AsyncIterator[SqliteJobStore]:
        """The store in `folder`, which is made where there is none. Raises FolderRefused."""
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            try:
                stack.enter_context(sole_user(folder))
                thread = stack.enter_context(ThreadPoolExecutor(1, "jobs"))
                tables = await loop.run_in_executor(thread, JobTables, folder, clock.now, retention_seconds, max_queued)
            except sqlite3.Error as error:
                raise FolderRefused(f"{folder / DATABASE} can't be used: {error}") from error
            except (OSError, WrongTables) as error:
                raise FolderRefused(f"{folder} can't be used: {error}") from error
            stack.callback(thread.submit, tables.close)
            yield cls(tables, thread, changed)

    async def run(self, operation: Callable[[], T]) -> T:
        """Runs `operation` in the thread, to its end even where the caller is cancelled. Raises what it raises, and StorageFull."""

        def told() -> T:
            try:
                return operation()
            except (OSError, sqlite3.Error) as error:
                if not is_full(error):
                    raise
                message = "no room is left where jobs and images are kept"
                raise StorageFull(message, metadata={"server": "orchestrator"}) from error
            finally:
                if ids := self.tables.take_changed():
                    self.loop.call_soon_threadsafe(self.changed, ids)

        done = self.loop.run_in_executor(self.thread, told)
        # Where the caller is cancelled nobody else would ask for the outcome.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        return await asyncio.shield(done)

    async def create(self, submission: Submission) -> job_pb2.Job:
        """See JobStore."""
        return await self.run(lambda: self.tables.create(submission))

    async def get(self, job_id: str) -> job_pb2.Job:
        """See JobStore."""
        return await self.run(lambda: self.tables.get(job_id))

    async def page(self, status: job_pb2.JobStatus, page_size: int, page_token: str) -> JobPage:
        """See JobStore."""
        return await self.run(lambda: self.tables.page(status, page_size, page_token))

    async def claim(self) -> Work | None:
        """See JobStore."""
        return await self.run(self.tables.claim)

    async def progress(self, job_id: str, progress: progress_pb2.Progress) -> None:
        """See JobStore."""
        await self.run(lambda: self.tables.progress(job_id, progress))

    async def add_image(self, job_id: str, name: str, image: job_pb2.JobImage, data: bytes) -> None:
        """See JobStore."""
        await self.run(lambda: self.tables.add_image(job_id, name, image, data))

    async def note(self, job_id: str, facts: job_pb2.Job) -> None:
        """See JobStore."""
        await self.run(lambda: self.tables.note(job_id, facts))

    async def finish(self, job_id: str, status: job_pb2.JobStatus, error: error_pb2.Error | None = None) -> job_pb2.Job:
        """See JobStore."""
        return await self.run(lambda: self.tables.finish(job_id, status, error))

    async def cancel(self, job_id: str) -> job_pb2.Job:
        """See JobStore."""
        return await self.run(lambda: self.tables.cancel(job_id))

    async def events(self, job_id: str, after: int) -> Sequence[job_pb2.WatchJobResponse]:
        """See JobStore."""
        return await self.run(lambda: self.tables.events(job_id, after))

    async def take_number(self, job_id: str) -> int:
        """See JobStore."""
        return await self.run(lambda: self.tables.take_number(job_id))

    async def image_file(self, job_id: str, name: str) -> tuple[job_pb2.JobImage, Path]:
        """See JobStore."""
        return await self.run(lambda: self.tables.image_file(job_id, name))

    async def recover(self) -> Sequence[str]:
        """See JobStore."""
        return await self.run(self.tables.recover)

    async def sweep(self) -> int:
        """See JobStore."""
        return await self.run(self.tables.sweep)
