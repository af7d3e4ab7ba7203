"""What time it is by the database's clock: the only one that all servers of a library have in common."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Now(FunctionElement[float]):
    """Unix seconds, while a statement runs."""

    type = sa.Float()
    inherit_cache = True


@compiles(Now, "sqlite")
def _sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _postgres(*_: Any, **__: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::double precision"
