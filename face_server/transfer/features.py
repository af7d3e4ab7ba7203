"""Templates in one file beside an export: with them a library moves without its pictures being looked at again."""

from __future__ import annotations

import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from face_server.store.rows import FaceRow
from face_server.transfer.plan import SourceError

FILE = "features.npz"


class FeatureWriter:
    def __init__(self, embedding_id: str) -> None:
        self._embedding_id = embedding_id
        self._names: list[str] = []
        self._templates: list[bytes] = []
        self._spots: list[bytes] = []

    def add(self, face: FaceRow) -> None:
        if face.embedding_id != self._embedding_id:  # an import makes it of the picture
            return
        self._names.append(f"{face.group}\n{face.token}")
        self._templates.append(face.template)
        self._spots.append(face.spot)

    def save(self, path: Path) -> None:
        half = path.with_name(f".{path.name}")
        templates = np.frombuffer(b"".join(self._templates), np.float16)
        with half.open("wb") as stream:
            np.savez(
                stream,
                embedding_id=np.array(self._embedding_id),
                names=np.array(self._names, np.str_),
                templates=templates.reshape(len(self._names), -1 if self._names else 0),
                spots=np.frombuffer(b"".join(self._spots), np.uint8),
                ends=np.cumsum([len(spot) for spot in self._spots], dtype=np.int64),
            )
        os.replace(half, path)


class Features:
    """Templates by group and token; those of another model are of no use here."""

    def __init__(self, path: Path | None = None) -> None:
        self.embedding_id = ""
        self._rows: dict[str, int] = {}
        if path is not None:
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                self.embedding_id = str(file["embedding_id"])
                self._rows = {str(name): row for row, name in enumerate(file["names"])}
                self._templates = np.asarray(file["templates"], np.float16)
                self._spots, self._ends = file["spots"].tobytes(), [0, *file["ends"].tolist()]
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise SourceError(f"{path}: not a file of features: {error}") from error
        if len(self._templates) != len(self._rows) or len(self._ends) != len(self._rows) + 1:
            raise SourceError(f"{path}: not a file of features: its parts are not of one length")

    def find(self, group: str, token: str) -> tuple[bytes, bytes] | None:
        """Template and place in the picture."""
        row = self._rows.get(f"{group}\n{token}")
        if row is None:
            return None
        return self._templates[row].tobytes(), self._spots[self._ends[row] : self._ends[row + 1]]
