"""Keys and secrets of the apps."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None: ...
