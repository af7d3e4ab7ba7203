"""Which cards a GPU library carries code for: the fat binaries of CUDA, read without any tool of CUDA."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ELF = b"\x7fELF"
FAT_MAGIC = struct.pack("<I", 0xBA55ED50)
FAT_SECTIONS = {".nv_fatbin", "__nv_relfatbin"}
FAT_HEADER = struct.Struct("<IHHQ")  # magic, version, size of this header, bytes that follow
ENTRY_HEADER = struct.Struct("<HHIQIIHHI")  # kind, version, header size, bytes, packed, ?, minor, major, arch
SECTION = struct.Struct("<IIQQQQIIQQ")
PTX, CUBIN = 1, 2
CUBIN_NAME = re.compile(r"(?:^|[._-])(sm|compute)_?(\d{2,3})[a-f]?\b.*\.(?:cubin|ptx)$")


@dataclass(frozen=True, order=True, slots=True)
class Code:
    arch: int  # 61 for sm_61
    ptx: bool

    def __str__(self) -> str:
        return f"{'compute' if self.ptx else 'sm'}_{self.arch}"

    def serves(self, card: int) -> bool:
        return card >= self.arch if self.ptx else card // 10 == self.arch // 10 and card >= self.arch


def of_library(data: bytes) -> set[Code]:
    """The device code in one ELF file; empty for an ordinary library."""
    found: set[Code] = set()
    if not data.startswith(ELF) or data[4] != 2:
        return found
    for name, start, size in _sections(data):
        if name in FAT_SECTIONS:
            found |= set(_fat_entries(data, start, min(start + size, len(data))))
    return found


def of_path(path: Path) -> dict[str, set[Code]]:
    """By library, in a wheel, a folder or one file. Libraries without device code are left out."""
    found = {name: of_library(data) | _of_name(name) for name, data in _files(path)}
    return {name: codes for name, codes in sorted(found.items()) if codes}


def unserved(found: dict[str, set[Code]], card: int) -> list[str]:
    """The libraries with device code that such a card cannot run."""
    return [name for name, codes in found.items() if not any(code.serves(card) for code in codes)]


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and _may_hold_code(file.name):
                yield str(file.relative_to(path)), file.read_bytes()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            for info in wheel.infolist():
                if _may_hold_code(info.filename):
                    yield info.filename, wheel.read(info)
    else:
        yield path.name, path.read_bytes()


def _may_hold_code(name: str) -> bool:
    return ".so" in name or name.endswith((".cubin", ".ptx", ".fatbin"))


def _of_name(name: str) -> set[Code]:
    """Code that lies as a file of its own says its card in its name."""
    match = CUBIN_NAME.search(Path(name).name)
    return {Code(int(match[2]), match[1] == "compute" or name.endswith(".ptx"))} if match else set()


def _sections(data: bytes) -> Iterator[tuple[str, int, int]]:
    table = struct.unpack_from("<Q", data, 0x28)[0]
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    if not table or not count or size != SECTION.size:
        return
    headers = [SECTION.unpack_from(data, table + number * size) for number in range(count)]
    texts = headers[names][4]
    for header in headers:
        begin = texts + header[0]
        yield data[begin : data.index(b"\0", begin)].decode("ascii", "replace"), header[4], header[5]


def _fat_entries(data: bytes, start: int, end: int) -> Iterator[Code]:
    """A section holds one fat binary for each object file, one behind the other and padded."""
    at = data.find(FAT_MAGIC, start, end)
    while at >= 0:
        if at + FAT_HEADER.size > end:
            return
        _, _, header, size = FAT_HEADER.unpack_from(data, at)
        last = at + header + size
        if header != FAT_HEADER.size or last > end:  # the four bytes were there by chance
            at = data.find(FAT_MAGIC, at + 4, end)
            continue
        yield from _entries(data, at + header, last)
        at = data.find(FAT_MAGIC, last, end)


def _entries(data: bytes, at: int, end: int) -> Iterator[Code]:
    while at + ENTRY_HEADER.size <= end:
        kind, _, header, size, _, _, _, _, arch = ENTRY_HEADER.unpack_from(data, at)
        if header < ENTRY_HEADER.size:
            return
        if kind in (PTX, CUBIN):
            yield Code(arch, kind == PTX)
        at += header + size
