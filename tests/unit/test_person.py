"""Who runs a command."""

import os
import pwd

import pytest

from face_server.commands.person import who


@pytest.fixture(autouse=True)
def nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_does_not_say_who(monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert who() == me


@pytest.mark.parametrize(
    ("uid", "behind", "said"), [(0, "ann", "ann as root"), (0, "root", "root"), (0, "", "root"), (1, "ann", "daemon")]
)
def test_who_is_behind_root(monkeypatch: pytest.MonkeyPatch, uid: int, behind: str, said: str) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setenv("SUDO_USER", behind)
    if uid == 1 and pwd.getpwuid(1).pw_name != said:
        pytest.skip("another system's user 1")
    assert who() == said


def test_a_number_without_a_name_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert who() == "uid 4000000000"
