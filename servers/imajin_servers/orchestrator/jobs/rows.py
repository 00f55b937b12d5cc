"""One job's row and its events: read, written, numbered, and told their place in the line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from google.protobuf.timestamp_pb2 import Timestamp

from imajin.common.v1 import progress_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator import metrics
from imajin_servers.runtime.errors import JobNotFound

TERMINAL = "job"
"""Phase of a job's last event. Its body stays empty: the job's row has it all."""


class JobRows:
    """Rows of the tables, as the steps that a transaction is made of. `changed` collects the ids of jobs that changed."""

    def __init__(self, db: sqlite3.Connection, now: Callable[[], float]) -> None:
        self.db = db
        self.now = now
        self.changed: set[str] = set()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite has rolled back by itself.
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            self.changed.clear()
            raise

    def get(self, job_id: str) -> job_pb2.Job:
        """The job as it is now. Raises JobNotFound."""
        row = self.db.execute("SELECT body FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if row is None:
            raise JobNotFound(f"no job {job_id}", metadata={"job_id": job_id})
        return job_pb2.Job.FromString(row[0])

    def save(self, job: job_pb2.Job) -> None:
        """Writes the job's row."""
        self.db.execute(
            "UPDATE jobs SET status = ?, body = ? WHERE job_id = ?", (job.status, job.SerializeToString(), job.job_id)
        )
        self.changed.add(job.job_id)

    def append(self, job: job_pb2.Job, event: job_pb2.WatchJobResponse, phase: str) -> None:
        """Gives `event` the job's next number, keeps it, and saves the job."""
        job.last_event += 1
        event.sequence = job.last_event
        self.db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?)", (job.job_id, event.sequence, phase, event.SerializeToString())
        )
        self.save(job)

    def report(self, job: job_pb2.Job, progress: progress_pb2.Progress) -> None:
        """Appends progress in place of the last event, where that was progress in the same phase."""
        phase = f"progress/{progress.WhichOneof('phase')}/{progress.base}"
        self.db.execute(
            "DELETE FROM events WHERE job_id = ?1 AND phase = ?2"
            " AND sequence = (SELECT max(sequence) FROM events WHERE job_id = ?1)",
            (job.job_id, phase),
        )
        job.progress.CopyFrom(progress)
        self.append(job, job_pb2.WatchJobResponse(progress=progress), phase)

    def renumber(self) -> None:
        """Tells the queued jobs their place in the line, where it changed."""
        rows = self.db.execute(
            "SELECT body FROM jobs WHERE status = ? ORDER BY priority DESC, number", (job_pb2.JOB_STATUS_QUEUED,)
        ).fetchall()
        metrics.QUEUED.set(len(rows))
        for position, (body,) in enumerate(rows, start=1):
            job = job_pb2.Job.FromString(body)
            if job.progress.queued.position != position:
                self.report(job, progress_pb2.Progress(queued=progress_pb2.Queued(position=position)))

    def timestamp(self, ahead: float = 0.0) -> Timestamp:
        """Now, or `ahead` seconds from now."""
        stamp = Timestamp()
        stamp.FromMilliseconds(round((self.now() + ahead) * 1000))
        return stamp
