"""Jobs in SQLite, synchronous: one connection, used from one thread."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

from imajin.common.v1 import error_pb2, progress_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator import metrics
from imajin_servers.orchestrator.jobs.results import Results
from imajin_servers.orchestrator.jobs.rows import TERMINAL, JobRows
from imajin_servers.orchestrator.jobs.schema import opened
from imajin_servers.orchestrator.jobs.store import FINAL, JobPage, Submission, Work
from imajin_servers.runtime.errors import InvalidArgument, NotFound, QueueFull, RequestIdReused

DATABASE = "jobs.sqlite3"
"""Name of the tables' file."""
RETRY_SECONDS = 5.0
PAGE_BYTES = 2 * 1024 * 1024
"""A page holds fewer jobs than asked for rather than more bytes than a message may have."""


class JobTables:
    """The store's tables; see JobStore for what each method does."""

    def __init__(self, folder: Path, now: Callable[[], float], retention_seconds: float, max_queued: int) -> None:
        self.now = now
        self.retention_seconds = retention_seconds
        self.max_queued = max_queued
        self.results = Results(folder / "results")
        self.db = opened(folder / DATABASE, fresh=not any(self.results.files()))
        self.rows = JobRows(self.db, now)
        self.results.keep_only({row[0] for row in self.db.execute("SELECT DISTINCT sha256 FROM images")})

    def close(self) -> None:
        """Closes the connection."""
        self.db.close()

    def take_changed(self) -> set[str]:
        """The ids of the jobs that changed since this was asked last."""
        changed, self.rows.changed = self.rows.changed, set()
        return changed

    def create(self, submission: Submission) -> job_pb2.Job:
        """See JobStore."""
        with self.rows.transaction():
            if same := self.submitted(submission):
                return same
            (queued,) = self.db.execute(
                "SELECT count(*) FROM jobs WHERE status = ?", (job_pb2.JOB_STATUS_QUEUED,)
            ).fetchone()
            if queued >= self.max_queued:
                raise QueueFull(
                    f"{queued} jobs are waiting already", metadata={"queued": str(queued)}, retry_after=RETRY_SECONDS
                )
            job = job_pb2.Job(
                job_id=secrets.token_hex(10),
                kind=submission.kind,
                status=job_pb2.JOB_STATUS_QUEUED,
                prompt=submission.prompt,
                create_time=self.rows.timestamp(),
            )
            self.db.execute(
                "INSERT INTO jobs (job_id, status, priority, request_id, fingerprint, request, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    job.job_id,
                    job.status,
                    submission.priority,
                    submission.request_id or None,
                    submission.fingerprint,
                    submission.request,
                    job.SerializeToString(),
                ),
            )
            self.rows.renumber()
            return self.get(job.job_id)

    def submitted(self, submission: Submission) -> job_pb2.Job | None:
        """The job that was made for this request id. Raises RequestIdReused where that was for another body."""
        row = self.db.execute(
            "SELECT body, fingerprint FROM jobs WHERE request_id = ?", (submission.request_id,)
        ).fetchone()
        if row is None:
            return None
        if row[1] != submission.fingerprint:
            raise RequestIdReused(
                "this request id was used with another body", metadata={"request_id": submission.request_id}
            )
        return job_pb2.Job.FromString(row[0])

    def get(self, job_id: str) -> job_pb2.Job:
        """See JobStore."""
        return self.rows.get(job_id)

    def page(self, status: job_pb2.JobStatus, page_size: int, page_token: str) -> JobPage:
        """See JobStore."""
        if page_token and not (page_token.isascii() and page_token.isdigit() and len(page_token) < 19):
            raise InvalidArgument.field("page_token", "is not from an answer of this server")
        rows = self.db.execute(
            "SELECT number, body FROM jobs WHERE (? = 0 OR status = ?) AND number < ? ORDER BY number DESC LIMIT ?",
            (status, status, int(page_token) if page_token else 2**62, page_size + 1),
        )
        jobs: list[job_pb2.Job] = []
        room = PAGE_BYTES
        last = 0
        for number, body in rows:
            room -= len(body)
            if len(jobs) == page_size or (jobs and room < 0):
                return JobPage(jobs, str(last))
            jobs.append(job_pb2.Job.FromString(body))
            last = number
        return JobPage(jobs, "")

    def claim(self) -> Work | None:
        """See JobStore."""
        with self.rows.transaction():
            row = self.db.execute(
                "SELECT body, request FROM jobs WHERE status = ? ORDER BY priority DESC, number LIMIT 1",
                (job_pb2.JOB_STATUS_QUEUED,),
            ).fetchone()
            if row is None:
                return None
            job = job_pb2.Job.FromString(row[0])
            job.status = job_pb2.JOB_STATUS_PROCESSING
            job.start_time.CopyFrom(self.rows.timestamp())
            self.rows.save(job)
            self.rows.renumber()
            return Work(job, row[1])

    def progress(self, job_id: str, progress: progress_pb2.Progress) -> None:
        """See JobStore."""
        with self.rows.transaction():
            job = self.get(job_id)
            if job.status not in FINAL:
                self.rows.report(job, progress)

    def add_image(self, job_id: str, name: str, image: job_pb2.JobImage, data: bytes) -> None:
        """See JobStore."""
        with self.rows.transaction():
            job = self.get(job_id)
            if job.status in FINAL:
                return
            # In this thread and transaction, so that no sweep can come between the file and the row that needs it.
            sha256 = self.results.put(data)
            kept = job.images[name]
            replaced = kept.sha256
            kept.CopyFrom(image)
            kept.url = f"/jobs/{job_id}/images/{quote(name, safe='')}"
            kept.bytes = len(data)
            kept.sha256 = sha256
            self.db.execute("INSERT OR REPLACE INTO images VALUES (?, ?, ?)", (job_id, name, sha256))
            ready = job_pb2.ImageReady(name=name, image=kept)
            self.rows.append(job, job_pb2.WatchJobResponse(image_ready=ready), "image")
        self.drop_unneeded({replaced} - {b""})

    def note(self, job_id: str, facts: job_pb2.Job) -> None:
        """See JobStore."""
        with self.rows.transaction():
            job = self.get(job_id)
            if job.status not in FINAL:
                job.MergeFrom(facts)
                self.rows.save(job)

    def finish(self, job_id: str, status: job_pb2.JobStatus, error: error_pb2.Error | None = None) -> job_pb2.Job:
        """See JobStore."""
        with self.rows.transaction():
            job = self.get(job_id)
            if job.status in FINAL:
                return job
            was_queued = job.status == job_pb2.JOB_STATUS_QUEUED
            job.status = status
            if status == job_pb2.JOB_STATUS_FAILED and error is not None:
                job.error.CopyFrom(error)
            if status == job_pb2.JOB_STATUS_COMPLETED:
                job.progress.fraction = 1
                job.progress.ClearField("eta")
            job.end_time.CopyFrom(self.rows.timestamp())
            job.expire_time.CopyFrom(self.rows.timestamp(self.retention_seconds))
            self.rows.append(job, job_pb2.WatchJobResponse(), TERMINAL)
            self.db.execute(
                "UPDATE jobs SET expires = ? WHERE job_id = ?", (self.now() + self.retention_seconds, job_id)
            )
            if was_queued:
                self.rows.renumber()
            metrics.ended(job)
            return job

    def cancel(self, job_id: str) -> job_pb2.Job:
        """See JobStore."""
        job = self.get(job_id)
        return self.finish(job_id, job_pb2.JOB_STATUS_CANCELLED) if job.status == job_pb2.JOB_STATUS_QUEUED else job

    def events(self, job_id: str, after: int) -> list[job_pb2.WatchJobResponse]:
        """See JobStore."""
        job = self.get(job_id)
        rows = self.db.execute(
            "SELECT sequence, phase, body FROM events WHERE job_id = ? AND sequence > ? ORDER BY sequence",
            (job_id, after),
        )
        return [
            job_pb2.WatchJobResponse(sequence=sequence, job=job)
            if phase == TERMINAL
            else job_pb2.WatchJobResponse.FromString(body)
            for sequence, phase, body in rows
        ]

    def take_number(self, job_id: str) -> int:
        """See JobStore."""
        with self.rows.transaction():
            job = self.get(job_id)
            if job.status in FINAL:
                return 0
            job.last_event += 1
            self.rows.save(job)
            return job.last_event

    def image_file(self, job_id: str, name: str) -> tuple[job_pb2.JobImage, Path]:
        """See JobStore."""
        job = self.get(job_id)
        if name not in job.images:
            names = ", ".join(sorted(job.images))
            raise NotFound(f"job {job_id} has no image {name!r}", metadata={"name": name, "known": names})
        return job.images[name], self.results.path(job.images[name].sha256)

    def recover(self) -> list[str]:
        """See JobStore."""
        rows = self.db.execute("SELECT job_id FROM jobs WHERE status = ?", (job_pb2.JOB_STATUS_PROCESSING,)).fetchall()
        error = error_pb2.Error(
            error="the orchestrator ended while it worked on this job",
            code="SERVER_UNAVAILABLE",
            details={"server": "orchestrator"},
        )
        for (job_id,) in rows:
            self.finish(job_id, job_pb2.JOB_STATUS_FAILED, error)
        return [job_id for (job_id,) in rows]

    def sweep(self) -> int:
        """See JobStore."""
        with self.rows.transaction():
            expired = self.db.execute("SELECT job_id FROM jobs WHERE expires <= ?", (self.now(),)).fetchall()
            content = {
                sha256
                for job in expired
                for (sha256,) in self.db.execute("SELECT sha256 FROM images WHERE job_id = ?", job)
            }
            for table in ("images", "events", "jobs"):
                self.db.executemany(f"DELETE FROM {table} WHERE job_id = ?", expired)
        self.drop_unneeded(content)
        self.rows.changed.update(job_id for (job_id,) in expired)
        return len(expired)

    def drop_unneeded(self, content: Iterable[bytes]) -> None:
        """Deletes the files of this `content` that no job needs any more."""
        for sha256 in content:
            if not self.db.execute("SELECT 1 FROM images WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone():
                self.results.remove(sha256)
