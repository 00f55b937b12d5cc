"""The store against a model: any order of calls, restarts included, gives what the interface promises."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from imajin.common.v1 import error_pb2, image_pb2, progress_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator.jobs.schema import WrongTables
from imajin_servers.orchestrator.jobs.store import FINAL, Submission
from imajin_servers.orchestrator.jobs.tables import JobTables
from imajin_servers.runtime.errors import InvalidArgument, JobNotFound, NotFound, QueueFull, RequestIdReused

QUEUED, PROCESSING = job_pb2.JOB_STATUS_QUEUED, job_pb2.JOB_STATUS_PROCESSING
RETENTION, MAX_QUEUED = 100.0, 4
MEMORY = Path("/dev/shm")
images = st.sampled_from([b"red", b"green", b"blue" * 1000])


@dataclass
class Known:
    """What the model knows of a job."""

    number: int
    priority: int
    body: bytes
    request_id: str
    status: int = QUEUED
    images: dict[str, bytes] = field(default_factory=dict)
    expires: float = 0.0
    last_event: int = 0


class Store(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    @initialize()
    def start(self) -> None:
        # In memory where the system has such a place: every image is an fsync.
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.time = 1000.0
        self.known: dict[str, Known] = {}
        self.numbers = 0
        self.open()

    def open(self) -> None:
        self.tables = JobTables(self.folder, lambda: self.time, RETENTION, MAX_QUEUED)

    def line(self) -> list[str]:
        queued = [job_id for job_id, job in self.known.items() if job.status == QUEUED]
        return sorted(queued, key=lambda job_id: (-self.known[job_id].priority, self.known[job_id].number))

    def gone(self, job_id: str) -> bool:
        """Whether the job was swept; nothing of it may be left then."""
        if job_id in self.known:
            return False
        with pytest.raises(JobNotFound):
            self.tables.get(job_id)
        with pytest.raises(JobNotFound):
            self.tables.events(job_id, 0)
        return True

    def end(self, job_id: str, status: int) -> None:
        job = self.known[job_id]
        if job.status not in FINAL:
            job.status, job.expires = status, self.time + RETENTION

    @rule(
        target=jobs,
        priority=st.integers(0, 100),
        request_id=st.sampled_from(["", "", "a", "b"]),
        body=st.sampled_from([b"x", b"y"]),
    )
    def create(self, priority: int, request_id: str, body: bytes) -> object:
        submission = Submission(
            kind=job_pb2.JOB_KIND_GENERATE,
            request=body,
            prompt="a cat",
            priority=priority,
            request_id=request_id,
            fingerprint=body,
        )
        same = [job_id for job_id, job in self.known.items() if request_id and job.request_id == request_id]
        if same and self.known[same[0]].body != body:
            with pytest.raises(RequestIdReused):
                self.tables.create(submission)
            return multiple()
        if same:
            assert self.tables.create(submission).job_id == same[0]
            return multiple()
        if len(self.line()) >= MAX_QUEUED:
            with pytest.raises(QueueFull) as refused:
                self.tables.create(submission)
            assert refused.value.retry_after
            return multiple()
        job = self.tables.create(submission)
        self.numbers += 1
        self.known[job.job_id] = Known(self.numbers, priority, body, request_id)
        assert job.status == QUEUED
        return job.job_id

    @rule()
    def claim(self) -> None:
        line = self.line()
        work = self.tables.claim()
        if not line:
            assert work is None
            return
        assert work is not None
        assert (work.job.job_id, work.request) == (line[0], self.known[line[0]].body)
        self.known[line[0]].status = PROCESSING

    @rule(job_id=jobs, step=st.integers(1, 9))
    def progress(self, job_id: str, step: int) -> None:
        if self.gone(job_id) or self.known[job_id].status != PROCESSING:
            return
        denoising = progress_pb2.Denoising(step=step, total_steps=9)
        self.tables.progress(job_id, progress_pb2.Progress(denoising=denoising, fraction=step / 10))
        assert self.tables.get(job_id).progress.denoising.step == step

    @rule(job_id=jobs, name=st.sampled_from(["hero", "og"]), data=images)
    def add_image(self, job_id: str, name: str, data: bytes) -> None:
        if self.gone(job_id):
            return
        self.tables.add_image(job_id, name, job_pb2.JobImage(width=1, format=image_pb2.IMAGE_FORMAT_WEBP), data)
        if self.known[job_id].status not in FINAL:
            self.known[job_id].images[name] = data

    @rule(job_id=jobs, status=st.sampled_from(sorted(FINAL)))
    def finish(self, job_id: str, status: job_pb2.JobStatus) -> None:
        if self.gone(job_id):
            return
        error = error_pb2.Error(code="GPU_OOM") if status == job_pb2.JOB_STATUS_FAILED else None
        self.tables.finish(job_id, status, error)
        self.end(job_id, status)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        if self.gone(job_id):
            return
        job = self.tables.cancel(job_id)
        if self.known[job_id].status == QUEUED:
            self.end(job_id, job_pb2.JOB_STATUS_CANCELLED)
        assert job.status == self.known[job_id].status

    @rule(job_id=jobs)
    def take_number(self, job_id: str) -> None:
        if self.gone(job_id):
            return
        number = self.tables.take_number(job_id)
        assert (number > self.known[job_id].last_event) == (self.known[job_id].status not in FINAL)

    @rule(seconds=st.sampled_from([1.0, RETENTION / 2, RETENTION * 2]))
    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    @rule()
    def sweep(self) -> None:
        expired = {key for key, job in self.known.items() if job.status in FINAL and job.expires <= self.time}
        assert self.tables.sweep() == len(expired)
        for key in expired:
            del self.known[key]

    @rule()
    def restart(self) -> None:
        self.tables.close()
        (self.folder / "results" / "ab").mkdir(exist_ok=True)
        (self.folder / "results" / "ab" / f"ab{'0' * 62}.part").write_bytes(b"a crash left this")
        self.open()
        interrupted = {job_id for job_id, job in self.known.items() if job.status == PROCESSING}
        assert set(self.tables.recover()) == interrupted
        for job_id in interrupted:
            self.end(job_id, job_pb2.JOB_STATUS_FAILED)
            error = self.tables.get(job_id).error
            assert (error.code, error.details["server"]) == ("SERVER_UNAVAILABLE", "orchestrator")

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        for job_id, known in self.known.items():
            job = self.tables.get(job_id)
            assert job.status == known.status
            assert job.HasField("error") == (known.status == job_pb2.JOB_STATUS_FAILED)
            assert job.HasField("expire_time") == (known.status in FINAL)
            assert job.last_event >= known.last_event
            known.last_event = job.last_event
            assert set(job.images) == set(known.images)
            for name, data in known.images.items():
                image, path = self.tables.image_file(job_id, name)
                assert path.read_bytes() == data
                assert (image.bytes, image.sha256) == (len(data), hashlib.sha256(data).digest())
            with pytest.raises(NotFound):
                self.tables.image_file(job_id, "no such image")

    @invariant()
    def events_can_be_replayed_from_anywhere(self) -> None:
        for job_id, known in self.known.items():
            events = self.tables.events(job_id, 0)
            numbers = [event.sequence for event in events]
            assert numbers == sorted(set(numbers))
            assert all(0 < number <= self.tables.get(job_id).last_event for number in numbers)
            assert [event.HasField("job") for event in events[:-1]] == [False] * (len(events) - 1)
            assert events[-1].HasField("job") == (known.status in FINAL)
            if known.status in FINAL:
                assert events[-1].sequence == self.tables.get(job_id).last_event
            assert {event.image_ready.name for event in events if event.HasField("image_ready")} == set(known.images)
            middle = numbers[len(numbers) // 2]
            assert self.tables.events(job_id, middle) == [event for event in events if event.sequence > middle]

    @invariant()
    def the_line_is_told_in_order(self) -> None:
        positions = [self.tables.get(job_id).progress.queued.position for job_id in self.line()]
        assert positions == list(range(1, len(positions) + 1))

    @invariant()
    def pages_hold_every_job_newest_first(self) -> None:
        newest_first = sorted(self.known, key=lambda job_id: -self.known[job_id].number)
        listed, token = [], ""
        while True:
            page = self.tables.page(job_pb2.JOB_STATUS_UNSPECIFIED, 2, token)
            listed += [job.job_id for job in page.jobs]
            token = page.next_page_token
            if not token:
                break
        assert listed == newest_first
        queued = self.tables.page(QUEUED, 50, "").jobs
        assert {job.job_id for job in queued} == set(self.line())

    @invariant()
    def files_are_those_that_jobs_need(self) -> None:
        files = {path.name for path in self.folder.glob("results/*/*")}
        assert files == {
            hashlib.sha256(data).hexdigest() for job in self.known.values() for data in job.images.values()
        }

    def teardown(self) -> None:
        if hasattr(self, "tables"):
            self.tables.close()
            shutil.rmtree(self.folder)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_a_page_token_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tables = JobTables(tmp_path, lambda: 0.0, RETENTION, MAX_QUEUED)
    for token in ("x", "-1", "٣", "9" * 100):
        with pytest.raises(InvalidArgument, match="page_token"):
            tables.page(job_pb2.JOB_STATUS_UNSPECIFIED, 10, token)
    tables.close()


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    tables = JobTables(tmp_path, lambda: 0.0, RETENTION, MAX_QUEUED)
    tables.db.execute("PRAGMA user_version=99")
    tables.close()
    with pytest.raises(WrongTables, match="version 99"):
        JobTables(tmp_path, lambda: 0.0, RETENTION, MAX_QUEUED)


def test_events_of_a_long_job_stay_few(tmp_path: Path) -> None:
    tables = JobTables(tmp_path, lambda: 0.0, RETENTION, MAX_QUEUED)
    job_id = tables.create(Submission(job_pb2.JOB_KIND_GENERATE, b"", "a cat")).job_id
    tables.claim()
    for base in (1, 2):
        for step in range(1, 151):
            denoising = progress_pb2.Denoising(step=step, total_steps=150)
            tables.progress(job_id, progress_pb2.Progress(denoising=denoising, base=base))
    events = tables.events(job_id, 0)
    assert [event.sequence for event in events] == [1, 151, 301]
    assert [event.progress.denoising.step for event in events] == [0, 150, 150]
    tables.close()


def test_a_page_fits_into_a_message_however_long_the_prompts(tmp_path: Path) -> None:
    tables = JobTables(tmp_path, lambda: 0.0, RETENTION, 200)
    prompt = "\N{PANDA FACE}" * 4000
    ids = [tables.create(Submission(job_pb2.JOB_KIND_GENERATE, b"", prompt)).job_id for _ in range(150)]
    listed, token, pages = [], "", 0
    while token or not listed:
        page = tables.page(job_pb2.JOB_STATUS_UNSPECIFIED, 200, token)
        assert sum(job.ByteSize() for job in page.jobs) < 2**21
        listed += [job.job_id for job in page.jobs]
        token, pages = page.next_page_token, pages + 1
    assert listed == ids[::-1]
    assert pages == 2
    tables.close()
