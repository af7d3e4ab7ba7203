"""Apps, groups, users and the faces they have: everything that needs no picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from face_server.faces.tools import Tools
from face_server.store.rows import FaceRow, GroupCount, GroupRef, UserRow


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    name: str
    count: GroupCount


class Library:
    def __init__(self, tools: Tools) -> None:
        self._store, self._registry, self._removed = tools.store, tools.registry, tools.removed

    async def apps(self) -> list[str]:
        return await self._store.apps()

    async def knows(self, app: str) -> bool:
        return await self._store.seq(app) is not None

    async def group_counts(self, apps: Sequence[str]) -> dict[str, int]:
        return {app: await self._store.count_groups(app) for app in apps}

    async def statistics(self, app: str, groups: Sequence[str]) -> list[GroupStatistics]:
        found = await self._store.groups(app, groups)
        return [GroupStatistics(group.name, await self._store.count(group)) for group in found]

    async def groups(self, app: str, start: int, length: int) -> list[str]:
        return [group.name for group in await self._store.list_groups(app, start, length)]

    async def group(self, app: str, group: str) -> GroupRef:
        (found,) = await self._store.groups(app, [group])
        return found

    async def page_of_groups(self, app: str, start: int, length: int) -> tuple[int, list[GroupRef]]:
        """How many groups there are, and one page of them in order of creation."""
        return await self._store.count_groups(app), await self._store.list_groups(app, start, length)

    async def count_faces(self, groups: Sequence[GroupRef]) -> dict[int, int]:
        """By the group's id."""
        return await self._store.count_faces(groups)

    async def add_group(self, app: str, group: str, meta: Mapping[str, Any] | None = None) -> None:
        await self._registry.applied(await self._store.add_group(app, group, meta))

    async def remove_group(self, app: str, group: str) -> None:
        await self._removed(await self._store.delete_group(app, group))

    async def users(self, app: str, group: str, start: int, length: int) -> list[str]:
        return [user.name for user in await self._store.list_users(app, group, start, length)]

    async def user(self, app: str, group: str | None, user: str) -> list[UserRow]:
        """The user in one group, or in every group that has it."""
        return await self._store.get_user(app, group, user)

    async def copy_user(self, app: str, user: str, source: str, target: str) -> None:
        await self._registry.applied(await self._store.copy_user(app, user, source, target))

    async def remove_user(self, app: str, group: str | None, user: str) -> None:
        """From one group, or from all of them."""
        await self._removed(await self._store.delete_user(app, group, user))

    async def faces(self, app: str, group: str, user: str) -> list[FaceRow]:
        return await self._store.list_faces(app, group, user)

    async def tokens(self, app: str, group: str) -> set[str]:
        """Of all faces in the group."""
        return await self._store.tokens(await self.group(app, group))

    async def remove_face(self, app: str, group: str, user: str, token: str) -> None:
        """The last face takes its user with it."""
        await self._removed(await self._store.delete_face(app, group, user, token))
