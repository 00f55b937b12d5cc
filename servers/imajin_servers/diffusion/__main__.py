"""Runs the diffusion server."""

from __future__ import annotations

import os


def main() -> None:
    """Runs until SIGINT or SIGTERM."""
    # Threads that spin while they wait cost several times on a busy host; OpenMP reads this once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from imajin_servers.diffusion.build import build
    from imajin_servers.diffusion.settings import DiffusionSettings
    from imajin_servers.runtime.server import run

    run("diffusion", DiffusionSettings, build)


if __name__ == "__main__":
    main()
