"""What the user wishes: flags over environment over `hyperferry.toml`, as one checked object.

The file holds what is worth keeping in version control. How to connect is not among it: that is `--dsn`,
else DATABASE_URL, else libpq's own variables, service and password files.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from .declared.parse import SECTIONS, parse_declared
from .errors import Usage
from .model.declared import Declared, OrderBy
from .model.names import name_parts, quote_ident
from .model.plan_options import CompressionWish
from .model.throttle import DEFAULTS, parse_limit

__all__ = [
    "ACCEPT_RULES",
    "CONFIG_FILE",
    "ENV_PREFIX",
    "Settings",
    "load_settings",
    "plain_dsn",
    "same_table",
]

CONFIG_FILE = "hyperferry.toml"
ENV_PREFIX = "HYPERFERRY_"
ACCEPT_RULES = (
    "cross-chunk-updates",
    "on-conflict-key",
    "view-groups-by-key",
    "widened-key",
    "snapshot-transactions",
    "other-replication",
)
"""What a cutover changes for the application, by the names that `--accept` takes (`all`: every one)."""

CHECK_SECTION = "check_migrations"
"""The section of the file that is `hyperferry check-migrations`' own."""

RESERVED = frozenset({"maintenance"})
"""Sections of the file that later versions will read."""

ABOUT_ONE_TABLE = frozenset(
    {
        "time_column",
        "chunk_interval",
        "batch_rows",
        "workers",
        "strategy",
        "accept",
        "max_rows",
        "drop_inbound_fks",
        "drop_from_publications",
        "max_rate",
        *SECTIONS,
    }
)
"""Keys that mean nothing for another table than the file's own."""


COMPRESSION_FLAGS = ("compress", "segment_by", "order_by", "compress_after")
"""Options of the command line alone; the file says the same in [compression]."""


class Settings(BaseSettings):
    """Everything that can be wished for. `dsn` is '' where libpq shall decide; None: let the plan decide."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    dsn: str = Field(default="", validation_alias="DATABASE_URL")
    table: str | None = Field(default=None, min_length=1)
    time_column: str | None = Field(default=None, min_length=1)
    chunk_interval: str | None = Field(default=None, min_length=1)
    batch_rows: int | None = Field(default=None, ge=1)
    workers: int | None = Field(default=None, ge=1, le=64)
    strategy: Literal["blue-green", "in-place"] | None = None
    accept: Annotated[tuple[str, ...], NoDecode] = ()
    max_rows: int = Field(default=1_000_000, ge=0)
    drop_inbound_fks: Annotated[tuple[str, ...], NoDecode] = ()
    drop_from_publications: Annotated[tuple[str, ...], NoDecode] = ()
    max_rate: str | None = None
    max_replica_lag: str | None = None
    max_slot_lag: str | None = None
    max_latency: str | None = None
    max_lock_wait: str | None = None
    max_cores: str | None = None
    pgbouncer: Annotated[tuple[str, ...], NoDecode] = ()
    _declared: Declared = PrivateAttr(default=Declared())
    _about: str | None = PrivateAttr(default=None)
    _compression_flags: dict[str, Any] = PrivateAttr(default_factory=dict)
    _check: object = PrivateAttr(default_factory=dict)

    @field_validator("dsn")
    @classmethod
    def _plain_dsn(cls, value: str) -> str:
        return plain_dsn(value)

    @field_validator("chunk_interval", mode="before")
    @classmethod
    def _integer_interval(cls, value: object) -> object:
        """An integer time column has an integer interval, which a person writes without quotes."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator(*DEFAULTS, mode="before")
    @classmethod
    def _limit(cls, value: object, info: ValidationInfo) -> object:
        """A limit in a person's words; a bare number may stand without quotes."""
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        if isinstance(text, str):
            parse_limit(str(info.field_name), text)
        return text

    @field_validator("pgbouncer", mode="before")
    @classmethod
    def _consoles(cls, value: object) -> object:
        """`dsn` of the file's section, one or a list; the environment gives one."""
        if isinstance(value, dict):
            if set(value) != {"dsn"}:
                raise ValueError("the section has one key, dsn: an address or a list of them")
            value = value["dsn"]
        found = _list(value)
        if not all(isinstance(each, str) and each.strip() for each in found):
            raise ValueError("addresses as text are expected")
        return tuple(plain_dsn(str(each)) for each in found)

    @field_validator("accept", mode="before")
    @classmethod
    def _rules(cls, value: object) -> object:
        """Rules as a list, or as words with commas between them; each must be known."""
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise ValueError("a list of rules is expected")
        rules = tuple(rule.strip() for word in words for rule in word.split(",") if rule.strip())
        for rule in rules:
            if rule not in (*ACCEPT_RULES, "all"):
                near = _near(rule, (*ACCEPT_RULES, "all"))
                raise ValueError(f"{rule!r} is no rule{near} (there are {', '.join(ACCEPT_RULES)}, all)")
        return rules

    @field_validator("drop_inbound_fks", "drop_from_publications", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """Names as a list, or with commas between them in the environment."""
        words = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word for word in words):
            raise ValueError("a list of names is expected")
        return tuple(words)

    @property
    def limits(self) -> dict[str, str]:
        """The throttle's limits that are set here, by name."""
        return {name: getattr(self, name) for name in DEFAULTS if getattr(self, name) is not None}

    @property
    def declared(self) -> Declared:
        """What the file wants of the hypertable, its chunk interval included. Nothing where the file is about another table."""
        return replace(self._declared, chunk_interval=self.chunk_interval, time_column=self.time_column)

    @property
    def about_another(self) -> str | None:
        """The table that the file is about, where this call is about another; None else."""
        return self._about

    @property
    def check_migrations(self) -> object:
        """The file's section [check_migrations], as it stands there: `migrations.section` reads it."""
        return self._check

    @property
    def compression(self) -> CompressionWish | None:
        """Compression on the way, by the flags over the file; None where it is not wished for. Raises Usage for flags that say
        how and not that."""
        flags, wish = self._compression_flags, self._declared.compression
        on = flags.get("compress")
        if on is None:
            on = wish is not None and wish.enabled and wish.on_the_way
        if not on:
            if how := [f"--{name.replace('_', '-')}" for name in COMPRESSION_FLAGS[1:] if flags.get(name)]:
                raise Usage(
                    f"{', '.join(how)} say how chunks are compressed on the way, and nothing says that they are to be.",
                    remedy="add --compress, or `on_the_way = true` in [compression] of hyperferry.toml.",
                )
            return None
        segment_by = wish.segment_by if wish is not None else None
        order_by = wish.order_by if wish is not None else None
        after = wish.after.about if wish is not None and wish.after else None
        return CompressionWish(
            tuple(flags.get("segment_by", ())) or segment_by,
            tuple(flags.get("order_by", ()))
            or (None if order_by is None else tuple(_order_text(each) for each in order_by)),
            flags.get("compress_after", after),
        )

    @property
    def accepted(self) -> frozenset[str]:
        """The accepted rules; `all` stands for whatever has to be accepted then."""
        return frozenset(self.accept)


def _order_text(order: OrderBy) -> str:
    way, nulls = ("DESC" if order.descending else "ASC"), ("FIRST" if order.nulls_come_first else "LAST")
    return f"{quote_ident(order.column)} {way} NULLS {nulls}"


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _in_environment(name: str) -> str | None:
    """A variable, in whichever letters it is written, as pydantic takes it."""
    return next((value for key, value in os.environ.items() if key.upper() == name), None)


def _refuse_console_passwords(file: Mapping[str, Any]) -> None:
    """Raises Usage for a password in what the file says of PgBouncer, in whichever form it says it."""
    said = file.get("pgbouncer", ())
    for each in _list(said["dsn"] if isinstance(said, dict) and "dsn" in said else said):
        if "password" in str(each) or re.search(r"://[^@/]*:[^@/]*@", str(each)):
            raise Usage(
                "The setting pgbouncer cannot be used: a password does not belong into this file.",
                remedy="take it out, and use libpq's password file or PGPASSWORD.",
            )


SameThere = Callable[[str, str, str], bool]
"""Asks a database (its DSN comes first) whether two names mean one table there."""


def load_settings(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    same_there: SameThere | None = None,
    by_file: bool = False,
) -> Settings:
    """The settings of this call. `flags` are the options that were given (None: not given).

    `config` must exist where it is given; else the working folder's `hyperferry.toml` is read if it is there.
    Where the flags or the environment name another table than the file does, what the file says about its table does not count.
    Where only the database can tell (one name has a schema, the other has none) it is asked through `same_there`; without that
    they count as two tables. `by_file`: this call is about the file, whatever table the environment names. Raises Usage.
    """
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    path = config if config is not None else Path(CONFIG_FILE)
    file = _read(path) if config is not None or path.is_file() else {}
    _refuse_console_passwords(file)
    if by_file and "table" in file:
        given["table"] = file["table"]
    about, wanted = None, given.get("table") or _in_environment("HYPERFERRY_TABLE")
    if wanted and "table" in file and not _same(wanted, str(file["table"]), given.get("dsn"), same_there):
        about = str(file["table"])
        file = {name: value for name, value in file.items() if name not in ABOUT_ONE_TABLE}

    declared = parse_declared(file, str(path))
    check = file.pop(CHECK_SECTION, {})
    file = {name: value for name, value in file.items() if name not in SECTIONS}

    class Layered(Settings):
        """The settings with this call's file below the environment."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=file)

    compression = {name: given.pop(name) for name in COMPRESSION_FLAGS if name in given}
    if "dsn" in given:
        given["DATABASE_URL"] = given.pop("dsn")
    try:
        settings = Layered(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise Usage(
            f"The setting {name} cannot be used: {_reason(first['msg'])}.",
            facts={"setting": name, "from": _origin(name, given, path)},
            remedy="correct the value; `hyperferry COMMAND --help` says what each takes.",
        ) from None
    settings._declared, settings._about, settings._compression_flags = declared, about, compression
    settings._check = check
    return settings


def plain_dsn(dsn: str) -> str:
    """The connection string as libpq reads it: a SQLAlchemy URL loses its driver (`postgresql+psycopg:`)."""
    return re.sub(r"^\s*(?:postgres(?:ql)?|timescaledb)(?:\+\w+)?://", "postgresql://", dsn)


def same_table(one: str, other: str) -> bool | None:
    """Whether two names as users write them mean one table; None where only the database can tell, as one of them has a schema
    (or the database before it) that the other leaves out. Case folds outside quotes."""
    first, second = name_parts(one), name_parts(other)
    if first == second:
        return True
    shorter = min(len(first), len(second))
    return None if len(first) != len(second) and first[-shorter:] == second[-shorter:] else False


def _same(one: str, other: str, dsn: str | None, same_there: SameThere | None) -> bool:
    """As `same_table`, and by the database of this call where that alone can tell."""
    same = same_table(one, other)
    if same is None and same_there is not None:
        return same_there(plain_dsn(dsn or _in_environment("DATABASE_URL") or ""), one, other)
    return bool(same)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors put a mark before it
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(
            f"The configuration file {path} cannot be read.",
            facts={"reason": getattr(error, "strerror", None) or error},
            remedy="name a readable file with --config, or leave the option out.",
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise Usage(
            f"The configuration file {path} is not valid TOML.",
            facts={"reason": error},
            remedy="correct the line named.",
        ) from None
    for name in values:
        if name not in {*Settings.model_fields, *SECTIONS, CHECK_SECTION} or name == "dsn":
            raise _unknown(path, name)
    return values


def _unknown(path: Path, name: str) -> Usage:
    known = [*(field for field in Settings.model_fields if field != "dsn"), *SECTIONS, CHECK_SECTION]
    if name in {"dsn", "database_url", "password", "host", "user"}:
        return Usage(
            f"{path} holds the key {name!r}, but how to connect does not belong under version control.",
            remedy="take it out; use --dsn, DATABASE_URL, or libpq's PGSERVICE and password file.",
        )
    if name in RESERVED:
        return Usage(
            f"{path} holds the section [{name}], which this version does not read yet.",
            facts={"known keys": ", ".join(known)},
            remedy="take it out for now: nothing in it would be done.",
        )
    return Usage(
        f"{path} holds the key {name!r}, which is not known{_near(name, known)}.",
        facts={"known keys": ", ".join(known)},
        remedy="correct or remove it: a wish that is not read would be a surprise later.",
    )


def _near(word: str, known: list[str] | tuple[str, ...]) -> str:
    """'; did you mean x?' where something near is known."""
    spelled = {name.replace("-", "_"): name for name in known}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), list(spelled), n=2)
    names = [spelled[each] for each in near]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")


def _origin(name: str, given: Mapping[str, Any], path: Path) -> str:
    if name in given:
        return "the command line"
    variable = name if name == "DATABASE_URL" else ENV_PREFIX + name.upper()
    return f"the environment ({variable})" if os.environ.get(variable) else str(path)
