"""The settings as they are. They change where they are given, in the environment or a file, before the next start."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, SecretStr

from face_server.settings import PREFIX, Settings

HIDDEN = "***"
_PASSWORD_IN_URL = re.compile(r"(://[^/@:]*:)[^/]*@")
_SECRET_NAME = re.compile(r"(^|_)(secret|password|key)$")


class Setting(BaseModel):
    name: str
    value: Any
    default: Any
    variable: str  # in the environment


class Shown(BaseModel):
    items: list[Setting]


class SettingsShown:
    def __init__(self, settings: Settings) -> None:
        self._shown = Shown(items=[_setting(settings, name) for name in sorted(Settings.model_fields)])

    async def listed(self) -> Shown:
        """Every setting with its default."""
        return self._shown


def _setting(settings: Settings, name: str) -> Setting:
    default = Settings.model_fields[name].get_default(call_default_factory=True, validated_data={})
    value = getattr(settings, name)
    return Setting(name=name, value=_safe(name, value), default=_safe(name, default), variable=PREFIX + name.upper())


def _safe(name: str, value: object) -> object:
    if value in (None, "", [], 0, False) or isinstance(value, bool | int | float | list):
        return value
    if isinstance(value, SecretStr):
        return HIDDEN if value else ""
    if _SECRET_NAME.search(name):
        return HIDDEN
    return _PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", str(value))
