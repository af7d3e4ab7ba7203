"""A client of the SID API as its public users write it: urllib and JSON, pictures as base64.

python -m tests.clients.sid_client http://127.0.0.1:8300 one.jpg other.jpg
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any


class SidError(Exception):
    def __init__(self, result: int, info: str) -> None:
        super().__init__(f"{result} {info}")
        self.result = result


class Sid:
    def __init__(self, url: str, app_id: str, app_secret: str) -> None:
        self._url = url
        self._credentials = {"app_id": app_id, "app_secret": app_secret}

    def call(self, path: str, **fields: object) -> dict[str, Any]:
        body = json.dumps({**self._credentials, **fields}).encode()
        with urllib.request.urlopen(self._url + path, body, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        if answer["result"] != 0:
            raise SidError(answer["result"], answer["info"])
        return answer

    def compare(self, one: bytes, other: bytes) -> float:
        return float(self.call("/staticdb/search/compare", imgA=text(one), imgB=text(other))["score"])

    def search(self, picture: bytes, most: int, group: str = "") -> list[dict[str, Any]]:
        answer = self.call("/staticdb/search/multiple", img=text(picture), topN=most, groupId=group)
        return list(answer["faces"])

    def is_live(self, picture: bytes) -> bool:
        return bool(self.call("/liveness/action", param=text(picture))["extInfo"] == 1)

    def feature(self, picture: bytes) -> tuple[str, list[str]]:
        answer = self.call("/staticdb/search/feature", img=text(picture))
        return answer["feature"], answer["qualityScores"].split(",")

    def add(self, user: str, picture: bytes, group: str = "") -> None:
        self.call("/face/add", userId=user, img=text(picture), groupId=group)

    def update(self, user: str, picture: bytes, group: str = "") -> None:
        self.call("/face/updatefeature", userId=user, img=text(picture), groupId=group)

    def get(self, user: str, group: str = "") -> dict[str, Any]:
        return self.call("/face/get", userId=user, groupId=group)

    def remove(self, user: str, group: str = "") -> None:
        self.call("/face/remove", userId=user, groupId=group)


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def main(url: str, one: str, other: str) -> None:
    api = Sid(url, "example", "12345")
    first, second = Path(one).read_bytes(), Path(other).read_bytes()
    print("alike:", api.compare(first, second))
    api.add("first", first)
    try:
        print("found:", api.search(second, 1))
    finally:
        api.remove("first")


if __name__ == "__main__":
    main(*sys.argv[1:])
