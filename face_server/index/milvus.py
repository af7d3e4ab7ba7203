"""Galleries in Milvus, for libraries beyond one machine: one collection for each model, partitioned by group. The
database stays the truth; this follows the same feed as galleries in memory, and several servers may share it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from face_server.errors import Busy, Stage
from face_server.index.protocol import Gallery, Hit, Ids, Templates, Vectors

_NEIGHBOURS = 16  # rows looked at for each wanted user
_MOST = 16_384  # rows of one answer: the limit of Milvus
_PART = 2000  # rows of one message
_NOT_SAVED = -1  # of a mark: the group has rows here, and nobody knows up to which write
_STRONG = "Strong"  # what was written before is found, by every server


class MilvusGallery:
    """See the protocol. Rows are not in this process."""

    memory = 0
    untidy = False

    def __init__(self, client: MilvusClient, collection: str, group_id: int, seq: int) -> None:
        self.group_id = group_id
        self.seq = seq
        self._client, self._collection = client, collection
        self._mine = f"group_id == {group_id}"
        self._count = 0
        self.recount()

    def __len__(self) -> int:
        return self._count

    def recount(self) -> None:
        with answered():
            (row,) = self._client.query(
                self._collection, filter=self._mine, output_fields=["count(*)"], consistency_level=_STRONG
            )
        self._count = int(row["count(*)"])

    def put(self, face_id: int, user_id: int, vector: Vectors) -> None:
        self.put_all(np.array([face_id]), np.array([user_id]), vector[None])
        self.recount()

    def put_all(self, face_ids: Ids, user_ids: Ids, vectors: Vectors) -> None:
        numbers = zip(face_ids.tolist(), user_ids.tolist(), strict=True)
        rows = [
            {"face_id": face_id, "group_id": self.group_id, "user_id": user_id, "vector": vector}
            for (face_id, user_id), vector in zip(numbers, vectors.astype(np.float32), strict=True)
        ]
        with answered():
            for start in range(0, len(rows), _PART):
                self._client.upsert(self._collection, rows[start : start + _PART])

    def remove(self, face_id: int) -> None:
        self.remove_all([face_id])
        self.recount()

    def remove_all(self, face_ids: Sequence[int]) -> None:
        with answered():
            for start in range(0, len(face_ids), _PART):
                some = list(face_ids[start : start + _PART])
                self._client.delete(self._collection, filter=f"{self._mine} and face_id in {some}")

    def search(self, queries: Vectors, limit: int, users: Sequence[int] | None = None) -> list[list[Hit]]:
        only = self._mine if users is None else f"{self._mine} and user_id in {[int(user) for user in users]}"
        if users is not None and not len(users):
            return [[] for _ in queries]
        with answered():
            return [self._best(query, limit, only, rows) for query, rows in self._nearest(queries, limit, only)]

    def _nearest(self, queries: Vectors, limit: int, only: str) -> Iterator[tuple[Vectors, list[dict[str, Any]]]]:
        return zip(queries, self._ask(queries, limit, only), strict=True)

    def _ask(self, queries: Vectors, limit: int, only: str) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = self._client.search(
            self._collection,
            data=list(queries),
            filter=only,
            limit=min(_NEIGHBOURS * limit, _MOST),
            output_fields=["user_id"],
            search_params={"metric_type": "IP"},
            consistency_level=_STRONG,
        )
        return found

    def _best(self, query: Vectors, limit: int, only: str, rows: list[dict[str, Any]]) -> list[Hit]:
        """When few users own all of the nearest rows, the others are asked for again without them."""
        best: dict[int, Hit] = {}
        while rows:
            for row in rows:
                user_id = int(row["entity"]["user_id"])
                hit = Hit(self.group_id, user_id, int(row["face_id"]), float(row["distance"]))
                best.setdefault(user_id, hit)
            if len(best) >= limit or len(rows) < min(_NEIGHBOURS * limit, _MOST):
                break
            (rows,) = self._ask(query[None], limit, f"{only} and user_id not in {list(best)}")
        return list(best.values())[:limit]

    def copy(self) -> tuple[Templates, Ids, Ids]:
        rows = list(self._rows(["face_id", "user_id", "vector"]))
        vectors = np.array([row["vector"] for row in rows], np.float32).astype(np.float16)
        return (
            vectors,
            np.array([row["face_id"] for row in rows], np.int64),
            np.array([row["user_id"] for row in rows], np.int64),
        )

    def face_ids(self) -> set[int]:
        return {int(row["face_id"]) for row in self._rows(["face_id"])}

    def _rows(self, fields: list[str]) -> Iterator[dict[str, Any]]:
        with answered():
            pages = self._client.query_iterator(
                self._collection,
                filter=self._mine,
                output_fields=fields,
                batch_size=_PART,
                consistency_level=_STRONG,
            )
            while page := pages.next():
                yield from page
            pages.close()

    def tidy(self, stop: Callable[[], bool]) -> None:
        """Milvus does that by itself."""


class MilvusShelf:
    """A second collection has a mark for each group: up to which write of its app the first one has come."""

    def __init__(self, client: MilvusClient, embedding_id: str, dimensions: int, index: str, partitions: int) -> None:
        self.embedding_id = embedding_id
        self._client = client
        model = hashlib.sha256(embedding_id.encode()).hexdigest()[:16]
        self._faces, self._marks = f"faces_{model}", f"marks_{model}"
        self._missed: set[int] = set()  # groups that were not there any more when it was last asked for
        with answered():
            self._prepare(dimensions, index, partitions)

    def _prepare(self, dimensions: int, index: str, partitions: int) -> None:
        faces = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        faces.add_field("face_id", DataType.INT64, is_primary=True)
        faces.add_field("group_id", DataType.INT64, is_partition_key=True)
        faces.add_field("user_id", DataType.INT64)
        faces.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
        self._collection(self._faces, faces, index, num_partitions=partitions)
        marks = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        marks.add_field("group_id", DataType.INT64, is_primary=True)
        marks.add_field("seq", DataType.INT64)
        marks.add_field("vector", DataType.FLOAT_VECTOR, dim=2)  # a collection must have one
        self._collection(self._marks, marks, "FLAT")

    def _collection(self, name: str, schema: Any, index: str, **more: int) -> None:
        if not self._client.has_collection(name):
            indexes = self._client.prepare_index_params()
            indexes.add_index("vector", index_type=index, metric_type="IP")
            self._client.create_collection(name, schema=schema, index_params=indexes, consistency_level=_STRONG, **more)
        self._client.load_collection(name)

    def make(self, group_id: int, seq: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> MilvusGallery:
        """Other servers may be searching here: nothing goes away that is still right. Its mark comes first, so that
        whatever is here of a group that is gone some day is found by it."""
        self._mark(group_id, _NOT_SAVED)
        gallery = MilvusGallery(self._client, self._faces, group_id, seq)
        newest = int(face_ids.max()) if len(face_ids) else 2**63 - 1
        old = gallery.face_ids() - set(face_ids.tolist())
        gallery.put_all(face_ids, user_ids, vectors)
        gallery.remove_all([face_id for face_id in old if face_id <= newest])  # newer: another server's latest
        gallery.recount()
        return gallery

    def load(self, group_id: int) -> MilvusGallery | None:
        with answered():
            marks = self._client.get(self._marks, ids=[group_id], output_fields=["seq"])
        seq = int(marks[0]["seq"]) if marks else _NOT_SAVED
        return None if seq == _NOT_SAVED else MilvusGallery(self._client, self._faces, group_id, seq)

    def save(self, gallery: Gallery, seq: int) -> bool:
        self._mark(gallery.group_id, seq)
        return True

    def _mark(self, group_id: int, seq: int) -> None:
        with answered():
            self._client.upsert(self._marks, [{"group_id": group_id, "seq": seq, "vector": [0.0, 0.0]}])

    def remove(self, group_id: int) -> None:
        with answered():
            self._client.delete(self._marks, ids=[group_id])
            self._client.delete(self._faces, filter=f"group_id == {group_id}")

    def keep_only(self, group_ids: Container[int]) -> None:
        with answered():
            pages = self._client.query_iterator(self._marks, output_fields=["group_id"], batch_size=_PART)
            known = []
            while page := pages.next():
                known += [int(row["group_id"]) for row in page]
            pages.close()
        gone = {group_id for group_id in known if group_id not in group_ids}
        # One that another server has just made may have been too new for the list: it is in the next one.
        for group_id in gone & self._missed:
            self.remove(group_id)
        self._missed = gone - self._missed


def open_shelf(
    url: str, token: str, embedding_id: str, dimensions: int, index: str = "FLAT", partitions: int = 64
) -> MilvusShelf:
    """The address of a cluster, or the path of a file that ends in .db for Milvus Lite."""
    return MilvusShelf(open_client(url, token), embedding_id, dimensions, index, partitions)


def open_client(url: str, token: str) -> MilvusClient:
    if not re.match(r"https?://|.*\.db$", url):
        raise ValueError("FACE_MILVUS_URL: an address that begins with http:// or https://, or a file *.db")
    with answered():
        return MilvusClient(url, token=token)


@contextmanager
def answered() -> Iterator[None]:
    try:
        yield
    except MilvusException as error:
        raise Busy(Stage.INDEX) from error
