"""Which model is meant, and what is known about one before it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from imajin_servers.diffusion.models import loading
from imajin_servers.diffusion.models.registry import Registry, embedded, from_settings
from imajin_servers.diffusion.settings import EMBEDDED, DiffusionSettings, ModelEntry
from imajin_servers.runtime.errors import ModelNotFound

PHOTO = ModelEntry(name="photo", source="somebody/photo", styles=["photorealistic"])
ANIME = ModelEntry(name="anime", source="somebody/anime", styles=["anime"])


def test_a_name_wins_over_a_style_and_a_style_over_the_default() -> None:
    registry = Registry([PHOTO, ANIME])
    assert registry.find("", "") is PHOTO
    assert registry.find("", "anime") is ANIME
    assert registry.find("photo", "anime") is PHOTO


def test_what_is_unknown_is_named_with_what_is_known() -> None:
    registry = Registry([PHOTO])
    with pytest.raises(ModelNotFound, match="photo"):
        registry.find("nope", "")
    with pytest.raises(ModelNotFound, match="photorealistic"):
        registry.find("", "anime")


def test_registries_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        Registry([PHOTO, PHOTO])
    with pytest.raises(ValueError, match="no models"):
        Registry([])
    with pytest.raises(ValueError, match="not among"):
        Registry([PHOTO], "anime")


def test_the_embedded_model_is_last_unless_it_is_the_default() -> None:
    settings = DiffusionSettings(models=[PHOTO])
    assert [model.name for model in from_settings(settings).models] == ["photo", "embedded"]
    settings = DiffusionSettings(models=[PHOTO], default_model="embedded")
    assert from_settings(settings).default.name == "embedded"


def test_settings_come_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "imajin.toml"
    config.write_text(
        '[diffusion]\nmax_batch = 3\n[[diffusion.models]]\nname = "xl"\nsource = "a/b"\nstyles = ["anime"]\nbase_sizes = [[1024, 768]]\n'
    )
    monkeypatch.setenv("IMAJIN_CONFIG", str(config))
    monkeypatch.setenv("IMAJIN_DIFFUSION_MODERATION__THRESHOLD", "0.5")
    settings = DiffusionSettings()
    assert (settings.max_batch, settings.moderation.threshold) == (3, 0.5)
    assert from_settings(settings).default.base_sizes == [(1024, 768)]


def test_a_card_in_the_models_directory_says_what_the_operator_does_not(tmp_path: Path) -> None:
    (tmp_path / "imajin.json").write_text(json.dumps({"license": "MIT", "default_steps": 12, "base_sizes": [[64, 96]]}))
    entry = ModelEntry(name="carded", source=str(tmp_path), default_steps=5)
    carded = from_settings(DiffusionSettings(models=[entry])).default
    assert (carded.license, carded.default_steps, carded.base_sizes) == ("MIT", 5, [(64, 96)])


def test_its_own_size_where_nobody_says(tmp_path: Path) -> None:
    for name, config in (("unet", {"sample_size": 64}), ("vae", {"block_out_channels": [1, 2, 3, 4]})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    entry = ModelEntry(name="sd", source=str(tmp_path))
    assert from_settings(DiffusionSettings(models=[entry])).default.base_sizes == [(512, 512)]


def test_the_size_of_the_weights_is_known_before_loading() -> None:
    entry, cpu = embedded(), torch.device("cpu")
    expected = loading.known_weight_bytes(entry, cpu)
    pipe = loading.load(entry, EMBEDDED, cpu, lambda loaded, total: None)
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    actual = sum(tensor.numel() * tensor.element_size() for part in parts for tensor in part.parameters())
    # A pooler that the files don't hold is made anew.
    assert 0.95 < expected / actual <= 1.05
    halved = loading.known_weight_bytes(entry.model_copy(update={"dtype": "float16"}), cpu)
    assert halved < 0.6 * expected


def test_settings_that_make_no_sense_end_the_server_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "imajin.toml").write_text(
        f'[[diffusion.models]]\nname = "mine"\nsource = "{EMBEDDED}"\nstep_cache = 0.1\n'
    )
    anywhere = {"IMAJIN_DIFFUSION_ADDRESS": "127.0.0.1:0", "IMAJIN_DIFFUSION_METRICS_ADDRESS": "127.0.0.1:0"}
    environment = {**os.environ, **anywhere, "IMAJIN_CONFIG": str(tmp_path / "imajin.toml")}
    command = [sys.executable, "-m", "imajin_servers.diffusion"]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "imajin diffusion: bad settings: the model 'mine' can't have step_cache" in ended.stderr
    assert "Traceback" not in ended.stderr
