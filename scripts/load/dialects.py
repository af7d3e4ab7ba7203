"""How each vendor's clients ask: bytes of a request, and where the result code stands in an answer."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode


@dataclass(frozen=True)
class Target:
    app: str
    group: str
    app_secret: str = ""


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Dialect:
    code: str  # regular expression over status line code, newline, body
    good: frozenset[str]
    detect: Callable[[Target, bytes], Call]
    match: Callable[[Target, bytes, bytes], Call]
    identify: Callable[[Target, bytes], Call]


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _json(path: str, body: object) -> Call:
    return Call("POST", path, "application/json", json.dumps(body).encode())


def _form(path: str, **fields: str) -> Call:
    return Call("POST", path, "application/x-www-form-urlencoded", urlencode(fields).encode())


def _multipart(path: str, fields: dict[str, str], **files: bytes) -> Call:
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, data in files.items():
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.jpg"\r\n'
        parts.append(head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + b"\r\n")
    return Call("POST", path, f"multipart/form-data; boundary={mark}", b"".join(parts) + f"--{mark}--\r\n".encode())


def _baidu_image(picture: bytes) -> dict[str, str]:
    return {"image": _text(picture), "image_type": "BASE64"}


def _sid(target: Target, **fields: object) -> dict[str, object]:
    return {"app_id": target.app, "app_secret": target.app_secret, **fields}


def _head(picture: bytes) -> str:
    return "data:image/jpeg;base64," + _text(picture)


DIALECTS = {
    "baidu": Dialect(
        r'"error_code":\s*(-?\d+)',
        frozenset({"0", "222207"}),
        lambda t, a: _json(f"/face-api/v3/face/detect?appid={t.app}", _baidu_image(a)),
        lambda t, a, b: _json(f"/face-api/v3/face/match?appid={t.app}", [_baidu_image(a), _baidu_image(b)]),
        lambda t, a: _json(f"/face-api/v3/face/identify?appid={t.app}", {**_baidu_image(a), "group_id_list": t.group}),
    ),
    "cloudwalk": Dialect(
        r'"result":\s*"?(-?\d+)',
        frozenset({"0"}),
        lambda t, a: _form("/face/tool/detect", img=_text(a), app_id=t.app, app_secret=t.app_secret),
        lambda t, a, b: _form(
            "/face/tool/compare", imgA=_text(a), imgB=_text(b), app_id=t.app, app_secret=t.app_secret
        ),
        lambda t, a: _form(
            "/face/recog/group/identify", img=_text(a), groupId=t.group, app_id=t.app, app_secret=t.app_secret
        ),
    ),
    "facebox": Dialect(
        r'"code":\s*"?(-?\d+)',
        frozenset({"0"}),
        lambda t, a: _json("/api/face/compare", {"image1": _head(a), "image2": _head(a)}),
        lambda t, a, b: _json("/api/face/compare", {"image1": _head(a), "image2": _head(b)}),
        lambda t, a: _json("/api/face/search", {"image": _head(a), "group": [t.group], "topN": 1}),
    ),
    "sid": Dialect(
        r'"result":\s*"?(-?\d+)',
        frozenset({"0"}),
        lambda t, a: _json("/staticdb/search/feature", _sid(t, img=_text(a))),
        lambda t, a, b: _json("/staticdb/search/compare", _sid(t, imgA=_text(a), imgB=_text(b))),
        lambda t, a: _json("/staticdb/search/multiple", _sid(t, groupId=t.group, topN=1, img=_text(a))),
    ),
    "enn": Dialect(
        r'"code":\s*"?(-?\d+)',
        frozenset({"200", "40312"}),
        lambda t, a: _multipart("/cv/face/face_check", {}, image=a),
        lambda t, a, b: _multipart("/cv/face/face_compare", {}, image=a, image_1=b),
        lambda t, a: _multipart("/cv/face/face_recognise", {"app_id": t.app}, image=a),
    ),
}


def calls(dialect: Dialect, interface: str, target: Target, pictures: Sequence[bytes]) -> list[Call]:
    if interface == "detect":
        return [dialect.detect(target, picture) for picture in pictures]
    if interface == "identify":
        return [dialect.identify(target, picture) for picture in pictures]
    return [dialect.match(target, picture, pictures[index - 1]) for index, picture in enumerate(pictures)]


def render(call: Call, host: str, headers: Sequence[str] = ()) -> bytes:
    lines = [
        f"{call.method} {call.path} HTTP/1.1",
        f"Host: {host}",
        f"Content-Type: {call.content_type}",
        f"Content-Length: {len(call.body)}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + call.body
