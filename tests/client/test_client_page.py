"""docs/client.md says nothing that does not run."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from imajin_client.command import app

from . import answers
from .doubles import Doubles

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_the_python_of_the_page_runs(code: str, folder: Path) -> None:
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})


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


def test_every_block_is_one_that_runs() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "bash"}
