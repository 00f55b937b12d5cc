"""`python -m imajin_servers.orchestrator`."""

from __future__ import annotations

from imajin_servers.orchestrator.server import build
from imajin_servers.orchestrator.settings import OrchestratorSettings
from imajin_servers.runtime.server import run

if __name__ == "__main__":
    run("orchestrator", OrchestratorSettings, build)
