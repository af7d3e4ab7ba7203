"""The pack's files, and what really computes when one of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from face_server.checks.finding import Finding, ok, wrong
from face_server.engine import session
from face_server.vision.packs import Pack, PackError, find_pack


def findings(name: str, models_dir: Path, device: str) -> Iterator[Finding]:
    try:
        pack = find_pack(name, models_dir)
    except PackError as error:
        yield wrong("models", str(error), "face-server models list; face-server models install NAME")
        return
    problems = pack.verify()
    if problems:
        said = f"pack {pack.name}: " + "; ".join(f"{problem.file}: {problem.text}" for problem in problems)
        yield wrong("models", said, f"install it again: face-server models install {pack.name}")
        return
    yield ok("models", f"pack {pack.name} {pack.version}: {len(pack.files())} files are what the manifest says")
    yield _provider(pack, device)


def _provider(pack: Pack, wanted: str) -> Finding:
    what, model = "provider", pack.roles["detect"].file
    try:
        device = session.choose_device(wanted)
        data = model.read_bytes()
        if device == "cpu":
            opened = session.open_session(data)
            session.SessionModel(opened).run(session.sample(opened))
            used = opened.get_providers()[0]
        else:
            session.prove_gpu(data, device)
            used = session.CUDA
    except session.NotOnGpu as error:
        return wrong(what, str(error), "a part of the model is not supported on the card: face-server models verify")
    except Exception as error:  # onnxruntime's errors have no common class
        return wrong(what, f"{model.name} does not run: {_first_line(error)}", "mend what is wrong above, then this")
    return ok(what, f"{used} on {device} ran {model.name}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
