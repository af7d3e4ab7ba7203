"""Keys of the apps. A secret is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from face_server.admin.failures import Refusal, missing
from face_server.admin.paging import LIMIT, Cursor, Limit, Name, Page, page, text_after
from face_server.faces.apps import Apps, BadName, Issued
from face_server.store.access import AccessRows

HOUR = 3600


class Key(BaseModel):
    key: str
    app: str
    created: float
    used: float | None
    expires: float | None


class IssuedKey(BaseModel):
    key: str
    secret: str  # never shown again
    token: str  # both as one text
    app: str


class NewKey(BaseModel):
    app: Annotated[str, Field(min_length=1, max_length=128)]


class Rotation(BaseModel):
    key: Annotated[str, Field(min_length=1, max_length=64)]
    overlap_hours: Annotated[float, Field(ge=0, le=24 * 365)] = 24


class Keys:
    def __init__(self, apps: Apps, rows: AccessRows) -> None:
        self._apps, self._rows = apps, rows

    async def listed(
        self,
        app: Annotated[str | None, Query(max_length=128)] = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT,
    ) -> Page[Key]:
        """Keys that still work, in the order of their apps' names."""
        after = text_after(cursor)
        keys = sorted((one for _, good in await self._apps.list() for one in good), key=lambda one: (one.app, one.key))
        wanted = [one for one in keys if app in (None, one.app) and f"{one.app}\n{one.key}" > after]
        found, following = page(wanted, limit, lambda one: f"{one.app}\n{one.key}")
        shown = [
            Key(key=one.key, app=one.app, created=one.created, used=one.used or None, expires=one.expires or None)
            for one in found
        ]
        return Page(items=shown, next=following)

    async def create(self, new: NewKey) -> IssuedKey:
        """A new app with its key, or the first key of an app that is there without one."""
        try:
            return _issued(await self._apps.create(new.app))
        except BadName as error:
            raise Refusal(400, "bad_parameter", str(error), "app") from None

    async def rotate(self, rotation: Rotation) -> IssuedKey:
        """Another key and secret for the app of this key. Those the app has work on for the overlap."""
        app = next((one.app for _, good in await self._apps.list() for one in good if one.key == rotation.key), None)
        if app is None:
            raise missing("key")
        return _issued(await self._apps.rotate(app, rotation.overlap_hours * HOUR))

    async def delete(self, key: Name) -> None:
        """Nobody comes in with this key any more."""
        if not await self._rows.remove(key):
            raise missing("key")


def _issued(issued: Issued) -> IssuedKey:
    return IssuedKey(key=issued.key, secret=issued.secret, token=issued.token, app=issued.app)
