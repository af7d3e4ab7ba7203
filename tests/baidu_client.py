"""A client of the Baidu dialect that holds every answer to the envelope of the contract."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, cast

import cv2
import httpx
import numpy as np

from face_server.dialects.baidu.codes import MESSAGES

BUSY = range(222901, 222917)
KEYS = {"error_code", "error_msg", "log_id", "timestamp", "cached", "result"}
Body = dict[str, Any] | list[Any] | None


class Answer(dict[str, Any]):
    @property
    def code(self) -> int:
        return cast(int, self["error_code"])

    @property
    def result(self) -> Any:
        assert self.code == 0, self
        return self["result"]


class Baidu:
    def __init__(self, url: str, app: str = "", prefix: str = "/face-api/v3") -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self.app, self.prefix = app, prefix

    def __call__(self, path: str, body: Body = None, /, **fields: Any) -> Answer:
        """`fields` are the JSON object; a body of another shape is given as such."""
        sent = fields if body is None else body
        return self.send(path, json.dumps(sent).encode())

    def send(self, path: str, content: bytes, content_type: str = "application/json", method: str = "POST") -> Answer:
        query = f"?appid={self.app}" if self.app and "?" not in path else ""
        url = path if path.startswith("/") else f"{self.prefix}/{path}"
        headers = {"content-type": content_type} if content_type else {}
        return checked(self.http.request(method, url + query, content=content, headers=headers))

    def get(self, path: str, **fields: str) -> Answer:
        params = {"appid": self.app, **fields} if self.app else fields
        return checked(self.http.get(f"{self.prefix}/{path}", params=params))


def checked(response: httpx.Response) -> Answer:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    answer = Answer(response.json())
    assert answer.keys() >= KEYS
    assert answer["cached"] == 0
    assert isinstance(answer["log_id"], int)
    assert len(str(answer["log_id"])) == 13
    assert isinstance(answer["timestamp"], int)
    assert abs(answer["timestamp"] - time.time()) < 60
    if answer.code == 0:
        assert answer["error_msg"] == "SUCCESS"
        return answer
    assert answer["result"] is None
    assert set(answer) == KEYS
    message = answer["error_msg"]
    if answer.code == 222001:
        assert message.startswith("param[")
        assert message.endswith("] is null")
    else:
        assert message == MESSAGES[answer.code]
    return answer


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def image(picture: bytes) -> dict[str, str]:
    return {"image": text(picture), "image_type": "BASE64"}


def token(value: str) -> dict[str, str]:
    return {"image": value, "image_type": "FACE_TOKEN"}


def pixels(picture: bytes) -> np.ndarray[Any, Any]:
    return cast("np.ndarray[Any, Any]", cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))


def png(values: np.ndarray[Any, Any]) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def jpeg(values: np.ndarray[Any, Any], quality: int = 92) -> bytes:
    return cv2.imencode(".jpg", values, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def variant(picture: bytes, number: int) -> bytes:
    """The same person in another picture: its place moves with the number, so each is another face token."""
    values = pixels(picture)
    values = values[:, ::-1] if number % 2 else values
    return jpeg(np.ascontiguousarray(values[: values.shape[0] - 3 * number, 2 * number :]))


NOBODY = png(np.full((240, 320, 3), 127, np.uint8))
