"""Watching jobs: replayed from the store, then live, without a gap, however slow the watcher is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator.clock import Clock
from imajin_servers.orchestrator.jobs.store import FINAL, JobStore
from imajin_servers.runtime.errors import Draining, InvalidArgument


class Watch:
    """One watcher's bell and its latest preview: all that a slow watcher can pile up."""

    def __init__(self) -> None:
        self.bell = asyncio.Event()
        self.preview: job_pb2.WatchJobResponse | None = None


class Watchers:
    """Who watches which job. Bells only: what happened is read from the store, so nothing queues up here."""

    def __init__(self) -> None:
        self.watches: defaultdict[str, set[Watch]] = defaultdict(set)

    @contextmanager
    def watching(self, job_id: str) -> Iterator[Watch]:
        """A watch of the job for as long as the context lasts."""
        watch = Watch()
        self.watches[job_id].add(watch)
        try:
            yield watch
        finally:
            self.watches[job_id].discard(watch)
            if not self.watches[job_id]:
                del self.watches[job_id]

    def anyone(self, job_id: str) -> bool:
        """Whether somebody watches the job."""
        return job_id in self.watches

    def changed(self, job_ids: Iterable[str]) -> None:
        """Rings for everyone who watches one of the jobs."""
        for job_id in job_ids:
            for watch in self.watches.get(job_id, ()):
                watch.bell.set()

    def preview(self, job_id: str, sequence: int, preview: image_pb2.Preview) -> None:
        """Shows a preview to whoever watches the job now; a newer one takes its place."""
        for watch in self.watches.get(job_id, ()):
            watch.preview = job_pb2.WatchJobResponse(sequence=sequence, preview=preview)
            watch.bell.set()


class Watching:
    """What a watch needs: the store, the bells, the time, and word of the server's end."""

    def __init__(
        self, store: JobStore, watchers: Watchers, clock: Clock, heartbeat_seconds: float, draining: asyncio.Event
    ) -> None:
        self.store = store
        self.watchers = watchers
        self.clock = clock
        self.heartbeat_seconds = heartbeat_seconds
        self.draining = draining

    async def watch(self, job_id: str, after: int, *, previews: bool) -> AsyncGenerator[job_pb2.WatchJobResponse, None]:
        """The job's events after number `after`; ends after the terminal one.

        Raises JobNotFound, InvalidArgument for a number that the job has not reached, Draining when the server stops.
        """
        with self.watchers.watching(job_id) as watch:
            job = await self.store.get(job_id)
            if after > job.last_event:
                raise InvalidArgument.field("after_event", f"is {after}, the latest event is {job.last_event}")
            if job.status in FINAL and after == job.last_event:
                return
            reached = after
            while True:
                watch.bell.clear()
                events = list(await self.store.events(job_id, reached))
                preview, watch.preview = watch.preview, None
                if preview is not None and previews:
                    events = sorted([*events, preview], key=lambda event: event.sequence)
                for event in events:
                    reached = event.sequence
                    yield event
                    if event.HasField("job"):
                        return
                if self.draining.is_set():
                    raise Draining("the server is shutting down; watch on from the last event")
                if not await self.rings(watch):
                    yield job_pb2.WatchJobResponse(sequence=reached, heartbeat=job_pb2.Heartbeat())

    async def rings(self, watch: Watch) -> bool:
        """Waits for news, or for the server's end: False when it is time for a heartbeat first."""
        waits = [
            asyncio.ensure_future(wait)
            for wait in (watch.bell.wait(), self.draining.wait(), self.clock.sleep(self.heartbeat_seconds))
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return watch.bell.is_set() or self.draining.is_set()
