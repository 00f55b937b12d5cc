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
    """Takes note of a job that is over."""
    JOBS.labels(*labels(job.kind, job.status)).inc()


def took(kind: job_pb2.JobKind, status: job_pb2.JobStatus, seconds: float) -> None:
    """Takes note of how long a job was worked on."""
    JOB.labels(*labels(kind, status)).observe(seconds)


def labels(kind: job_pb2.JobKind, status: job_pb2.JobStatus) -> tuple[str, str]:
    """A kind and a status in lower case, without their prefixes."""
    return (
        job_pb2.JobKind.Name(kind).removeprefix("JOB_KIND_").lower(),
        job_pb2.JobStatus.Name(status).removeprefix("JOB_STATUS_").lower(),
    )
