"""The REST shim: HTTP endpoints as the contract's `google.api.http` rules say, and the pages that it serves to browsers."""
