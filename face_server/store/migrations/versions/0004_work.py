"""Who changed what, and long work that goes on in the background."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None: ...
