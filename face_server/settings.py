"""Every setting in one class: environment variables FACE_*, and optionally a TOML file named by FACE_CONFIG."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "FACE_"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    # Where it listens and keeps its data
    host: str = "127.0.0.1"
    port: int = Field(default=8300, ge=0, le=65535)
    trusted_proxies: list[str] = []  # addresses or networks, of which X-Forwarded-For is believed; empty: of nobody
    worker_metrics_port: int = Field(default=0, ge=0, le=65535)  # of `face-server worker`; 0: it listens to nobody
    data_dir: Path = Path("data")
    database_url: SecretStr = SecretStr("")  # postgresql://...; empty: SQLite in data_dir
    database_connections: int = Field(default=10, ge=2, le=500)  # of this server to Postgres, at most
    key_file: Path | None = None  # 32 bytes or 64 hexadecimal digits: what is kept of faces is sealed with it
    redis_url: SecretStr = SecretStr("")  # redis://...: pictures are looked at by `face-server worker` processes
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "text"
    time_zone: str = "Asia/Shanghai"  # of the times on the wire
    audit_days: int = Field(default=365, ge=0)  # lines of the audit log go after so many; 0: never
    job_days: int = Field(default=30, ge=0)  # jobs that have ended, with their results; 0: never
    auth: Literal["open", "apps"] = "open"  # apps: every caller shows the secret of its app

    # Authorization by a licence; without an address nothing is asked
    licence_url: str = ""  # of `face-server license serve`, as http://10.0.0.5:8310
    licence_public_key: Path | None = None  # the issuer's, a file
    licence_grace_minutes: int = Field(default=60, ge=0)  # work goes on so long while the service does not answer

    # Models
    pack: str = "builtin"  # a pack's name, or the path of its folder
    models_dir: Path | None = None  # where installed packs are; default: data_dir/models

    # Engine
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    lanes: int = Field(default=0, ge=0)  # pictures worked on at once; 0: one per core, more on a GPU
    max_batch: int = Field(default=0, ge=0)  # 0: 1 on a CPU, 32 on a GPU
    deadline_ms: int = Field(default=5000, ge=50)  # a request that cannot be answered within it is refused at once
    queue_mb: int = Field(default=256, ge=1)  # pictures waiting, in megabytes
    gallery_mb: int = Field(default=0, ge=0)  # galleries in memory; 0: half of what the machine or the container has
    gallery_card_mb: int = Field(default=4096, ge=0)  # galleries on a GPU; what does not fit is searched by the CPU
    gallery_engine: Literal["auto", "graph", "faiss", "cpu"] = "auto"  # what searches large galleries
    index: Literal["local", "milvus"] = "local"  # where galleries are
    milvus_url: str = ""  # http://host:19530, or a file *.db for Milvus Lite
    milvus_token: SecretStr = SecretStr("")  # user:password, or a token
    milvus_index: str = (
        "FLAT"  # of the vectors: FLAT is exact; HNSW, IVF_FLAT and others are quicker when it is too slow
    )
    milvus_partitions: int = Field(default=64, ge=1, le=1024)  # groups are spread over so many

    # Pictures
    max_body_mb: int = Field(default=24, ge=1)
    max_picture_pixels: int = Field(default=24_000_000, ge=10_000)  # 6000 x 4000, in either orientation
    strict_picture_size: bool = False  # refuse above 1920x1080, as the vendor's manual advises
    picture_urls: bool = False  # fetch pictures by address
    picture_url_hosts: list[str] = []  # allow-list; empty: any public host
    store_pictures: Literal["face", "picture", "none"] = "face"  # what is kept of a registered face

    # Face tokens
    token_minutes: int = Field(default=60, ge=1)
    token_cache_mb: int = Field(default=1024, ge=1)  # on disk

    # Contract switches
    infrared: bool = True  # False: face_type INFRARED answers 222024
    beauty: bool = True
    race: bool = False  # also needs a pack that brings it
    max_user_num: int = Field(default=20, ge=1, le=1000)
    max_face_num: int = Field(default=10, ge=1, le=1000)
    faces_per_user: int = Field(default=0, ge=0)  # 0: no limit
    faces_per_group: int = Field(default=0, ge=0)
    faces_per_app: int = Field(default=0, ge=0)
    groups_per_app: int = Field(default=0, ge=0)
    cloudwalk_checks: Literal["none", "quality", "strict"] = "none"  # of pictures that are registered
    enn_provisioned: bool = False  # True: registering does not create an app_id
    enn_same_face: float = Field(default=0.95, ge=-1, le=1)  # the cosine from which on two pictures show the same face
    enn_recognise_score: float = Field(default=0.8, ge=0, le=1)
    enn_compare_score: float = Field(default=0.8, ge=0, le=1)
    enn_turned_degrees: float = Field(default=15, ge=0, le=90)  # beyond it a face looks to a side, up or down
    enn_largest_blur: float = Field(default=0.6, ge=0, le=1)
    enn_darkest: float = Field(default=40, ge=0, le=255)
    enn_brightest: float = Field(default=230, ge=0, le=255)
    enn_text_codes: list[str] = []  # app_ids whose clients want `code` as a text; "*": all
    sid_strict_liveness: bool = False  # True: an attack is a failure with a code of its own
    cloudwalk_texts: bool = False  # result and faceId as texts, for clients that do not read numbers
    facebox_turned_degrees: float = Field(default=30, ge=0, le=180)  # beyond it a face is not registered
    facebox_largest_blur: float = Field(default=0.6, ge=0, le=1)
    facebox_least_contrast: float = Field(default=12, ge=0, le=128)  # standard deviation of the brightness
    cors_origins: list[str] = []  # for browsers that call the H5 interface

    @field_validator("database_url")
    @classmethod
    def _readable(cls, value: SecretStr) -> SecretStr:
        """What is wrong is not told in the words of the address: they have the password."""
        try:
            parts = urlsplit(value.get_secret_value())
            known = parts.scheme in ("", "postgresql", "postgres") and (parts.port or True)
        except ValueError:
            raise ValueError("cannot be read: are special characters of the password percent-encoded?") from None
        if not known or bool(parts.scheme) != bool(value):
            raise ValueError("an address that begins with postgresql:// is expected")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for each in value:
            ip_network(each)  # says by itself what is wrong
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        if value and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("an address that begins with redis://, rediss:// or unix:// is expected")
        return value

    @property
    def redis(self) -> str:
        return self.redis_url.get_secret_value()

    @property
    def database(self) -> Path | str:
        """The file of SQLite, or the address of Postgres."""
        return self.database_url.get_secret_value() or self.data_dir / "faces.db"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        config = os.environ.get(PREFIX + "CONFIG")
        toml = (TomlConfigSettingsSource(settings_cls, Path(config)),) if config else ()
        return (init_settings, env_settings, *toml)


# Read by other parts of the project, not by the server itself.
_OTHER_NAMES = {"FACE_ADMIN_PASSWORD", "FACE_CONFIG", "FACE_CORPUS", "FACE_SHARED"}


def load_settings(**overrides: object) -> Settings:
    """The settings of this process. A FACE_ variable that means nothing is refused: somebody mistyped it."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _OTHER_NAMES
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise ValueError(f"unknown setting: {', '.join(unknown)}")
    return Settings(**overrides)  # type: ignore[arg-type]
