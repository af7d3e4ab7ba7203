"""What is sealed of a row: the template and the spot of a face or a picture. Sealed bytes name the place they belong to
and can be opened in no other."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from face_server.store.sealing import PLAIN, Seal

COLUMNS = ("template", "spot")


def face_place(group_id: int, user_id: int, token: str, column: str) -> str:
    return f"face {token} of user {user_id} in group {group_id}, {column}"


def picture_place(name: str, column: str) -> str:
    return f"picture {name}, {column}"


def seal_face(seal: Seal, group_id: int, user_id: int, token: str, template: bytes, spot: bytes) -> dict[str, bytes]:
    """The values of the two columns."""
    if seal is PLAIN:
        return {"template": template, "spot": spot}
    return {
        "template": seal.seal(template, face_place(group_id, user_id, token, "template")),
        "spot": seal.seal(spot, face_place(group_id, user_id, token, "spot")),
    }


def open_face(seal: Seal, row: sa.Row[Any]) -> tuple[bytes, bytes]:
    """Template and spot of a row."""
    if seal is PLAIN:
        return bytes(row.template), bytes(row.spot)
    spot = seal.open(bytes(row.spot), face_place(row.group_id, row.user_id, row.token, "spot"))
    return open_template(seal, row.template, row.group_id, row.user_id, row.token), spot


def open_template(seal: Seal, data: bytes, group_id: int, user_id: int, token: str) -> bytes:
    return seal.open(bytes(data), face_place(group_id, user_id, token, "template"))


def seal_picture(seal: Seal, name: str, template: bytes, spot: bytes) -> dict[str, bytes]:
    return {
        "template": seal.seal(template, picture_place(name, "template")),
        "spot": seal.seal(spot, picture_place(name, "spot")),
    }


def open_picture(seal: Seal, row: sa.Row[Any]) -> tuple[bytes, bytes]:
    """Template and spot of a row."""
    template = seal.open(bytes(row.template), picture_place(row.name, "template"))
    return template, seal.open(bytes(row.spot), picture_place(row.name, "spot"))
