"""A client of the ENN face API as its public users write it: multipart posts with the picture as a file.

python -m tests.clients.enn_client http://127.0.0.1:8300 one.jpg other.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx


class EnnError(Exception):
    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['code']} {answer['message']}")
        self.code, self.answer = int(answer["code"]), answer


class Enn:
    def __init__(self, url: str, app_id: str, token: str = "") -> None:
        headers = {"X-GW-Authorization": token} if token else {}
        self._http = httpx.Client(base_url=f"{url}/cv/face/", headers=headers, timeout=60)
        self._app_id = app_id

    def call(self, interface: str, pictures: dict[str, bytes] | None = None, **fields: object) -> dict[str, Any]:
        # A text among the files and without a file name makes the body multipart even where no picture is sent.
        parts: list[tuple[str, tuple[str | None, bytes]]] = [
            (name, (None, str(value).encode())) for name, value in fields.items()
        ]
        parts += [(name, (f"{name}.jpg", data)) for name, data in (pictures or {}).items()]
        answer: dict[str, Any] = self._http.post(interface, files=parts).json()
        if int(answer["code"]) != 200:
            raise EnnError(answer)
        return answer

    def register(self, user_id: str, picture: bytes, **direction: object) -> int:
        answer = self.call("face_register", {"image": picture}, app_id=self._app_id, user_id=user_id, **direction)
        return int(answer["face_id"])

    def update(self, face_id: int, picture: bytes) -> int:
        return int(self.call("face_update", {"image": picture}, app_id=self._app_id, face_id=face_id)["face_id"])

    def update_without_picture(self, face_id: int) -> int:
        """Which deletes."""
        return int(self.call("face_update", app_id=self._app_id, face_id=face_id)["face_id"])

    def delete(self, face_id: int) -> int:
        return int(self.call("face_delete", app_id=self._app_id, face_id=face_id)["face_id"])

    def faces_of(self, user_id: str) -> list[int]:
        found: list[int] = self.call("face_search", app_id=self._app_id, user_id=user_id)["result"]
        return found

    def check(self, picture: bytes, max_num: int = 1) -> dict[str, Any]:
        return self.call("face_check", {"image": picture}, max_num=max_num)

    def recognise(self, picture: bytes) -> tuple[str, float]:
        answer = self.call("face_recognise", {"image": picture}, app_id=self._app_id)
        return answer["user_id"], answer["score"]

    def compare(self, one: bytes, other: bytes) -> tuple[bool, float]:
        answer = self.call("face_compare", {"image": one, "image_1": other})
        return answer["result"], answer["score"]

    def compare_with_user(self, picture: bytes, user_id: str) -> tuple[bool, float]:
        answer = self.call("face_compare", {"image": picture}, app_id=self._app_id, user_id=user_id)
        return answer["result"], answer["score"]


def main(url: str, one: str, other: str) -> None:
    api = Enn(url, "example")
    first, second = Path(one).read_bytes(), Path(other).read_bytes()
    print("alike:", api.compare(first, second))
    face_id = api.register("somebody", first)
    try:
        print("faces:", api.faces_of("somebody"), "the other picture shows", api.recognise(second))
    finally:
        api.delete(face_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
