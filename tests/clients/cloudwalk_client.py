"""A client of the CloudWalk API as its public users write it: urllib, forms, pictures as base64.

python -m tests.clients.cloudwalk_client http://127.0.0.1:8300 one.jpg other.jpg
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any


class CloudWalkError(Exception):
    def __init__(self, result: int, info: str) -> None:
        super().__init__(f"{result} {info}")
        self.result = result


class CloudWalk:
    def __init__(self, url: str, app_id: str = "", app_secret: str = "") -> None:
        self._url = url
        self._credentials = {"app_id": app_id, "app_secret": app_secret} if app_id else {}

    def call(self, path: str, **fields: object) -> dict[str, Any]:
        form = urllib.parse.urlencode({**self._credentials, **fields}).encode()
        with urllib.request.urlopen(self._url + path, form, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        if answer["result"] != 0:
            raise CloudWalkError(answer["result"], answer["info"])
        return answer

    # Pictures

    def detect(self, picture: bytes, cut_out: bool = False) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("/face/tool/detect", img=text(picture), mode=str(cut_out).lower())[
            "faces"
        ]
        return found

    def compare(self, one: bytes, other: bytes) -> float:
        return float(self.call("/face/tool/compare", imgA=text(one), imgB=text(other))["score"])

    def feature(self, picture: bytes) -> str:
        return str(self.call("/face/tool/feature", img=text(picture))["feature"])

    def similarity(self, one: str, other: str) -> float:
        return float(self.call("/face/tool/similarityByFeature", featureA=one, featureB=other)["score"])

    # Groups and faces

    def create_group(self, group: str, tag: str = "") -> None:
        self.call("/face/clustering/group/create", groupId=group, tag=tag)

    def delete_group(self, group: str) -> None:
        self.call("/face/clustering/group/delete", groupId=group)

    def groups(self, page_size: int = 10) -> list[dict[str, Any]]:
        """All of them, page by page."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.call(
                "/face/clustering/group/query",
                type="queryByPage",
                pageNumber=len(rows) // page_size + 1,
                pageSize=page_size,
                faceCount="true",
            )
            rows += page["rows"]
            if len(page["rows"]) < page_size:
                return rows

    def add_face(self, group: str, picture: bytes, tag: str = "") -> int:
        return int(self.call("/face/clustering/face/create", groupId=group, img=text(picture), tag=tag)["faceId"])

    def edit_face(self, group: str, face: int, **changes: str) -> None:
        self.call("/face/clustering/face/edit", groupId=group, faceId=face, **changes)

    def delete_face(self, group: str, face: int) -> None:
        self.call("/face/clustering/face/delete", groupId=group, faceId=face)

    def tag_of(self, group: str, face: int) -> str:
        answer = self.call("/face/clustering/face/query", type="queryByFaceId", groupId=group, faceId=face)
        return str(answer["rows"][0]["tag"])

    def identify(self, group: str, picture: bytes, most: int = 1) -> list[dict[str, Any]]:
        answer = self.call("/face/recog/group/identify", groupId=group, img=text(picture), topN=most)
        found: list[dict[str, Any]] = answer["faces"]
        return found


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def main(url: str, one: str, other: str) -> None:
    api = CloudWalk(url)
    first, second = Path(one).read_bytes(), Path(other).read_bytes()
    print("faces:", api.detect(first))
    print("alike:", api.compare(first, second))
    api.create_group("example")
    try:
        face = api.add_face("example", first, tag=one)
        print("found:", api.identify("example", second), "tag of", face, "is", api.tag_of("example", face))
    finally:
        api.delete_group("example")


if __name__ == "__main__":
    main(*sys.argv[1:])
