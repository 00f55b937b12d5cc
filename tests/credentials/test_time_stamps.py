"""Time stamps of an RFC 3161 authority on loopback: what a good one leaves in a manifest, and what a bad one can't do."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.credentials.stamping import AT_ONCE, PAUSE_SECONDS, Authority
from imajin_servers.runtime.credentials.statements import Created
from imajin_servers.runtime.credentials.store import Credentials

DREW = Created("embedded", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
REPLY = "application/timestamp-reply"
Answer = Callable[[bytes], bytes]
Serve = Callable[[Answer], str]

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
O = throw-away
CN = throw-away authority
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[stamps]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = here
[here]
serial = serial
crypto_device = builtin
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
signer_digest = sha256
ess_cert_id_alg = sha256
ordering = no
tsa_name = no
"""


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[http.server.ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", REPLY)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Answer:
    """Stamps as `openssl ts` does, with a certificate of a throw-away root."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path / "authority"
    folder.mkdir()
    (folder / "ts.conf").write_text(CONFIG)
    (folder / "serial").write_text("01\n")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-config", "ts.conf")
    openssl(*new, "-x509", "-extensions", "authority", "-days", "2", "-keyout", "root.key", "-out", "root.pem")
    openssl(*new, "-subj", "/O=throw-away/CN=stamps", "-keyout", "tsa.key", "-out", "tsa.csr")
    issue = ("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "1")
    openssl(*issue, "-extfile", "ts.conf", "-extensions", "stamps", "-out", "tsa.pem")

    def answer(query: bytes) -> bytes:
        (folder / "query").write_bytes(query)
        keys = ("-signer", "tsa.pem", "-inkey", "tsa.key", "-chain", "root.pem")
        openssl("ts", "-reply", "-config", "ts.conf", "-queryfile", "query", *keys, "-out", "reply")
        return (folder / "reply").read_bytes()

    return answer


def store(tmp_path: Path, address: str, seconds: float = 5) -> Credentials:
    return Credentials(CredentialSettings(directory=tmp_path, timestamp_authority=address, timestamp_seconds=seconds))


@pytest.fixture
def file(encoded: Callable[..., bytes]) -> bytes:
    return encoded(Image.linear_gradient("L").convert("RGB"), "PNG")


def test_a_manifest_carries_the_time_of_the_authority(
    tmp_path: Path, serve: Serve, authority: Answer, file: bytes
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    credentials = store(tmp_path, serve(authority), 20)
    found = credentials.read(credentials.sign(file, "png", DREW, ""), "png")
    assert found is not None
    assert found.holds
    assert found.signed_at is not None
    assert began <= found.signed_at <= datetime.now(UTC)
    succeeded = [status["code"] for status in found.results["activeManifest"]["success"]]
    assert "timeStamp.validated" in succeeded


def unstamped(credentials: Credentials, file: bytes) -> None:
    found = credentials.read(credentials.sign(file, "png", DREW, ""), "png")
    assert found is not None
    assert found.holds
    assert found.signed_at is None


@pytest.mark.parametrize("nonsense", [b"", b"abcd", bytes(5000), b"0\x030\x01\x02"])
def test_nonsense_leaves_an_image_without_a_time_stamp(
    nonsense: bytes, tmp_path: Path, serve: Serve, file: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    unstamped(store(tmp_path, serve(lambda _: nonsense)), file)
    assert "without a time stamp" in capsys.readouterr().out


def test_a_stamp_of_something_else_says_no_time(
    tmp_path: Path, serve: Serve, authority: Answer, file: bytes, encoded: Callable[..., bytes]
) -> None:
    """The reply to an older query: its imprint and its nonce are those of another image."""
    replies: list[bytes] = []

    def replay(query: bytes) -> bytes:
        if not replies:
            replies.append(authority(query))
        return replies[0]

    credentials = store(tmp_path, serve(replay), 20)
    first = credentials.read(credentials.sign(file, "png", DREW, ""), "png")
    assert first is not None
    assert first.signed_at is not None
    unstamped(credentials, encoded(Image.new("RGB", (64, 64), "red"), "PNG"))


def test_a_dead_authority_leaves_an_image_without_a_time_stamp(tmp_path: Path, serve: Serve, file: bytes) -> None:
    # A port that answers no longer: nothing listens where this said.
    unstamped(store(tmp_path, "http://127.0.0.1:1/"), file)


def test_a_silent_authority_is_waited_for_once(tmp_path: Path, serve: Serve, file: bytes) -> None:
    asked, over = [], threading.Event()

    def silent(query: bytes) -> bytes:
        asked.append(query)
        over.wait(20)
        return b""

    credentials = store(tmp_path, serve(silent), 0.2)
    unstamped(credentials, file)
    unstamped(credentials, file)
    over.set()
    assert len(asked) == 1


def test_an_authority_that_failed_is_asked_again_later() -> None:
    now = [0.0]
    authority = Authority("somewhere", 5, lambda: now[0])

    def fails() -> bytes:
        raise ValueError("no")

    assert authority.stamped(fails) is None
    assert authority.stamped(lambda: b"stamped") is None
    now[0] = PAUSE_SECONDS
    assert authority.stamped(lambda: b"stamped") == b"stamped"


def test_requests_left_behind_are_bounded() -> None:
    authority = Authority("somewhere", 0.01, lambda: 0.0)
    over = threading.Event()

    def hangs() -> bytes:
        over.wait(20)
        return b""

    for _ in range(AT_ONCE):
        authority.asked_again_at = 0.0
        assert authority.stamped(hangs) is None
    authority.asked_again_at = 0.0
    assert authority.stamped(lambda: b"stamped") is None
    over.set()
