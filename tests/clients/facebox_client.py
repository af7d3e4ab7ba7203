"""A client of the face box API as its public users write it: JSON bodies, also with DELETE, pictures with a data head,
the picture's id computed from its md5 before it is sent.

python -m tests.clients.facebox_client http://127.0.0.1:8300 one.jpg other.jpg
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

HEAD = "data:image/jpg;base64,"


class FaceBoxError(Exception):
    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['code']} {answer['msg']}")
        self.status, self.code, self.text, self.answer = status, int(answer["code"]), str(answer["msg"]), answer


def picture(data: bytes) -> str:
    return HEAD + base64.b64encode(data).decode()


def image_id(data: bytes) -> str:
    digest = base64.b64encode(hashlib.md5(data).digest()).decode()
    return digest.replace("+", "-").replace("/", "_")


class FaceBox:
    def __init__(self, url: str, auth: tuple[str, str] | None = None) -> None:
        self.http = httpx.Client(base_url=f"{url}/api", auth=auth, timeout=60)

    def call(self, method: str, path: str, body: object = None, **query: object) -> Any:
        params = {name: str(value) for name, value in query.items()}
        sent = {} if body is None else {"json": body}
        response = self.http.request(method, path, params=params, **sent)  # type: ignore[arg-type]
        answer: dict[str, Any] = response.json()
        if response.status_code != 200 or answer["code"] != 0:
            raise FaceBoxError(response.status_code, answer)
        return answer["data"]

    # Pictures and their faces

    def register(self, data: bytes, **more: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("POST", "/faces", {"image": picture(data), **more})
        return found

    def pages(self, size: int = 100) -> Iterator[dict[str, Any]]:
        """All rows, page after page until one is empty."""
        offset = 0
        while rows := self.call("GET", "/faces", pageOffset=offset, pageSize=size)["face"]:
            yield from rows
            offset += len(rows)

    def face(self, token: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/faces/faceToken/{quote(token, safe='')}")
        return found

    def original(self, image: str) -> tuple[bytes, list[str]]:
        found = self.call("GET", f"/faces/image/{quote(image, safe='')}")
        return base64.b64decode(found["image"]), found["faceToken"]

    def delete_face(self, token: str) -> None:
        self.call("DELETE", f"/faces/{quote(token, safe='')}")

    def delete_image(self, image: str) -> None:
        self.call("DELETE", f"/faces/image/{quote(image, safe='')}")

    def initialise(self) -> None:
        self.call("DELETE", "/faces/facesLib")

    # Groups

    def groups(self) -> dict[str, dict[str, Any]]:
        return {group["groupId"]: group for group in self.call("GET", "/faceGroups")["faceGroupList"]}

    def create(self, group: str, name: str = "", **more: object) -> None:
        self.call("POST", "/faceGroups", {"groupId": group, "groupName": name, **more})

    def change(self, group: str, **changes: object) -> None:
        self.call("PUT", "/faceGroups", {"groupId": group, **changes})

    def delete_group(self, group: str, delete_all_face: int) -> None:
        self.call("DELETE", f"/faceGroups/{quote(group, safe='')}", {"deleteAllFace": delete_all_face})

    def members(self, group: str) -> list[str]:
        found = self.call("GET", f"/faceGroups/{quote(group, safe='')}", pageOffset=0, pageSize=1000)
        assert found["totalFaces"] == len(found["face"])
        return [face["faceToken"] for face in found["face"]]

    def bind(self, token: str, *groups: str) -> dict[str, Any]:
        path = f"/faceGroups/binding/{quote(token, safe='')}"
        found: dict[str, Any] = self.call("POST", path, {"faceGroupList": list(groups)})
        return found

    def unbind(self, token: str, *groups: str) -> dict[str, Any]:
        path = f"/faceGroups/unbind/{quote(token, safe='')}"
        found: dict[str, Any] = self.call("DELETE", path, {"faceGroupList": list(groups)})
        return found

    # Looking

    def compare(self, one: bytes, other: bytes, **more: object) -> dict[str, Any]:
        body = {"image1": picture(one), "image2": picture(other), **more}
        found: dict[str, Any] = self.call("POST", "/face/compare", body)
        return found

    def search(self, data: bytes, *groups: str, **more: object) -> dict[str, Any]:
        found: dict[str, Any] = self.call("POST", "/face/search", {"image": picture(data), "group": groups, **more})
        return found

    def tops(self, data: bytes, *groups: str, **more: object) -> list[dict[str, Any]]:
        """The results, best first."""
        found = self.search(data, *groups, **more)
        return [top for n in range(1, 6) if (top := found[f"top{n}"])]


def main(url: str, one: str, other: str) -> None:
    api = FaceBox(url)
    first, second = Path(one).read_bytes(), Path(other).read_bytes()
    print("score:", api.compare(first, second)["compareScore"])
    registered = api.register(first, description=Path(one).name)
    try:
        assert registered["imageId"] == image_id(first)
        print("bound:", api.bind(registered["faceToken"], "default"))
        for top in api.tops(second, "default"):
            print("the other picture shows", top["description"], "with", top["searchScore"])
    finally:
        api.delete_image(registered["imageId"])


if __name__ == "__main__":
    main(*sys.argv[1:])
