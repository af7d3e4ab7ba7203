"""What all tests share: where real photos and foreign models are, and a real server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.load.server import ServerProcess, serving
from tests.postgres import Postgres, running

pytest_plugins = ["tests.conformance.plugin"]

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("FACE_SHARED", ROOT.parent / "shared")).resolve()


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs {name}/ of the folder of test material (FACE_SHARED, default ../shared), which is absent")
    return folder


@pytest.fixture(scope="session")
def photos() -> Path:
    """Real photos with photos.csv, which says what each shows."""
    return _shared("photos")


@pytest.fixture(scope="session")
def foreign_models() -> Path:
    return _shared("models")


@pytest.fixture(scope="session")
def spec() -> Path:
    return _shared("spec")


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """A real face that comes with a package from the registry: there on every machine."""
    from skimage import data

    return Path(data.__file__).with_name("astronaut.png").read_bytes()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One real server for all tests that only need their own app in it."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One real Postgres for all tests that only need a database of their own in it."""
    with running("fsync=off", "max_connections=200") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a store is: a folder for SQLite, or the address of a Postgres."""
    if request.param == "sqlite":
        return tmp_path
    server: Postgres = request.getfixturevalue("postgres")
    return server.migrated_database()
