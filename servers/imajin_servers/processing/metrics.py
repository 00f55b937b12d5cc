"""What Prometheus may read of the work on images."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

from imajin_servers.runtime.metrics import SECONDS

DECODE = Histogram("imajin_processing_decode_seconds", "Time to decode an image.", ("format",), buckets=SECONDS)
ENCODE = Histogram("imajin_processing_encode_seconds", "Time to encode an image.", ("format",), buckets=SECONDS)
WAIT = Histogram("imajin_processing_wait_seconds", "Time that work waits for a thread.", buckets=SECONDS)
CALLS = Gauge("imajin_processing_calls", "Calls whose images are worked on or wait.")
BYTES = Gauge("imajin_processing_bytes", "Bytes of uploads and pixels that are held.")
