"""A worker's seat: leased, renewed in a thread, and what may be done while it is not there."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from face_server.errors import Busy, Stage
from face_server.licence.document import LicenceRefused, check_key, read

SECONDS = 5  # for an answer
PARTS = 3  # of a lease: two may get lost
RETRY_SECONDS = 5.0  # after a refusal, or silence

log = logging.getLogger(__name__)


class Seat:
    """While the service is silent the worker goes on for the grace period: also one that has just started, because
    the two machines may have been restarted together. A service that says no is believed at once by a worker that
    never had a seat, and after the grace period by one that had."""

    def __init__(self, url: str, public: str, grace_seconds: float) -> None:
        self._url, self._public, self._grace = f"{url.rstrip('/')}/v1/seat", public, grace_seconds
        self._worker = uuid.uuid4().hex
        self._until = time.monotonic() + grace_seconds
        self._had = False
        self._said = ""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="licence", daemon=True)

    def start(self) -> None:
        wait = self._renew()
        self._thread.start()
        log.info("authorization", extra={"service": self._url, "renewed_after": wait})

    def stop(self) -> None:
        self._ending.set()
        try:
            self._ask("DELETE")
        except (OSError, ValueError):
            log.info("the seat could not be given back; it ends by itself")

    @property
    def allowed(self) -> bool:
        return time.monotonic() < self._until

    def permit(self) -> None:
        """Before each picture."""
        if not self.allowed:
            raise Busy(Stage.LICENCE)

    def _keep(self) -> None:
        wait = RETRY_SECONDS
        while not self._ending.wait(wait):
            wait = self._renew()

    def _renew(self) -> float:
        """Returns when to come again."""
        try:
            answer = json.loads(self._ask("POST"))
            read(answer["licence"], self._public).check_day()
            seconds = float(answer["seconds"])
        except urllib.error.HTTPError as error:
            self._refused(error.read(1000).decode(errors="replace"))
            return RETRY_SECONDS
        except LicenceRefused as error:
            self._refused(str(error))
            return RETRY_SECONDS
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._tell(f"the authorization service does not answer: {error}")
            return RETRY_SECONDS
        self._had = True
        self._until = time.monotonic() + seconds + self._grace
        self._said = ""
        return seconds / PARTS

    def _refused(self, why: str) -> None:
        if not self._had:
            self._until = time.monotonic()
        self._tell(f"the authorization service refuses a seat: {why}")

    def _tell(self, text: str) -> None:
        if text != self._said:
            log.warning("%s; work goes on for %d s", text, max(0, self._until - time.monotonic()))
        self._said = text

    def _ask(self, method: str) -> bytes:
        body = json.dumps({"worker": self._worker}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            data: bytes = answer.read(65536)
        return data


def seats(url: str) -> tuple[int, int] | None:
    """How many there are and how many are taken. None: the service does not answer."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/healthz", timeout=SECONDS) as answer:
            state = json.loads(answer.read(65536))
        return int(state["seats"]), int(state["taken"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def seat_of(url: str, public_key: Path | None, grace_minutes: int) -> Seat | None:
    """None where no service is set: then nothing is asked."""
    if not url:
        return None
    if public_key is None:
        raise ValueError("FACE_LICENCE_URL is set: FACE_LICENCE_PUBLIC_KEY must name the issuer's public key")
    public = public_key.read_text()
    check_key(public)
    return Seat(url, public, grace_minutes * 60)
