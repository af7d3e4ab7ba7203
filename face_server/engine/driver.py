"""The NVIDIA driver and libraries as this process can load them."""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import re
from dataclasses import dataclass
from pathlib import Path

MAJOR, MINOR = 75, 76  # attributes of a device: its compute capability
NO_DEVICE = 100


@dataclass(frozen=True, slots=True)
class Card:
    name: str
    capability: int  # 61 for 6.1
    megabytes: int


@dataclass(frozen=True, slots=True)
class Driver:
    cuda: tuple[int, int]  # the newest CUDA it runs
    cards: tuple[Card, ...]
    failure: int = 0  # CUDA's error number


def driver() -> Driver | None:
    """None where there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version, count = ctypes.c_int(), ctypes.c_int()
    failed = cuda.cuInit(0)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    newest = (version.value // 1000, version.value % 1000 // 10)
    if failed or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return Driver(newest, (), 0 if failed == NO_DEVICE else failed)
    return Driver(newest, tuple(_card(cuda, number) for number in range(count.value)))


def _card(cuda: ctypes.CDLL, number: int) -> Card:
    device, size, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(128)
    cuda.cuDeviceGet(ctypes.byref(device), number)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    parts = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        parts.append(value.value)
    return Card(name.value.decode(errors="replace"), parts[0] * 10 + parts[1], size.value >> 20)


def cuda_library() -> Path | None:
    """The part of the installed onnxruntime that is for NVIDIA cards."""
    found = importlib.util.find_spec("onnxruntime")
    for folder in (found.submodule_search_locations or ()) if found else ():
        library = Path(folder) / "capi" / "libonnxruntime_providers_cuda.so"
        if library.exists():
            return library
    return None


def cuda_major(library: Path) -> int:
    """The CUDA it was built with, by the runtime it asks the loader for; 0 when it names none."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        match = re.search(rb"libcu(?:dart|blas)\.so\.(\d+)\0", data)
    return int(match[1]) if match else 0


def load(name: str) -> ctypes.CDLL | None:
    """A library of the system, or of the wheels beside onnxruntime."""
    for path in (name, *_in_wheels(name)):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    return None


def _in_wheels(name: str) -> list[Path]:
    found = importlib.util.find_spec("nvidia")
    folders = (found.submodule_search_locations or ()) if found else ()
    return [path for folder in folders for path in sorted(Path(folder).glob(f"*/lib/{name}"))]


def cudnn_version() -> tuple[int, int, int] | None:
    library = load("libcudnn.so.9")
    if library is None:
        return None
    library.cudnnGetVersion.restype = ctypes.c_size_t
    number = library.cudnnGetVersion()
    return number // 10000, number % 10000 // 100, number % 100
