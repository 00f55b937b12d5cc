"""Who signs: the operator's key and certificate chain, or a development one that is made at the first start.

The certificates follow the profile of the C2PA specification 2.2, 14.5.1: version 3, an end entity with digitalSignature and an
extended key usage, its key identifier, signed by an authority that is not itself.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from imajin_servers.runtime.credentials.settings import CredentialSettings

DEVELOPMENT = "development"
KEY_FILE, CHAIN_FILE = "key.pem", "certificates.pem"
BEGIN = b"-----BEGIN CERTIFICATE-----"
VALID_DAYS = 3650
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Identity:
    """What is signed with. Everything but the algorithm's name is PEM."""

    algorithm: str
    private_key: bytes
    chain: bytes
    """The certificates that go into manifests: the key's own first, without a root."""
    anchors: bytes
    """Certificates that signers are trusted by."""
    development: bool
    """Made here, so that nobody else trusts it."""


def load(settings: CredentialSettings, now: datetime | None = None) -> Identity:
    """The identity that the settings name, or the development one, made when there is none yet. `now` is the machine's own time.

    Raises ValueError where a file can't be used, with its name, and OSError where none can be made.
    """
    now = now or datetime.now(UTC)
    if settings.private_key is not None and settings.certificate_chain is not None:
        return identity(settings, settings.private_key, settings.certificate_chain, now, made_here=False)
    folder = development(settings.directory, now)
    try:
        return identity(settings, folder / KEY_FILE, folder / CHAIN_FILE, now, made_here=True)
    except ValueError as error:
        raise ValueError(f"{error}; with {folder} moved away a new development key is made") from error


def identity(
    settings: CredentialSettings, key_file: Path, chain_file: Path, now: datetime, *, made_here: bool
) -> Identity:
    """The identity in two files. Raises ValueError."""
    key_pem, chain_pem = read(key_file), read(chain_file)
    try:
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{key_file} is no private key without a password: {error}") from error
    chain = certificates(chain_file, chain_pem)
    if public_pem(chain[0].public_key()) != public_pem(key.public_key()):
        raise ValueError(f"the first certificate in {chain_file} is not that of {key_file}")
    if made_here and len(chain) < 2:
        raise ValueError(f"{chain_file} lacks the certificate that the first one is signed by")
    began, ends = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    if not began <= now <= ends:
        days = f"from {began:%Y-%m-%d} until {ends:%Y-%m-%d}"
        raise ValueError(f"the certificate in {chain_file} is valid {days}, and the clock says {now:%Y-%m-%d}")
    # A chain ends below its root where the root is the authority's own; what signs last is the anchor either way.
    anchors = [pem(chain[-1])]
    # Whoever trusts a root has it; it would only make every file larger.
    signing = [pem(one) for one in chain if one.issuer != one.subject] or [pem(chain[0])]
    for path in settings.trust_anchors:
        anchors += [pem(certificate) for certificate in certificates(path, read(path))]
    return Identity(algorithm(key, key_file), key_pem, b"".join(signing), b"".join(anchors), made_here)


def read(path: Path) -> bytes:
    """The file's bytes. Raises ValueError with its name."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error


def certificates(path: Path, data: bytes) -> list[x509.Certificate]:
    """The certificates in a PEM file. Raises ValueError."""
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ValueError(f"{path} holds no certificates: {error}") from error
    if len(found) < data.count(BEGIN):
        raise ValueError(f"{path} breaks off in the middle of a certificate")
    return found


def algorithm(key: PrivateKeyTypes, path: Path) -> str:
    """The C2PA name of what `key` signs with. Raises ValueError for keys that C2PA doesn't take."""
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in CURVES:
            return CURVES[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey() if key.key_size >= 2048:
            return "ps256"
        case _:
            raise ValueError(f"{path} must be a key on P-256, P-384 or P-521, an Ed25519 key, or RSA from 2048 bits")


def development(directory: Path, now: datetime) -> Path:
    """The folder of the development key below `directory`. Several servers may start at once: the first one's key stays.

    Raises OSError.
    """
    folder = directory / DEVELOPMENT
    try:
        if folder.is_dir():
            return folder
        directory.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=directory))
    except OSError as error:
        raise OSError(f"{directory} can't hold a development key: {error}; set IMAJIN_CREDENTIALS_DIRECTORY") from error
    try:
        key, chain = new_identity(now)
        write_private(made / KEY_FILE, key)
        (made / CHAIN_FILE).write_bytes(chain)
        # A folder takes a name at once and whole, and never that of a folder with something in it.
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only its owner can read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def new_identity(now: datetime) -> tuple[bytes, bytes]:
    """A private key, and its certificate with the one above it, as PEM. The key above is forgotten: it signs once."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = subject("imajin development root"), subject("imajin development")
    below = key_usage(digital_signature=True)
    above = key_usage(key_cert_sign=True, crl_sign=True)
    root = (
        blank(root_name, root_name, root_key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(above, critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        blank(name, root_name, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(below, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, pem(leaf) + pem(root)


def subject(name: str) -> x509.Name:
    """A name in a certificate."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "imajin development, not for publishing"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def blank(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    """A certificate to add extensions to and sign."""
    # A clock that is a little behind must not find it in the future.
    began = now - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    """What a key may be used for: what is named, and nothing else."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def public_pem(key: object) -> bytes:
    """A public key as PEM, to compare."""
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
