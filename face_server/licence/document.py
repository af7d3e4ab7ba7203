"""A licence: signed facts in a JSON file. Ed25519: the issuer has the private key, the public one is for everybody."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MACHINE_ID = Path("/etc/machine-id")


class LicenceRefused(ValueError):
    """What is wrong with a licence, in words."""


@dataclass(frozen=True, slots=True)
class Licence:
    holder: str
    fingerprint: str  # of the machine that runs the authorization service
    gpus: int
    issued: str
    ends: str = ""  # the last day, in UTC; empty: it does not end

    def text(self) -> bytes:
        """What is signed."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def signed(self, private: str) -> str:
        key = Ed25519PrivateKey.from_private_bytes(_raw(private))
        return json.dumps({"licence": asdict(self), "signature": _text(key.sign(self.text()))}, indent=2)

    def check_day(self, today: date | None = None) -> None:
        today = today or datetime.now(UTC).date()
        if self.ends and today > date.fromisoformat(self.ends):
            raise LicenceRefused(f"the licence ended on {self.ends}")

    def check_machine(self, own: str) -> None:
        if self.fingerprint != own:
            raise LicenceRefused(f"the licence is for the machine {self.fingerprint}, this one is {own}")


def read(text: str, public: str) -> Licence:
    """The licence in a signed text. Raises LicenceRefused unless the signature is that of the issuer."""
    licence, signature = parts(text)
    try:
        Ed25519PublicKey.from_public_bytes(_raw(public)).verify(signature, licence.text())
    except InvalidSignature:
        raise LicenceRefused(
            "the signature is not the issuer's: the licence was changed, or is another one's"
        ) from None
    return licence


def parts(text: str) -> tuple[Licence, bytes]:
    """Licence and signature as they stand there. Whether they are genuine is not looked at."""
    try:
        facts = json.loads(text)
        licence = Licence(**facts["licence"])
        if type(licence.gpus) is not int or licence.gpus < 1:
            raise ValueError("gpus")
        if licence.ends:
            date.fromisoformat(licence.ends)
        return licence, base64.b64decode(facts["signature"], validate=True)
    except (ValueError, TypeError, KeyError) as error:
        raise LicenceRefused("this is no licence") from error


def new_keys() -> tuple[str, str]:
    """A private and its public key."""
    key = Ed25519PrivateKey.generate()
    return _text(key.private_bytes_raw()), _text(key.public_key().public_bytes_raw())


def check_key(key: str) -> None:
    """Raises LicenceRefused for what cannot be a key."""
    _raw(key)


def fingerprint() -> str:
    """Of this installation of the operating system; nothing about it can be read from the number."""
    try:
        own = MACHINE_ID.read_text().strip()
    except OSError:
        own = ""
    if not own:
        raise LicenceRefused(f"{MACHINE_ID} is missing or empty: mount the host's into the container")
    return hashlib.sha256(b"face-server licence\0" + own.encode()).hexdigest()[:32]


def _raw(key: str) -> bytes:
    try:
        raw = base64.b64decode(key.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise LicenceRefused("a key is 32 bytes in base64")
    return raw


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
