"""What Prometheus may read of jobs."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from imajin.job.v1 import job_pb2
from imajin_servers.runtime.metrics import SECONDS

QUEUED = Gauge("imajin_orchestrator_jobs_queued", "Jobs that wait.")
RUNNING = Gauge("imajin_orchestrator_jobs_running", "Jobs that are worked on.")
JOBS = Counter("imajin_orchestrator_jobs_total", "Jobs that ended, by kind and status.", ("kind", "status"))
JOB = Histogram(
    "imajin_orchestrator_job_seconds", "Time from taking a job up to its end.", ("kind", "status"), buckets=SECONDS
)
STAGE = Histogram("imajin_orchestrator_stage_seconds", "Time of a job's stages.", ("stage",), buckets=SECONDS)


def ended(job: job_pb2.Job) -> None:
    """Takes note of a job that is over; one that never was taken up has no time."""
    kind = job_pb2.JobKind.Name(job.kind).removeprefix("JOB_KIND_").lower()
    status = job_pb2.JobStatus.Name(job.status).removeprefix("JOB_STATUS_").lower()
    JOBS.labels(kind, status).inc()
    if job.HasField("start_time"):
        JOB.labels(kind, status).observe((job.end_time.ToMicroseconds() - job.start_time.ToMicroseconds()) / 1e6)
