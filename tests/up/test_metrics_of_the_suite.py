"""`imajin up` says where each program's metrics are, unless somebody else has."""

from __future__ import annotations

from pathlib import Path

import pytest

from imajin_client.up.metrics import metrics_addresses
from imajin_client.up.programs import suite
from imajin_client.up.settings import UpSettings

PLACES = {"vram": "127.0.0.1:50054", "gateway": "0.0.0.0:8080", "prompt": "host:65000"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("VRAM", "GATEWAY", "PROMPT", "DIFFUSION"):
        monkeypatch.delenv(f"IMAJIN_{name}_METRICS_ADDRESS", raising=False)
    monkeypatch.delenv("IMAJIN_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def test_they_lie_beside_the_program_on_loopback() -> None:
    assert metrics_addresses(PLACES) == {"vram": "127.0.0.1:51054", "gateway": "127.0.0.1:9080"}


def test_variables_win_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "imajin.toml").write_text('[vram]\nmetrics_address = "127.0.0.1:1"\n[gateway]\nmetrics_address = ""\n')
    monkeypatch.setenv("IMAJIN_PROMPT_METRICS_ADDRESS", "127.0.0.1:2")
    assert metrics_addresses(PLACES) == {"vram": "127.0.0.1:1", "prompt": "127.0.0.1:2"}


def test_programs_are_told_unless_it_is_turned_off() -> None:
    (told,) = suite(UpSettings(only=("diffusion",)), {"diffusion": "127.0.0.1:4000"})
    assert told.environment["IMAJIN_DIFFUSION_METRICS_ADDRESS"] == "127.0.0.1:5000"
    (quiet,) = suite(UpSettings(only=("diffusion",), metrics=False))
    assert "IMAJIN_DIFFUSION_METRICS_ADDRESS" not in quiet.environment
