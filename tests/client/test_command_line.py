"""The `imajin` command: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin_client.command import app, checks
from imajin_client.command.checks import face_model, image_model, whole
from imajin_client.command.output import HINTS
from imajin_client.errors import BY_REASON

from .answers import PIXELS, SMALL, WatchJob, image_chunks, job
from .doubles import Doubles

runner = CliRunner()


class Imajin:
    """The command in an empty folder, with the doubles at its addresses."""

    def __init__(self, doubles: Doubles, folder: Path) -> None:
        self.doubles = doubles
        self.folder = folder
        self.at = [part for name, place in doubles.addresses.items() for part in ("--at", f"{name}={place}")]

    def __call__(self, *arguments: str, status: int = 0, stdin: bytes | None = None) -> Any:
        result = runner.invoke(app, [*self.at, *arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        assert "\x1b" not in (result.stderr if "-" in arguments else result.output)
        return result


@pytest.fixture
def imajin(doubles: Doubles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Imajin:
    monkeypatch.chdir(tmp_path)
    return Imajin(doubles, tmp_path)


DOCUMENTS = [
    ["describe", "a panda"],
    ["generate", "a panda"],
    ["edit", "in.webp", "a panda"],
    ["sizes"],
    ["sizes", "--plan", "-s", "hero"],
    ["sizes", "a panda", "-s", "hero"],
    ["sizes", "a panda", "-s", "hero", "--detach"],
    ["process", "in.webp"],
    ["process", "in.webp", "-p", "detect-focal-point"],
    ["process", "in.webp", "--width", "640"],
    ["derivatives", "in.webp"],
    ["jobs", "list"],
    ["jobs", "show", "job-1"],
    ["jobs", "cancel", "job-1"],
    ["jobs", "save", "job-1"],
    ["jobs", "save", "job-1", "hero"],
    ["models"],
    ["verify", "in.webp"],
    ["vram", "list"],
    ["doctor"],
]


@pytest.mark.parametrize("arguments", DOCUMENTS, ids=" ".join)
def test_json_is_one_document_and_nothing_else(arguments: list[str], imajin: Imajin) -> None:
    Path("in.webp").write_bytes(b"an image")
    result = imajin(*arguments, "--json")
    assert isinstance(json.loads(result.stdout), (dict, list))
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


@pytest.mark.parametrize("arguments", DOCUMENTS, ids=" ".join)
def test_people_get_text(arguments: list[str], imajin: Imajin) -> None:
    Path("in.webp").write_bytes(b"an image")
    assert imajin(*arguments).stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["describe", "a panda", "--events"], ["classification", "reasoning", "reasoning", "prompt", "description"]),
        (["generate", "a panda", "--events"], ["progress", "progress", "progress", "image"]),
        (["jobs", "watch", "job-1", "--json"], ["progress", "imageready", "job"]),
        (["sizes", "a panda", "-s", "hero", "--events"], ["progress", "imageready", "job", "saved"]),
    ],
    ids=["describe", "generate", "watch", "sizes"],
)
def test_streams_are_lines_of_json(arguments: list[str], kinds: list[str], imajin: Imajin) -> None:
    imajin.doubles.answers["WatchJob"] = lambda request, context: (
        event for event in WatchJob(request, context) if not event.HasField("preview")
    )
    result = imajin(*arguments)
    assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == kinds
    assert result.stderr == ""


def test_an_image_goes_to_a_file_a_folder_or_stdout(imajin: Imajin) -> None:
    imajin("generate", "a panda", "--seed", "7", "-o", "art/panda.webp", "--derivatives", "small", "--previews", "way")
    assert Path("art/panda.webp").read_bytes() == PIXELS
    assert Path("small/hero-48.webp").read_bytes() == SMALL
    assert sorted(path.name for path in Path("way").iterdir()) == ["step-001.jpg", "step-002.jpg"]
    imajin("generate", "a panda", "--seed", "7", "-o", "art")
    assert Path("art/imajin-7.webp").read_bytes() == PIXELS
    assert imajin("generate", "a panda", "-o", "-").stdout_bytes == PIXELS
    assert imajin("process", "-", "-o", "-", stdin=SMALL).stdout_bytes == SMALL
    assert imajin("jobs", "save", "job-1", "hero", "-o", "-").stdout_bytes == PIXELS
    assert list(Path().rglob("*.partial")) == []


def test_an_edit_takes_a_file_a_mask_and_the_rest(imajin: Imajin) -> None:
    Path("in.webp").write_bytes(PIXELS)
    Path("mask.png").write_bytes(b"a mask")
    wishes = ["--mask", "mask.png", "--strength", "0.5", "--seed", "7", "--scheduler", "euler-ancestral"]
    wishes += ["--area", "mask", "--mask-padding", "0"]
    told = imajin("edit", "in.webp", "a panda", *wishes, "--lora", "ink", "--lora", "fur=0.5", "--previews", "way")
    assert "in-edited-7.webp" in told.stdout
    assert Path("in-edited-7.webp").read_bytes() == PIXELS
    assert Path("way/step-001.jpg").exists()
    spec = imajin.doubles.asked["Edit"][0][0].spec
    assert (spec.mask_data, spec.strength, spec.scheduler) == (b"a mask", 0.5, 6)
    assert (spec.area, spec.HasField("mask_padding"), spec.mask_padding) == (2, True, 0)
    assert [(lora.name, lora.weight) for lora in spec.loras] == [("ink", 1.0), ("fur", 0.5)]
    assert imajin("edit", "-", "a panda", "-o", "-", stdin=SMALL).stdout_bytes == SMALL
    assert "stdin" in imajin("edit", "-", "-", status=2).stderr
    assert "no number" in imajin("edit", "in.webp", "a panda", "--lora", "ink=much", status=2).stderr


def test_generate_takes_a_canvas_of_noise(doubles: Doubles, imajin: Imajin) -> None:
    imajin("generate", "a panda", "--noise-canvas", "320x256")
    asked = doubles.asked["Generate"][0].noise_canvas
    assert (asked.width, asked.height) == (320, 256)
    assert "no WxH" in imajin("generate", "a panda", "--noise-canvas", "320", status=2).stderr


def test_a_file_of_another_format_is_refused(imajin: Imajin) -> None:
    result = imajin("generate", "a panda", "--format", "webp", "-o", "panda.png", status=2)
    assert "the image is webp" in result.stderr
    assert not Path("panda.png").exists()


def test_the_ending_of_the_file_asks_for_its_format(doubles: Doubles, imajin: Imajin) -> None:
    imajin("generate", "a panda", "-o", "panda.jpeg", status=2)  # the double answers WebP whatever it is asked for
    imajin("generate", "a panda", "-o", "panda.webp")
    imajin("generate", "a panda", "-o", ".")
    formats = [request.format for request in doubles.asked["Generate"]]
    assert formats == [image_pb2.IMAGE_FORMAT_JPEG, image_pb2.IMAGE_FORMAT_WEBP, image_pb2.IMAGE_FORMAT_UNSPECIFIED]


def test_words_come_from_stdin(imajin: Imajin) -> None:
    imajin("generate", "-", stdin=b"a panda on a hill\n")
    assert imajin.doubles.asked["Generate"][0].prompt == "a panda on a hill"


def test_all_images_of_a_job_are_saved(imajin: Imajin) -> None:
    result = imajin("sizes", "a panda", "-s", "hero", "--seed", "0", "-o", "art", "--json")
    assert Path("art/hero.webp").read_bytes() == PIXELS
    assert json.loads(result.stdout)["files"] == {"hero": "art/hero.webp"}
    assert imajin.doubles.asked["SubmitBatchSizes"][0].seed == 0
    assert imajin("sizes", "a panda", "-s", "hero", "--detach").stdout == "job-1\n"
    assert imajin.doubles.asked["CancelJob"] == []


def test_options_reach_the_server(imajin: Imajin) -> None:
    Path("in.webp").write_bytes(b"an image")
    imajin("describe", "a panda", "--region", "japan", "--tag", "zoo", "--size", "hero", "--count", "2", "--seed", "0")
    asked = imajin.doubles.asked["StreamAnalyzeContext"][0]
    assert (asked.filters.region, list(asked.filters.tags), list(asked.sizes), asked.count, asked.seed) == (
        "japan",
        ["zoo"],
        ["hero"],
        2,
        0,
    )
    imajin("process", "in.webp", "-p", "clip-focal", "--size", "300x600", "--focal", "0.25,0.5", "-o", "out.webp")
    spec = imajin.doubles.asked["Process"][0][0].spec
    assert (list(spec.operations), spec.size.height, spec.focal_point.x) == ([6], 600, 0.25)
    assert Path("out.webp").exists()
    imajin("generate", "a panda", "--text", "hi", "--text-position", "top", "--watermark", "", "--style", "anime")
    asked = imajin.doubles.asked["Generate"][0]
    assert (asked.text_overlay.position, asked.HasField("watermark"), asked.style) == (2, True, 2)


def test_a_typed_error_is_exit_1_with_its_reason_and_a_hint(imajin: Imajin) -> None:
    imajin.doubles.fail("Generate", "RESOURCE_EXHAUSTED", "GPU_OOM", "GPU out of memory", metadata={"requested": "8GB"})
    told = imajin("generate", "a panda", status=1)
    assert told.stdout == ""
    assert "GPU_OOM GPU out of memory" in told.stderr
    assert "requested=8GB" in told.stderr
    assert "imajin vram list" in told.stderr
    machine = imajin("generate", "a panda", "--json", status=1)
    assert machine.stdout == ""
    error = json.loads(machine.stderr)
    assert (error["code"], error["error"], error["details"]) == ("GPU_OOM", "GPU out of memory", {"requested": "8GB"})
    assert list(Path().iterdir()) == []


def test_every_reason_that_a_user_can_mend_has_a_hint() -> None:
    assert set(HINTS) <= set(BY_REASON)


def test_a_failed_job_is_exit_1(imajin: Imajin) -> None:
    imajin.doubles.answers["WatchJob"] = lambda request, context: iter(
        [job_pb2.WatchJobResponse(sequence=1, job=job(4))]
    )
    assert "GPU_OOM" in imajin("jobs", "watch", "job-1", status=1).stderr
    machine = imajin("jobs", "watch", "job-1", "--json", status=1)
    assert json.loads(machine.stdout)["error"]["code"] == "GPU_OOM"


def test_no_server_is_exit_3_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAJIN_DIFFUSION_ADDRESS", "127.0.0.1:1")
    result = runner.invoke(app, ["models"])
    assert result.exit_code == 3
    assert "127.0.0.1:1" in result.stderr
    assert "imajin up" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate"],
        ["nonsense"],
        ["generate", "a panda", "--width", "wide"],
        ["generate", "a panda", "--out"],
        ["describe", "a panda", "--count", "0"],
        ["sizes", "a panda"],
        ["jobs", "save", "job-1", "-o", "-"],
        ["process", "nothing.webp"],
        ["derivatives", "nothing.webp"],
        ["process", "in.webp", "--size", "300"],
        ["process", "in.webp", "--focal", "left,right"],
        ["process", "in.webp", "-p", "optimize", "--width", "640"],
        ["vram", "run", "--gib", "0", "--", "true"],
        ["--at", "nowhere=1:1", "models"],
        ["--at", "prompt", "models"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_2(arguments: list[str], imajin: Imajin) -> None:
    Path("in.webp").write_bytes(b"an image")
    result = imajin(*arguments, status=2)
    assert result.stdout == ""
    assert result.stderr
    assert not any(imajin.doubles.asked.values())


def test_a_word_that_is_none_is_exit_1_before_the_call(imajin: Imajin) -> None:
    result = imajin("generate", "a panda", "--format", "gif", status=1)
    assert "INVALID_ARGUMENT" in result.stderr
    assert "webp" in result.stderr


def test_the_doctor_says_what_is_there_and_what_is_not(imajin: Imajin, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {check["name"]: check for check in json.loads(imajin("doctor", "--json").stdout)}
    assert found["server prompt"]["state"] == "ok"
    assert found["face model"]["state"] == "ok"
    assert {"python", "image model", "language model", "cards", "disk", "memory", "extra gateway"} <= set(found)

    here = checks.folder_of
    monkeypatch.setattr(checks, "folder_of", lambda name: None if name == "ai_edge_litert" else here(name))
    monkeypatch.setattr(checks, "loadable", lambda name: False)
    result = imajin("doctor", status=1)
    assert "pip install ai-edge-litert" in result.stdout
    assert "apt-get install libfribidi0" in result.stdout


def test_a_damaged_model_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "embedded"
    folder.mkdir()
    assert image_model(folder).state == "missing"
    (folder / "model_index.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    good = len(header).to_bytes(8, "little") + header + bytes(8)
    weights = folder / "weights.safetensors"
    weights.write_bytes(good)
    assert whole(weights)
    assert image_model(folder).state == "ok"
    for bad in (good[:-1], good + b"x", b"version https://git-lfs", b"", good[:9]):
        weights.write_bytes(bad)
        assert not whole(weights)
        assert image_model(folder).state == "missing"
    (tmp_path / "face.tflite").write_bytes(b"other")
    assert face_model(tmp_path / "face.tflite").state == "missing"


def test_derivatives_are_saved_under_the_names_of_the_snippet(imajin: Imajin) -> None:
    Path("in.webp").write_bytes(SMALL)
    result = imajin("derivatives", "in.webp", "-o", "made", "--target", "70", "--alt", "A panda", "--eager")
    assert Path("made/hero-640.3fa9c1d2e4b5.webp").read_bytes() == SMALL
    assert Path("made/snippet.html").read_text() == '<img src="hero-640.3fa9c1d2e4b5.webp">\n'
    assert '<img src="hero-640.3fa9c1d2e4b5.webp">' in result.stdout
    assert "70.5" in result.stdout
    spec = imajin.doubles.asked["CreateDerivatives"][0][0].spec
    assert (spec.target_quality, spec.page.alt, spec.page.eager) == (70, "A panda", True)
    document = json.loads(imajin("derivatives", "in.webp", "-o", "made", "--json").stdout)
    assert document["source"]["thumb_hash"] == "3EgKFwhpaIVPh2aHVnh5WIdp+SVif0IG"
    assert document["files"] == ["made/hero-640.3fa9c1d2e4b5.webp"]


def test_the_demo_makes_files_a_table_and_a_sheet(imajin: Imajin) -> None:
    buffer = io.BytesIO()
    Pillow.new("RGB", (192, 108), (200, 40, 40)).save(buffer, "WEBP")
    picture = buffer.getvalue()

    def read(request: Any, context: Any) -> Iterator[Any]:
        for chunk in image_chunks(picture):
            yield job_pb2.ReadJobResponse(chunk=chunk)
        yield job_pb2.ReadJobResponse(job=job())

    imajin.doubles.answers["ReadJob"] = read
    result = imajin("demo", "-s", "hero", "--out", "made")
    assert "a happy panda" in result.stdout
    assert "Japan" in result.stdout
    assert "landscape 96x64" in result.stdout
    assert sorted(str(path) for path in Path("made").rglob("*") if path.is_file()) == [
        "made/contact-sheet.png",
        "made/derivatives/hero-640.webp",
        "made/hero.webp",
    ]
    with Pillow.open("made/contact-sheet.png") as sheet:
        colours = sheet.convert("RGB").getcolors(sheet.width * sheet.height)
        assert sum(count for count, colour in colours if colour[0] > 150 and colour[1] < 80) > 200 * 200
    asked = imajin.doubles.asked["SubmitBatchSizes"][0]
    assert (asked.prompt, asked.negative_prompt) == ("a panda", "blur")
    document = json.loads(imajin("demo", "-s", "hero", "--json").stdout)
    assert document["contact_sheet"] == "out/contact-sheet.png"
    assert document["seconds"].keys() == {
        "start",
        "describe",
        "start the rest",
        "sizes",
        "derivatives",
        "contact sheet",
    }
