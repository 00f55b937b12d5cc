"""The gRPC servers of the suite; each folder is one process, `runtime` is what they share."""
