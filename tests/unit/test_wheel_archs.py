"""Which cards a GPU wheel serves, read from small fat binaries made here."""

import struct
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from face_server.engine.fatbinary import CUBIN, FAT_HEADER, PTX, SECTION, Code, of_library, of_path, unserved

ROOT = Path(__file__).parents[2]
ENTRY_SIZE = 64


def fat(*entries: tuple[int, int]) -> bytes:
    """A fat binary with entries of (kind, card); the code itself is filler."""
    body = b""
    for number, (kind, arch) in enumerate(entries):
        code = bytes([0xAB]) * (8 * (number + 1))
        head = struct.pack("<HHIQIIHHI", kind, 0x101, ENTRY_SIZE, len(code), 0, 0, 0, 8, arch)
        body += head.ljust(ENTRY_SIZE, b"\0") + code
    return FAT_HEADER.pack(0xBA55ED50, 1, FAT_HEADER.size, len(body)) + body


def library(*fats: bytes, section: str = ".nv_fatbin") -> bytes:
    """An ELF file with that section. Other sections have bytes that only look like a fat binary."""
    contents = [b"", b"".join(part + bytes(24) for part in fats), fat((CUBIN, 12)), b""]
    names = ["", section, ".data", ".shstrtab"]
    contents[3] = b"".join(name.encode() + b"\0" for name in names)
    at, headers, body = 64, b"", b""
    for number, content in enumerate(contents):
        name = sum(len(n) + 1 for n in names[:number])
        headers += SECTION.pack(name, 1 if number else 0, 0, 0, at + len(body), len(content), 0, 0, 8, 0)
        body += content
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 0x28, at + len(body))
    struct.pack_into("<HHH", head, 0x3A, SECTION.size, len(contents), 3)
    return bytes(head) + body + headers


WIDE = library(fat((CUBIN, 60), (CUBIN, 90)), fat((CUBIN, 60), (PTX, 90)))
NARROW = library(fat((CUBIN, 70), (CUBIN, 80)))


def test_all_fat_binaries_of_a_section_are_read() -> None:
    assert of_library(WIDE) == {Code(60, False), Code(90, False), Code(90, True)}


@pytest.mark.parametrize(
    "data",
    [b"", b"not a library", library(section=".text"), library(fat((CUBIN, 60)), section=".rodata")],
    ids=["empty", "text", "no section", "another section"],
)
def test_what_has_no_device_code(data: bytes) -> None:
    assert of_library(data) == set()


def test_a_cut_section_gives_no_code_that_is_not_there() -> None:
    cut = library(fat((CUBIN, 60), (CUBIN, 90))[:-40])
    assert Code(90, False) not in of_library(cut)


@pytest.mark.parametrize(
    ("code", "card", "serves"),
    [
        (Code(60, False), 60, True),
        (Code(60, False), 61, True),  # the P4
        (Code(61, False), 60, False),
        (Code(70, False), 61, False),
        (Code(80, False), 90, False),  # a cubin stays within its major number
        (Code(60, True), 90, True),
        (Code(90, True), 61, False),
        (Code(100, False), 103, True),
    ],
)
def test_which_code_serves_which_card(code: Code, card: int, serves: bool) -> None:
    assert code.serves(card) is serves


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.wheel_archs", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_wheel_that_lost_the_card_fails(tmp_path: Path) -> None:
    for name, data in {"wide": WIDE, "narrow": NARROW}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.whl", "w") as wheel:
            wheel.writestr("pkg/libcuda_part.so.1", data)
            wheel.writestr("pkg/plain.so", library())
            wheel.writestr("pkg/readme.txt", data)
    good = run(tmp_path / "wide.whl", "--need", "sm_60", "--need", "sm_61")
    assert (good.returncode, good.stdout) == (0, "pkg/libcuda_part.so.1: sm_60 sm_90 compute_90\n")
    bad = run(tmp_path / "narrow.whl", "--need", "sm_61")
    assert bad.returncode == 1
    assert "no code for sm_61: pkg/libcuda_part.so.1" in bad.stderr


def test_a_package_in_a_folder_is_read_and_one_library_may_spoil_it(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(WIDE)
    (tmp_path / "b.so.2").write_bytes(NARROW)
    (tmp_path / "kernel.sm_61.cubin").write_bytes(b"")
    found = of_path(tmp_path)
    assert found["kernel.sm_61.cubin"] == {Code(61, False)}
    assert unserved(found, 61) == ["b.so.2"]
    assert unserved(found, 90) == ["b.so.2", "kernel.sm_61.cubin"]


@pytest.mark.parametrize("arguments", [("--need", "61"), ("missing.whl",)])
def test_a_wrong_call_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, *arguments).returncode == 2


def test_the_gpu_extra_keeps_to_the_line_that_serves_the_p4() -> None:
    """cuDNN 9.10 is the last for cards before the T4; nothing in the wheel of onnxruntime says so."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "onnxruntime-gpu[cuda,cudnn]==1.26.0" in extras["gpu"]
    assert "nvidia-cudnn-cu12<9.11" in extras["gpu"]
