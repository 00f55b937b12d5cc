"""docs/client.md and README.md say nothing that does not run."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from imajin_client.command import app

from . import answers
from .doubles import Doubles

ROOT = Path(__file__).parents[2]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


BLOCKS = blocks(ROOT / "docs" / "client.md")
README = blocks(ROOT / "README.md")
COMMANDS = [line for _, code in README for line in code.splitlines() if line.startswith("imajin ")]


@pytest.fixture
def folder(doubles: Doubles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the doubles at their addresses, where every image is a real one."""
    buffer = io.BytesIO()
    Pillow.new("RGB", (192, 108), (9, 99, 9)).save(buffer, "WEBP")
    monkeypatch.setattr(answers, "PIXELS", buffer.getvalue())
    monkeypatch.setattr(answers, "SMALL", buffer.getvalue())
    for name, place in doubles.addresses.items():
        monkeypatch.setenv(f"IMAJIN_{name.upper()}_ADDRESS", place)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "panda.webp").write_bytes(buffer.getvalue())
    return tmp_path


@pytest.mark.parametrize("code", [code for language, code in BLOCKS + README if language == "python"])
def test_the_python_of_the_pages_runs(code: str, folder: Path) -> None:
    exec(compile(code, "page", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "bash"])
def test_the_shell_of_the_page_runs(code: str, folder: Path) -> None:
    for line in code.splitlines():
        pipeline, _, target = line.partition(" > ")
        data: bytes | None = None
        # In this process: a dozen interpreters take longer than all that they do.
        for command in pipeline.split(" | "):
            program, *arguments = shlex.split(command)
            assert program == "imajin"
            result = CliRunner().invoke(app, arguments, input=data)
            assert result.exit_code == 0, (line, result.output)
            data = result.stdout_bytes
        if target:
            Path(target).write_bytes(data or b"")
    assert {"panda.webp", "sidebar.webp", "small.webp", "hero.webp", "variants", "pictures"} <= {
        path.name for path in folder.iterdir()
    }


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_readme_run(line: str, folder: Path) -> None:
    for name in ("photo.jpg", "apple.webp", "hero.webp", "m.png"):
        (folder / name).write_bytes((folder / "panda.webp").read_bytes())
    (folder / "train.py").write_text("print('trained')")
    _, *arguments = shlex.split(line, comments=True)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


def test_the_readme_shows_what_the_main_commands_do() -> None:
    shown = {shlex.split(line)[1] for line in COMMANDS}
    there = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert there - shown == {"up", "demo", "derivatives"}, (
        "`make` runs the first two; docs/derivatives.md has the third"
    )


def test_the_readme_names_endpoints_that_there_are() -> None:
    described = json.loads((ROOT / "docs" / "api" / "openapi.json").read_text())["paths"]
    named = set(re.findall(r"`(?:GET|POST) (/[^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8")))
    asked = {path for _, code in README for path in re.findall(r"localhost:8080(/\S*)", code)}
    assert asked <= set(described)
    assert {path.replace("{id}", "{job_id}") for path in named} <= {*described, "/health"}


def test_every_block_is_one_that_runs() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "bash"}
