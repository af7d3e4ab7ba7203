"""How a GPU is doing, asked of NVIDIA's own library. Where that is missing nothing is told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import CDLL, Structure, byref, c_char_p, c_uint, c_ulonglong, c_void_p, create_string_buffer

from face_server.ops.gauges import Figure

LIBRARY = "libnvidia-ml.so.1"  # comes with the driver
_LONGEST_NAME = 96


class _Memory(Structure):
    _fields_ = [("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong)]


class _Busy(Structure):
    _fields_ = [("gpu", c_uint), ("memory", c_uint)]


class Card:
    """The one that a device like cuda:1 names."""

    def __init__(self, device: str, library: str = LIBRARY) -> None:
        self._device = device
        self._handle = c_void_p()
        self._library = self._open(library) if device.startswith("cuda") else None

    def figures(self) -> Sequence[Figure]:
        if self._library is None:
            return ()
        which, found = {"device": self._device, "name": self._name}, []
        memory, busy = _Memory(), _Busy()
        if self._library.nvmlDeviceGetMemoryInfo(self._handle, byref(memory)) == 0:
            found.append(Figure("face_gpu_memory_bytes", "Memory of the GPU", memory.total, which))
            used = "What all processes together use of it"
            found.append(Figure("face_gpu_memory_used_bytes", used, memory.used, which))
        if self._library.nvmlDeviceGetUtilizationRates(self._handle, byref(busy)) == 0:  # not for a part of a card
            text = "Share of the time in which the GPU did something"
            found.append(Figure("face_gpu_busy_ratio", text, busy.gpu / 100, which))
        return found

    def _open(self, name: str) -> CDLL | None:
        try:
            library = CDLL(name)
        except OSError:
            return None
        if library.nvmlInit_v2() != 0 or not self._find(library):
            return None
        text = create_string_buffer(_LONGEST_NAME)
        library.nvmlDeviceGetName(self._handle, text, c_uint(_LONGEST_NAME))
        self._name = text.value.decode(errors="replace")
        return library

    def _find(self, library: CDLL) -> bool:
        """CUDA counts only the cards that it is shown, by number or by name; the driver counts all."""
        number = int(self._device.partition(":")[2] or 0)
        shown = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
        which = shown[number] if number < len(shown) else str(number)
        if which.isdigit():
            return bool(library.nvmlDeviceGetHandleByIndex_v2(c_uint(int(which)), byref(self._handle)) == 0)
        return bool(library.nvmlDeviceGetHandleByUUID(c_char_p(which.encode()), byref(self._handle)) == 0)
