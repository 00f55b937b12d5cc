"""Content credentials: C2PA manifests that say of a file who made it, with which model, when, and out of what.

Knows nothing of gRPC calls, models or pixels. docs/credentials.md says what is embedded and what survives.
"""
