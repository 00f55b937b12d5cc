"""What an operator can tell about credentials: `[credentials]` in the file, variables `IMAJIN_CREDENTIALS_*`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from imajin_servers.runtime.settings import Section


class CredentialSettings(Section):
    """One section for all servers: what draws and what processes must sign and mark alike."""

    section = "credentials"
    model_config = SettingsConfigDict(env_prefix="IMAJIN_CREDENTIALS_")

    manifests: bool = True
    """Whether a signed C2PA manifest goes into every generated image and every image made of one."""
    marks: bool = True
    """Whether the same images get an invisible mark in their pixels."""
    detect_marks: bool = True
    """Whether uploads without a manifest are looked at for the mark, so that a stripped image keeps its credentials."""
    directory: Path = Path(".imajin/data/credentials")
    """Where the development key and its certificate lie; made at the first start."""
    private_key: Path | None = None
    """PEM file (PKCS #8) of the key to sign with, in place of the development key."""
    certificate_chain: Path | None = None
    """PEM file of the key's certificate and those above it, the key's own first."""
    trust_anchors: list[Path] = Field(default_factory=list)
    """PEM files of certificates that signers are trusted by, beside the one that this installation signs under."""
    timestamp_authority: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Address of an RFC 3161 server that countersigns the time; none by default, for it is a network call an image."""
    timestamp_seconds: float = Field(default=5.0, gt=0, le=25)
    """How long an image waits for the authority at most; then it leaves without a time stamp, and the log says so."""
    include_prompt: bool = False
    """Whether the prompt goes into the manifest of a generated image, for everyone to read."""

    @model_validator(mode="after")
    def key_and_certificate(self) -> CredentialSettings:
        """A key needs its certificate, and a certificate its key."""
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError("private_key and certificate_chain go together")
        return self
