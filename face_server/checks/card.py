"""Driver, CUDA, cuDNN, and whether the wheel has code for the cards. Facts come in, findings go out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from face_server.checks.finding import Finding, note, ok, wrong
from face_server.engine import driver as nvidia
from face_server.engine.driver import Driver
from face_server.engine.fatbinary import Code, of_library

LAST_CUDNN_FOR_OLD_CARDS = (9, 10)
FIRST_NEW_CARD = 75  # the T4
UNUSED = "not used: pictures are looked at on the CPU"


@dataclass(frozen=True, slots=True)
class Wheel:
    """The installed onnxruntime."""

    version: str
    cuda: int  # major number of its CUDA; 0: a wheel for CPUs
    codes: Callable[[], set[Code]]  # reading them takes a second


@dataclass(frozen=True, slots=True)
class Libraries:
    cuda: bool  # the runtime and cuBLAS of the wheel's CUDA can be loaded
    cudnn: tuple[int, int, int] | None


def findings(device: str) -> Iterator[Finding]:
    """For the device that the settings name."""
    wheel = installed_wheel()
    driver = nvidia.driver()
    if device == "cpu" or (device == "auto" and not wheel.cuda):
        yield from without_card(wheel, driver, device)
        return
    names = (f"libcudart.so.{wheel.cuda}", f"libcublas.so.{wheel.cuda}")
    libraries = Libraries(all(nvidia.load(name) for name in names), nvidia.cudnn_version())
    number = int(device.partition(":")[2] or 0) if device.startswith("cuda") else 0
    yield from with_card(wheel, driver, libraries, number)


def installed_wheel() -> Wheel:
    import onnxruntime

    library = nvidia.cuda_library()
    if library is None:
        return Wheel(onnxruntime.__version__, 0, set)
    return Wheel(onnxruntime.__version__, nvidia.cuda_major(library), lambda: of_library(library.read_bytes()))


def without_card(wheel: Wheel, driver: Driver | None, device: str) -> Iterator[Finding]:
    if driver and driver.cards:
        names = ", ".join(card.name for card in driver.cards)
        said = f"{names} is here and not used: " + (
            "FACE_DEVICE is cpu" if device == "cpu" else "this onnxruntime is for CPUs"
        )
        yield note("driver", said, "to use it: make run EXTRA=gpu (or gpu-cu13), FACE_DEVICE=auto")
    else:
        yield ok("driver", UNUSED)
    for what in ("CUDA", "cuDNN", "card"):
        yield ok(what, UNUSED)


def with_card(wheel: Wheel, driver: Driver | None, libraries: Libraries, number: int) -> Iterator[Finding]:
    yield _driver(driver, number)
    yield _cuda(wheel, driver, libraries)
    yield _cudnn(driver, libraries)
    if driver and number < len(driver.cards):
        yield _card(wheel, driver, number)


def _driver(driver: Driver | None, number: int) -> Finding:
    what = "driver"
    if driver is None:
        do = "install the NVIDIA driver; a container needs the NVIDIA container toolkit and --gpus all"
        return wrong(what, "no NVIDIA driver can be loaded (libcuda.so.1)", do)
    if driver.failure:
        do = "compare `nvidia-smi`; after an update of the driver the machine must be restarted"
        return wrong(what, f"the driver does not start: CUDA error {driver.failure}", do)
    if number >= len(driver.cards):
        said = f"card {number} is asked for, {len(driver.cards)} can be seen"
        return wrong(what, said, "set FACE_DEVICE to one that is there, look at CUDA_VISIBLE_DEVICES and nvidia-smi")
    return ok(what, f"runs CUDA up to {'.'.join(map(str, driver.cuda))}, {len(driver.cards)} card(s)")


def _cuda(wheel: Wheel, driver: Driver | None, libraries: Libraries) -> Finding:
    what = "CUDA"
    if not wheel.cuda:
        said = f"a card is asked for, and onnxruntime {wheel.version} is the wheel for CPUs"
        return wrong(what, said, "make run EXTRA=gpu (from the P4 up) or EXTRA=gpu-cu13")
    if driver and driver.cuda[0] < wheel.cuda:
        said = f"onnxruntime {wheel.version} is made for CUDA {wheel.cuda}, the driver ends at {driver.cuda[0]}"
        return wrong(what, said, "install a newer driver, or the gpu extra instead of gpu-cu13")
    if not libraries.cuda:
        said = f"the libraries of CUDA {wheel.cuda} (cudart, cublas) cannot be loaded"
        return wrong(what, said, "install the gpu extra with its dependencies, or put CUDA on LD_LIBRARY_PATH")
    return ok(what, f"{wheel.cuda}, onnxruntime {wheel.version}")


def _cudnn(driver: Driver | None, libraries: Libraries) -> Finding:
    what = "cuDNN"
    if libraries.cudnn is None:
        return wrong(what, "libcudnn.so.9 cannot be loaded", "install the gpu extra with its dependencies")
    version = ".".join(map(str, libraries.cudnn))
    old = [card.name for card in (driver.cards if driver else ()) if card.capability < FIRST_NEW_CARD]
    if old and libraries.cudnn[:2] > LAST_CUDNN_FOR_OLD_CARDS:
        said = f"{version} has nothing for {', '.join(old)} any more"
        return wrong(what, said, "pip install 'nvidia-cudnn-cu12<9.11'")
    return ok(what, version)


def _card(wheel: Wheel, driver: Driver, number: int) -> Finding:
    what, card = "card", driver.cards[number]
    name = f"{card.name} (sm_{card.capability}, {card.megabytes:,} MB)"
    codes = wheel.codes() if wheel.cuda else set()
    if not any(code.serves(card.capability) for code in codes):
        has = " ".join(map(str, sorted(codes))) or "nothing"
        said = f"{name} is not supported by onnxruntime {wheel.version}, which has {has}"
        return wrong(what, said, "EXTRA=gpu serves cards from the P4 to Hopper, EXTRA=gpu-cu13 today's")
    return ok(what, name)
