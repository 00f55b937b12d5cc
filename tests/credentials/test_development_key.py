"""The development key on disk: cut, mixed up, out of its time, or in a folder that can't hold it. It is told by name, and kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.runtime.credentials.identity import CHAIN_FILE, KEY_FILE, load
from imajin_servers.runtime.credentials.settings import CredentialSettings

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def made(folder: Path) -> tuple[CredentialSettings, Path]:
    """Settings whose development key lies in `folder`, and where."""
    settings = CredentialSettings(directory=folder)
    load(settings, NOON)
    return settings, folder / "development"


@pytest.mark.parametrize("name", [KEY_FILE, CHAIN_FILE])
def test_a_file_cut_anywhere_is_named_and_kept(tmp_path: Path, name: str) -> None:
    settings, folder = made(tmp_path)
    path = folder / name
    whole = path.read_bytes()
    before = load(settings, NOON)
    for length in sorted({*range(0, len(whole), 5), *range(len(whole) - 60, len(whole))}):
        path.write_bytes(whole[:length])
        if whole[length:] == b"\n":
            # Only the end of the last line is missing.
            assert load(settings, NOON).anchors == before.anchors
            continue
        with pytest.raises(ValueError, match="a new development key is made") as caught:
            load(settings, NOON)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == whole[:length]


@given(name=st.sampled_from([KEY_FILE, CHAIN_FILE]), content=st.binary(max_size=300))
def test_garbage_is_named(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    settings, folder = made(tmp_path_factory.mktemp("credentials"))
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        load(settings, NOON)


@pytest.mark.parametrize("name", [KEY_FILE, CHAIN_FILE])
def test_a_missing_file_is_not_made_anew(tmp_path: Path, name: str) -> None:
    settings, folder = made(tmp_path)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=name):
        load(settings, NOON)
    assert not (folder / name).exists()


def test_a_clock_that_is_set_by_an_hour_changes_nothing(tmp_path: Path) -> None:
    settings, _ = made(tmp_path)
    identity = load(settings, NOON)
    for moment in (NOON - HOUR, NOON + HOUR, NOON + 3000 * DAY):
        assert load(settings, moment) == identity


@pytest.mark.parametrize("moment", [datetime(1970, 1, 1, tzinfo=UTC), NOON + 3700 * DAY])
def test_a_clock_out_of_the_certificate_s_time_is_told_with_both(tmp_path: Path, moment: datetime) -> None:
    settings, _ = made(tmp_path)
    with pytest.raises(ValueError, match="is valid from 2026-05-31 until 2036-") as caught:
        load(settings, moment)
    assert f"the clock says {moment:%Y-%m-%d}" in str(caught.value)


def test_a_folder_that_can_not_hold_it_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="IMAJIN_CREDENTIALS_DIRECTORY"):
        load(CredentialSettings(directory=tmp_path / "file" / "credentials"), NOON)
