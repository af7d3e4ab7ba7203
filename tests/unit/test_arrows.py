"""Who may know whom. The arrows keep the house small: a room imports only the rooms it is allowed to."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "face_server"

ROOMS = (
    "admin",
    "dialects",
    "transfer",
    "faces",
    "bus",
    "vision",
    "engine",
    "index",
    "store",
    "ops",
    "checks",
    "backup",
    "licence",
)
ALLOWED = {
    "admin": {"faces", "store"},
    "dialects": {"faces"},
    "transfer": {"faces", "store", "vision"},
    "faces": {"vision", "engine", "index", "store"},
    "bus": {"vision", "engine"},
    "vision": {"engine"},
    "engine": set(),
    "index": {"engine", "store"},
    "store": set(),
    "ops": set(),
    "backup": {"store"},
    "licence": set(),
    "checks": {"engine", "index", "vision", "store"},
}
FOREIGN = {
    "admin": {"sqlalchemy", "onnxruntime", "faiss"},
    "faces": {"fastapi", "starlette", "uvicorn", "json", "orjson"},
    "bus": {"sqlalchemy", "fastapi", "starlette", "cv2", "onnxruntime"},
    "vision": {"sqlalchemy", "fastapi", "starlette"},
    "engine": {"sqlalchemy", "fastapi", "starlette", "cv2"},
    "index": {"fastapi", "starlette"},
    "store": {"fastapi", "starlette", "onnxruntime", "faiss", "cv2"},
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_what_it_may(room: str) -> None:
    wrong = []
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "face_server" and len(parts) > 1 and parts[1] in ROOMS:
                if parts[1] != room and parts[1] not in ALLOWED[room]:
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
            elif parts[0] in FOREIGN.get(room, set()):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong, "\n".join(sorted(set(wrong)))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


@pytest.mark.parametrize("room", ROOMS)
def test_room_says_what_it_is_for(room: str) -> None:
    init = PACKAGE / room / "__init__.py"
    assert ast.get_docstring(ast.parse(init.read_text()))
