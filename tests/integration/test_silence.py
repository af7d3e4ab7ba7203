"""Nothing leaves the machine and nothing is written outside the data folder: shown in a network without any way out."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Runs inside the empty network: brings loopback up, starts the server, asks it once, ends it.
SCENE = """
import fcntl, json, signal, socket, struct, subprocess, sys, time, urllib.request

control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(control, 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))  # SIOCSIFFLAGS: up, running
server = subprocess.Popen(json.loads(sys.argv[1]))
address, body = "http://127.0.0.1:%s" % sys.argv[2], open(sys.argv[3], "rb").read()
try:
    for _ in range(600):
        try:
            if urllib.request.urlopen(address + "/readyz", timeout=5).status == 200:
                break
        except OSError:
            time.sleep(0.1)
    answer = urllib.request.urlopen(address + "/face-api/v3/face/detect", body, timeout=60).read()
    time.sleep(1)  # whatever phones home may take its time
finally:
    server.send_signal(signal.SIGINT)
    server.wait(30)
sys.stdout.write(answer.decode())
"""
PORT = "18300"  # alone in its network, so it is free

WRITES = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")


@pytest.fixture
def scene(tmp_path: Path, astronaut: bytes) -> tuple[dict[str, object], str, Path]:
    """The answer, the trace of system calls when strace is there, and the folder with home and data."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not allow a network namespace (unshare -n)")
    (tmp_path / "home").mkdir()
    picture = base64.b64encode(astronaut).decode()
    (tmp_path / "body").write_text(json.dumps({"appid": "default", "image": picture, "image_type": "BASE64"}))
    trace = tmp_path / "trace"
    command = [sys.executable, "-m", "face_server", "serve"]
    if shutil.which("strace"):
        calls = "trace=openat,creat,mkdir,mkdirat,rename,renameat,renameat2,socket,connect,sendto,sendmsg,bind"
        command = ["strace", "-D", "-f", "-qq", "-e", calls, "-o", str(trace), *command]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FACE_", "XDG_", "ORT_"))}
    home = {"HOME": str(tmp_path / "home"), "FACE_PORT": PORT, "FACE_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", SCENE, json.dumps(command), PORT, str(tmp_path / "body")],
        env=inherited | home,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout), trace.read_text() if trace.exists() else "", tmp_path


def test_a_server_without_any_network_answers_and_keeps_to_its_folder(
    scene: tuple[dict[str, object], str, Path],
) -> None:
    answer, trace, folder = scene
    assert answer["error_code"] == 0
    assert [*(folder / "home").rglob("*")] == [], "something was written to the home folder"
    assert (folder / "data").is_dir()
    if not trace:
        return
    strangers = [line for line in trace.splitlines() if _leaves_the_machine(line) or _writes_outside(line, folder)]
    assert strangers == []
    assert "bind(" in trace, "the trace shows nothing"


def _leaves_the_machine(call: str) -> bool:
    """Any use of an address beyond loopback, and any socket of a family that could have one and is not ours."""
    if not re.search(r"\b(connect|sendto|sendmsg|bind)\(", call) or "AF_INET" not in call:
        return "AF_PACKET" in call
    return not ('inet_addr("127.0.0.1")' in call or '"::1"' in call)


def _writes_outside(call: str, folder: Path) -> bool:
    if "= -1 " in call:
        return False
    names = re.findall(r'"([^"]*)"', call)
    if re.search(r"\bopenat\(", call):
        writes = any(flag in call for flag in WRITES)
    else:
        writes = bool(re.search(r"\b(creat|mkdir|mkdirat|rename\w*)\(", call))
    return writes and not all(name.startswith((str(folder), "/dev/", "/proc/self/")) for name in names)
