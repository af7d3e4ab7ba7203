"""What an app asks of a face: its gates and scores beside those of the contract."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from face_server.admin.failures import Refusal
from face_server.admin.paging import Name
from face_server.faces.gates import CONTRACT
from face_server.faces.limits import RANGES, AppLimits, BadLimit, Own, checked, limits_of, named

# By the names of limits; what is not named is as the contract has it.
Proposal = Annotated[
    dict[str, Annotated[float, Field(strict=True, allow_inf_nan=False)]],
    Field(max_length=len(RANGES), json_schema_extra={"propertyNames": {"enum": list(RANGES)}}),
]


class Limit(BaseModel):
    name: str
    value: float | None  # null: every vendor's contract has its own
    contract: float | None
    own: bool  # whether it was set for the app
    least: float
    most: float


class LimitsOfApp(BaseModel):
    app: str
    limits: list[Limit]


class NewLimits(BaseModel):
    own: Proposal


class Limits:
    def __init__(self, limits: AppLimits) -> None:
        self._limits = limits

    async def get(self, app: Name) -> LimitsOfApp:
        """Every limit of the gates and every score, as it is for this app and as the contract has it."""
        return shown(app, await self._limits.own(app))

    async def put(self, app: Name, new: NewLimits) -> LimitsOfApp:
        """The app has these limits of its own from now on; those that are not named become the contract's."""
        own = accepted(new.own)
        return shown(app, await self._limits.change(app, lambda _: own))

    async def reset(self, app: Name) -> LimitsOfApp:
        """The app has no limits of its own any more."""
        return shown(app, await self._limits.change(app, lambda _: {}))


def shown(app: str, own: Own) -> LimitsOfApp:
    usual, values = named(CONTRACT), named(limits_of(own))
    limits = [
        Limit(name=name, value=values[name], contract=usual[name], own=name in own, least=one.least, most=one.most)
        for name, one in RANGES.items()
    ]
    return LimitsOfApp(app=app, limits=limits)


def accepted(own: Own) -> Own:
    try:
        return checked(own)
    except BadLimit as error:
        raise Refusal(400, "bad_parameter", f"{error}.", error.name) from None
