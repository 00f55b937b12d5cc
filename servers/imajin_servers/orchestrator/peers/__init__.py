"""The servers that the flows use, as the flows see them: the only rooms here that know gRPC beside the servicers."""
