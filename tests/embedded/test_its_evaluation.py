"""The table of `bench/embedded_model.py`: a goal that is missed is said, and ends the run with an error."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
GOALS = [
    ("in_vocabulary", "top1"),
    ("in_vocabulary", "top5"),
    ("colours", "right"),
    ("pairs", "both"),
    ("synonyms", "top1"),
    ("variety", "ratio"),
]
LIMITS = ["seconds_20_steps", "load_seconds", "mebibytes"]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    return import_module("embedded.report").report


@pytest.fixture
def results() -> dict[str, dict[str, float]]:
    """As measured last."""
    return json.loads((BENCH / "results" / "embedded_model.json").read_text())["results"]


def test_the_shipped_model_meets_its_goals(report: Any, results: dict[str, dict[str, float]]) -> None:
    text, met = report(results)
    assert met
    assert "missed" not in text
    assert text in (BENCH / "results" / "embedded_model.md").read_text()


@pytest.mark.parametrize(("part", "figure"), GOALS)
def test_a_goal_that_is_missed_is_said(
    report: Any, results: dict[str, dict[str, float]], part: str, figure: str
) -> None:
    results[part][figure] = 0.3
    text, met = report(results)
    assert not met
    assert text.count("missed") == 1


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_that_is_passed_is_said(report: Any, results: dict[str, dict[str, float]], limit: str) -> None:
    results["speed"][limit] = 100
    text, met = report(results)
    assert not met
    assert text.count("missed") == 1
