"""The tables. Times are Unix seconds; free text of a dialect that has no column is JSON in `meta`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite counts rows only in a column declared INTEGER; Postgres needs the wider type.
Id = BigInteger().with_variant(Integer, "sqlite")

ACTIVE, DELETING = "active", "deleting"

apps = Table(
    "apps",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", String(128), nullable=False, unique=True),
    # Number of the app's last write. Taking it locks the row, so the commits of one app are in this order
    # and a reader of the feed never misses one.
    Column("seq", BigInteger, nullable=False),
    # The feed is complete after this number; what came before has been dropped from it.
    Column("forgotten", BigInteger, nullable=False),
    # The model of the templates that are searched; empty until the first face.
    Column("embedding_id", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("retention_days", Integer, nullable=False, server_default=text("0")),  # 0: faces stay for ever
    sqlite_autoincrement=True,  # what is in memory about a deleted app must never be taken for another one's
)

# One row for the whole deployment.
deployment = Table(
    "deployment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", LargeBinary, nullable=False),  # random; what secrets are hashed and tokens are signed with
    Column("access", BigInteger, nullable=False),  # grows with every change of apps and credentials
    # Something known, sealed with the key file's key: so another key is recognised. Empty: nothing is sealed.
    Column("sealed", LargeBinary, nullable=False),
)

# What seals the faces of an app, itself sealed with the key file's key. More than one while a new one takes over.
app_keys = Table(
    "app_keys",
    metadata,
    Column("app_id", ForeignKey("apps.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

# What the levels of the gates mean in an app, where that is not what the contract says; and its scores.
app_limits = Table(
    "app_limits",
    metadata,
    Column("app_id", ForeignKey("apps.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", Float, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("key", String(64), nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False),  # keyed hash of the secret
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),  # 0: never
    Column("used", Float, nullable=False),  # last use; 0: never
    sqlite_autoincrement=True,
)

groups = Table(
    "groups",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("meta", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    UniqueConstraint("app_id", "name"),
    sqlite_autoincrement=True,  # an id is never used again: galleries are known by it
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("group_id", ForeignKey("groups.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("info", Text, nullable=False),
    Column("meta", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    UniqueConstraint("group_id", "name"),
    Index("users_page", "group_id", "id"),
    sqlite_autoincrement=True,
)

faces = Table(
    "faces",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("group_id", ForeignKey("groups.id"), nullable=False),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("token", String(64), nullable=False),
    Column("template", LargeBinary, nullable=False),  # fp16, unit length
    # The model of the template. That of the app, or the face is not searched until it has a new template.
    Column("embedding_id", String(64), nullable=False, server_default=""),
    Column("spot", LargeBinary, nullable=False),  # box, points, probability and the stored picture's origin
    Column("picture", String(64), nullable=False),  # key of the stored picture; empty: none is kept
    Column("meta", Text, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("group_id", "token"),
    Index("faces_user", "user_id"),
    Index("faces_token", "app_id", "token"),
    Index("faces_picture", "picture"),
    sqlite_autoincrement=True,
)

# Pictures that are there for their own sake, with or without a face. The face of one is bound to groups by rows in
# `faces` that have its token.
pictures = Table(
    "pictures",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("original", String(64), nullable=False),  # key of the picture as it came; empty: none is kept
    Column("token", String(64), nullable=False),  # of its face; empty: it has none
    Column("person", String(128), nullable=False),  # how the user is called to whom the face belongs in a group
    Column("info", Text, nullable=False),  # and what is written about that user
    Column("cut", String(64), nullable=False),  # key of the face's own picture
    Column("spot", LargeBinary, nullable=False),
    Column("template", LargeBinary, nullable=False),
    Column("embedding_id", String(64), nullable=False),
    Column("meta", Text, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("app_id", "name"),
    Index("pictures_token", "app_id", "token"),
    Index("pictures_original", "original"),
    sqlite_autoincrement=True,
)

# Apps that have pictures of that kind, or had: such an app begins with a group, which can be deleted for good.
albums = Table("albums", metadata, Column("app_id", ForeignKey("apps.id"), primary_key=True))

changes = Table(
    "changes",
    metadata,
    Column("app_id", ForeignKey("apps.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("part", Integer, primary_key=True),  # one write may change several rows
    Column("kind", String(16), nullable=False),  # add, remove, drop (a whole group)
    Column("group_id", BigInteger, nullable=False),
    Column("face_id", BigInteger, nullable=False),
)

# People who administer the server. Who signs in must know a password; what each may do is in `role`.
operators = Table(
    "operators",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),  # viewer, operator, admin
    Column("password", LargeBinary, nullable=False),  # salt and slow hash
    Column("session_key", LargeBinary, nullable=False),  # signs the sessions; another one ends them all
    Column("changed", Float, nullable=False),
)

# Sessions that were signed out; a row can go when the session's time is over.
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("session", String(64), primary_key=True),
    Column("expires", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("name", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("source", String(64), nullable=False),  # address of the caller
    Column("action", String(64), nullable=False),
    Column("app", String(128), nullable=False),  # empty: it is about none
    Column("target", Text, nullable=False),  # what else it is about
    # "begun" is written before the change, the rest after it: a crash between them leaves a trace.
    Column("outcome", String(64), nullable=False),
    Column("log_id", BigInteger, nullable=False),
    Index("audit_app", "app", "id"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("what", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("created", Float, nullable=False),
    Column("starts", Float, nullable=False),
    Column("ended", Float),
    Column("author", String(64), nullable=False),
    Column("error", Text),
    Column("columns", Text, nullable=False),  # of the result
    Column("owner", String(32), nullable=False),  # the process that does it, or will
    Column("seen", Float, nullable=False),  # its last sign of life, by the database's clock; 0: it has let go
    sqlite_autoincrement=True,
)

job_rows = Table(
    "job_rows",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("cells", Text, nullable=False),
)
