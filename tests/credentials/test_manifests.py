"""Manifests in files and beside bare pixels: who signs, what is said, and what is made of files that lie."""

from __future__ import annotations

import functools
import io
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from imajin_servers.runtime import marking
from imajin_servers.runtime.credentials.identity import load, new_identity
from imajin_servers.runtime.credentials.reports import MAX_TEXT, Report, State, report
from imajin_servers.runtime.credentials.sealing import Seal
from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.credentials.statements import TRAINED, Created, Derived
from imajin_servers.runtime.credentials.store import MEDIA_TYPES, Credentials

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DREW = Created("embedded", NOW)
FORMATS = ("png", "jpeg", "webp", "avif")
Encode = Callable[..., bytes]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def picture() -> Image.Image:
    return Image.linear_gradient("L").convert("RGB")


def test_the_first_start_makes_a_key_that_only_its_owner_reads(credentials: Credentials, tmp_path: Path) -> None:
    assert credentials.identity.development
    assert stat.S_IMODE((tmp_path / "development/key.pem").stat().st_mode) == 0o600
    assert Credentials(CredentialSettings(directory=tmp_path)).identity == credentials.identity
    leaf, root = x509.load_pem_x509_certificates((tmp_path / "development/certificates.pem").read_bytes())
    assert leaf.issuer == root.subject
    assert leaf.subject != root.subject
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    leaf.verify_directly_issued_by(root)


def test_servers_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from imajin_servers.runtime.credentials.identity import load;"
        "from imajin_servers.runtime.credentials.settings import CredentialSettings;"
        "print(load(CredentialSettings(directory=Path(sys.argv[1]))).chain.hex())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert len({process.communicate()[0] for process in started}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["development"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_says_who_made_it(format: str, credentials: Credentials, picture: Image.Image, encoded: Encode) -> None:
    file = encoded(picture, format)
    assert credentials.read(file, format) is None
    signed = credentials.sign(file, format, DREW, "0badcafe")
    found = credentials.read(signed, format)
    assert found is not None
    assert (found.state, found.generated, found.source_type) == (State.TRUSTED, True, TRAINED)
    assert (found.model, found.created_at, found.prompt, found.content_id) == ("embedded", NOW, "", "0badcafe")
    assert found.actions == ("c2pa.created", "c2pa.watermarked.unbound")
    assert found.generator.startswith("imajin ")
    assert len(signed) - len(file) < 6000
    assert encoded(Image.open(io.BytesIO(signed)), "png") == encoded(Image.open(io.BytesIO(file)), "png")


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_file_does_not_hold(
    format: str, credentials: Credentials, picture: Image.Image, encoded: Encode
) -> None:
    signed = bytearray(credentials.sign(encoded(picture, format), format, DREW, ""))
    # WebP keeps the manifest at the end, the others before the pixels.
    signed[60 if format == "webp" else -20] ^= 1
    found = credentials.read(bytes(signed), format)
    assert found is not None
    assert found.state is State.INVALID
    assert not found.generated
    assert any("Hash" in status or "hash" in status for status in found.statuses)


def test_a_signer_of_somewhere_else_holds_and_is_not_trusted(
    credentials: Credentials, picture: Image.Image, encoded: Encode, tmp_path: Path
) -> None:
    signed = credentials.sign(encoded(picture, "webp"), "webp", DREW, "")
    other = tmp_path / "other"
    elsewhere = Credentials(CredentialSettings(directory=other))
    found = elsewhere.read(signed, "webp")
    assert found is not None
    assert (found.state, found.generated) == (State.VALID, True)
    anchors = [tmp_path / "development/certificates.pem"]
    trusting = Credentials(CredentialSettings(directory=other, trust_anchors=anchors)).read(signed, "webp")
    assert trusting is not None
    assert trusting.state is State.TRUSTED


def test_a_chain_leads_back_to_the_base(credentials: Credentials, picture: Image.Image, encoded: Encode) -> None:
    pixels = picture.tobytes()
    manifest = credentials.sign_pixels(pixels, *picture.size, Created("embedded", NOW, "a red car"), "0badcafe")
    judged = credentials.read_pixels(pixels, *picture.size, manifest)
    assert judged is not None
    assert judged.generated
    changed = bytes([pixels[0] ^ 1]) + pixels[1:]
    broken = credentials.read_pixels(changed, *picture.size, manifest)
    assert broken is not None
    assert not broken.holds

    parent = credentials.parent_of_pixels(manifest, judged)
    for format in FORMATS:
        file = encoded(picture.resize((64, 64)), format)
        first = credentials.sign(file, format, Derived(parent, ["c2pa.resized"], NOW), "0badcafe")
        found = credentials.read(first, format)
        assert found is not None
        assert (found.state, found.generated, found.model, found.prompt) == (
            State.TRUSTED,
            True,
            "embedded",
            "a red car",
        )
        assert [(one.relationship, one.signed) for one in found.ancestors] == [("parentOf", True)]
        assert found.actions[:2] == ("c2pa.opened", "c2pa.resized")
        second_parent = credentials.parent(first, MEDIA_TYPES[format])
        second = credentials.sign(file, format, Derived(second_parent, ["c2pa.cropped"], NOW), "")
        again = credentials.read(second, format)
        assert again is not None
        assert (again.state, len(again.ancestors), again.model) == (State.TRUSTED, 2, "embedded")


@pytest.mark.parametrize("format", FORMATS)
def test_every_file_that_is_cut_short_is_answered(
    format: str, credentials: Credentials, picture: Image.Image, encoded: Encode
) -> None:
    signed = credentials.sign(encoded(picture, format), format, DREW, "")
    for part in range(0, 100, 2):
        found = credentials.read(signed[: len(signed) * part // 100], format)
        assert found is None or not found.holds


@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8))
@hypothesis_settings(max_examples=60, deadline=None)
def test_damaged_manifests_are_answered(flips: list[tuple[float, int]]) -> None:
    store, signed = damaged()
    data = bytearray(signed)
    for place, mask in flips:
        # The manifest of a PNG comes first.
        data[33 + int(place * 3200)] ^= mask
    found = store.read(bytes(data), "png")
    assert found is None or isinstance(found, Report)


@functools.cache
def damaged() -> tuple[Credentials, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        store = Credentials(CredentialSettings(directory=Path(folder)))
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "PNG")
    return store, store.sign(buffer.getvalue(), "png", DREW, "")


def test_a_report_cuts_what_strangers_write() -> None:
    store = {
        "active_manifest": "a",
        "validation_state": "Valid",
        "manifests": {
            "a": {
                "claim_generator": "x" * 10_000,
                "ingredients": [{"title": "t" * 10_000, "relationship": "parentOf", "active_manifest": "a"}] * 1000,
                "assertions": [
                    {"label": "c2pa.actions", "data": {"actions": [{"action": "a", "when": "no time"}] * 999}}
                ],
            }
        },
    }
    found = report(store)
    assert len(found.generator) == MAX_TEXT
    assert len(found.ancestors) == len(found.actions) == 100
    assert max(len(one.title) for one in found.ancestors) == MAX_TEXT


@pytest.mark.parametrize(
    "store",
    [
        {"active_manifest": "a", "manifests": {"a": {"assertions": [None, 5, {"label": "c2pa.actions", "data": []}]}}},
        {"active_manifest": "a", "manifests": {"a": {"ingredients": [None, "x"], "claim_generator_info": ["?"]}}},
        {"active_manifest": "a", "manifests": {"a": {}}, "validation_state": "Invalid"},
    ],
)
def test_a_report_stands_odd_stores(store: dict[str, object]) -> None:
    assert not report(store).generated


def key_pair(tmp_path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> tuple[Path, Path]:
    """A key of one's own with a chain made for another key, and that key's file."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "own.key").write_bytes(pem)
    _, chain = new_identity(datetime.now(UTC))
    (tmp_path / "own.pem").write_bytes(chain)
    return tmp_path / "own.key", tmp_path / "own.pem"


def test_a_whole_mark_is_left_alone_where_it_is_of_the_right_size(
    settings: CredentialSettings, photographs: dict[str, Image.Image]
) -> None:
    seal = Seal(settings)
    base = seal.mark(photographs["astronaut"], "0badcafe").image
    for scale, stays in ((0.9, True), (0.6, False)):
        size = round(base.width * scale), round(base.height * scale)
        smaller = base.resize(size, Image.Resampling.LANCZOS)
        before = marking.place_in(*base.size).cut(0, 0, size[0] / base.width, size[1] / base.height)
        marked = seal.mark(smaller, "0badcafe", before, whole=True)
        assert (marked.image is smaller) == stays
        found = marking.detect(marked.image)
        assert found is not None
        assert found.content_id == marked.content_id == "0badcafe"


def test_a_key_of_ones_own_signs(tmp_path: Path, picture: Image.Image, encoded: Encode) -> None:
    private, chain = new_identity(datetime.now(UTC))
    (tmp_path / "own.key").write_bytes(private)
    (tmp_path / "own.pem").write_bytes(chain)
    own = Credentials(CredentialSettings(private_key=tmp_path / "own.key", certificate_chain=tmp_path / "own.pem"))
    assert not own.identity.development
    found = own.read(own.sign(encoded(picture, "png"), "png", DREW, ""), "png")
    assert found is not None
    assert found.state is State.TRUSTED


def test_bad_keys_are_told_at_the_start(tmp_path: Path) -> None:
    key, chain = key_pair(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ValueError, match=r"own\.pem is not that of .*own\.key"):
        load(CredentialSettings(private_key=key, certificate_chain=chain))
    key.write_text("nothing")
    with pytest.raises(ValueError, match=r"own\.key is no private key"):
        load(CredentialSettings(private_key=key, certificate_chain=chain))
    with pytest.raises(ValueError, match=r"none\.pem can't be read"):
        load(CredentialSettings(private_key=key, certificate_chain=tmp_path / "none.pem"))
    with pytest.raises(ValueError, match="go together"):
        CredentialSettings(private_key=key)


def test_a_certificate_that_c2pa_refuses_is_told_at_the_start(tmp_path: Path) -> None:
    # Signed by itself, without an extended key usage: what `openssl req -x509` gives.
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
    itself = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    private, chain = key_pair(tmp_path, key)
    chain.write_bytes(itself.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(ValueError, match="refused"):
        Credentials(CredentialSettings(private_key=private, certificate_chain=chain)).try_key()
