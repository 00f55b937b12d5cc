"""The orchestrator: the flows across the other servers, and the jobs that outlive their callers."""
