"""A licence: signed, for one machine, for so many workers; and what a server does without."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from face_server.errors import Busy, Stage
from face_server.licence.document import Licence, LicenceRefused, fingerprint, new_keys, read
from face_server.licence.seat import Seat
from face_server.licence.service import LEASE_SECONDS, Seats
from scripts.load.server import free_port, serving
from tests.baidu_client import Baidu, image

REFUSED = 222361


@pytest.fixture(scope="module")
def own() -> str:
    try:
        return fingerprint()
    except LicenceRefused as error:
        pytest.skip(str(error))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "face_server", "license", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory, own: str) -> Path:
    """A folder with an issuer's keys and a licence for one seat."""
    folder = tmp_path_factory.mktemp("licence")
    private, public = new_keys()
    (folder / "private.key").write_text(private)
    (folder / "public.key").write_text(public)
    (folder / "licence.json").write_text(Licence("Customer", own, 1, "2026-11-21").signed(private))
    return folder


@contextlib.contextmanager
def service(issued: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    files = (str(issued / "licence.json"), "--public-key", str(issued / "public.key"))
    process = subprocess.Popen(
        [sys.executable, "-m", "face_server", "license", "serve", *files, "--port", str(port)],
    )
    try:
        until(lambda: answers(port))
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5))["seats"] == 1)
    return False


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_words(tmp_path: Path, own: str) -> None:
    assert command("fingerprint").stdout.strip() == own
    assert command("keys", tmp_path).returncode == 0
    assert os.stat(tmp_path / "private.key").st_mode & 0o077 == 0
    assert command("keys", tmp_path).returncode == 1  # never over another one
    how = ("--private-key", tmp_path / "private.key", "--gpus", 4, "--holder", "客户", "--ends", "2099-12-31")
    (tmp_path / "l.json").write_text(command("issue", *how, "--fingerprint", own).stdout)
    (tmp_path / "other.json").write_text(command("issue", *how, "--fingerprint", "ab" * 16).stdout)
    assert json.loads(command("inspect", tmp_path / "l.json").stdout)["gpus"] == 4
    good = command("verify", tmp_path / "l.json", "--public-key", tmp_path / "public.key")
    assert (good.returncode, "4 GPUs for 客户, to 2099-12-31" in good.stdout) == (0, True), good.stderr
    other = command("verify", tmp_path / "other.json", "--public-key", tmp_path / "public.key")
    assert (other.returncode, "for the machine" in other.stderr) == (1, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"gpus": 1', '"gpus": 9'), "signature"),
        (lambda text: text.replace('"ends": ""', '"ends": "2099-01-01"'), "signature"),
        (lambda text: text.replace('"gpus": 1', '"gpus": "1"'), "no licence"),
        (lambda text: text.replace('"holder"', '"owner"'), "no licence"),
        (lambda text: text[:-20], "no licence"),
        (lambda text: "[]", "no licence"),
    ],
)
def test_a_licence_that_was_changed(issued: Path, change: Callable[[str], str], said: str) -> None:
    text, public = (issued / "licence.json").read_text(), (issued / "public.key").read_text()
    assert read(text, public).gpus == 1
    with pytest.raises(LicenceRefused, match=said):
        read(change(text), public)


def test_a_licence_of_another_issuer(issued: Path) -> None:
    with pytest.raises(LicenceRefused, match="signature"):
        read((issued / "licence.json").read_text(), new_keys()[1])


def test_the_last_day_counts() -> None:
    licence = Licence("c", "f", 1, "2026-01-01", "2026-11-21")
    licence.check_day(date(2026, 11, 21))
    with pytest.raises(LicenceRefused, match="ended"):
        licence.check_day(date(2026, 11, 22))


def test_seats_are_renewed_given_back_and_lost() -> None:
    now = [0.0]
    seats = Seats(2, lambda: now[0])
    assert [seats.lease(name) for name in "aabc"] == [True, True, True, False]
    seats.release("b")
    assert seats.lease("c")
    now[0] = LEASE_SECONDS - 1
    assert seats.lease("a")
    now[0] = LEASE_SECONDS + 1
    assert seats.taken == 1
    assert [seats.lease(name) for name in "de"] == [True, False]


def test_grace_and_what_a_service_may_say(issued: Path) -> None:
    port = free_port()
    url, public = f"http://127.0.0.1:{port}", (issued / "public.key").read_text()
    lost = Seat(url, public, grace_seconds=0)
    lost._renew()
    with pytest.raises(Busy) as refused:
        lost.permit()
    assert refused.value.stage is Stage.LICENCE
    waiting = Seat(url, public, grace_seconds=3600)
    waiting._renew()
    waiting.permit()  # nobody answers, and the time is not over
    with service(issued, port):
        waiting._renew()
        late = Seat(url, public, grace_seconds=3600)
        late._renew()
        assert (waiting.allowed, late.allowed) == (True, False)  # the only seat is taken
        waiting.stop()
        late._renew()
        assert late.allowed
        late.stop()
        fooled = Seat(url, new_keys()[1], grace_seconds=3600)
        fooled._renew()
        assert not fooled.allowed  # what answers there has no licence of this issuer


def test_servers_on_the_wire(issued: Path, tmp_path: Path, astronaut: bytes) -> None:
    port = free_port()
    licence = {"licence_url": f"http://127.0.0.1:{port}", "licence_public_key": issued / "public.key"}
    with service(issued, port), serving(tmp_path / "a", **licence) as first:
        assert Baidu(first.url, "app")("face/detect", **image(astronaut)).code == 0
        with serving(tmp_path / "b", **licence) as second:
            assert Baidu(second.url, "app")("face/detect", **image(astronaut)).code == REFUSED
        assert Baidu(first.url, "app")("face/detect", **image(astronaut)).code == 0
    with serving(tmp_path / "c", licence_grace_minutes=0, **licence) as third:
        assert Baidu(third.url, "app")("face/detect", **image(astronaut)).code == REFUSED
        assert Baidu(third.url, "app")("group/add", group_id="g").code == 0  # no picture is looked at
