"""What the text of a statement says that the server cannot be asked. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hyperferry.model.names import name_parts

_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))*'
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.S)
_CONCURRENTLY = re.compile(
    rf"^\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s.*?\bON\s+(?:ONLY\s+)?(?P<table>{_NAME})", re.I | re.S
)
_INDEX = re.compile(r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\b", re.I)
_WHOLE = re.compile(
    r"^\s*(?:VACUUM\s*(?:\([^)]*\bFULL\b[^)]*\)|FULL\b)|CLUSTER\b(?:\s*\([^)]*\))?)"
    r"(?:\s+(?:FREEZE|VERBOSE|ANALYZE|ANALYSE)\b)*(?P<tables>.*)$",
    re.I | re.S,
)
_LISTED = re.compile(rf"\s*(?:ONLY\s+)?(?P<table>{_NAME})\s*(?:\*\s*)?(?:\([^)]*\)|USING\s+{_NAME})?\s*(?:,|;|$)", re.I)
_GUARD = re.compile(
    r"IF NOT (?P<forced>true|false)\s.*?hyperferry\.force_\w*_ht.*?many > (?P<rows>\d+) THEN", re.S
)
_UNITS = {"ms": 1.0, "s": 1_000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0, "us": 0.001}


@dataclass(frozen=True)
class Guard:
    """The row guard of one of `hyperferry.alembic`'s statements: more rows than these it refuses when it runs."""

    rows: int


def guard_of(statement: str) -> Guard | None:
    """The guard of a statement; None where it has none, or one that was lifted when it was written."""
    found = _GUARD.search(statement)
    return None if found is None or found["forced"] == "true" else Guard(int(found["rows"]))


def converts(statement: str) -> bool:
    """Whether it can make a table a hypertable."""
    return re.search(r"\bcreate_hypertable\b", statement) is not None


def waits_for_rollout(statement: str) -> bool:
    """Whether it is `op.require_rollout`'s, of which the way back is no migration's."""
    return "hyperferry: the rollout of " in statement


def sets_alone(statement: str) -> bool:
    """Whether it is a SET, and nothing after it (as inside.py has it, which imports nothing of ours)."""
    return re.fullmatch(r"\s*SET\s[^;]*;?\s*", statement, re.I) is not None


def makes_index(statement: str) -> bool:
    """Whether it makes an index by CREATE INDEX, in a block too."""
    return _INDEX.search(_COMMENT.sub(" ", statement)) is not None


def concurrent_index_on(statement: str) -> tuple[str, ...] | None:
    """The table of a CREATE INDEX CONCURRENTLY, as parts of its name."""
    found = _CONCURRENTLY.match(_COMMENT.sub(" ", statement))
    return None if found is None else name_parts(re.sub(r"\s*\.\s*(?=[\"\w])", ".", found["table"]))


def whole_rewrites_of(statement: str) -> list[tuple[str, ...]] | None:
    """The tables of a VACUUM FULL or CLUSTER, which cannot be looked at while it runs; none named: all tables. None where it is
    neither."""
    found = _WHOLE.match(_COMMENT.sub(" ", statement))
    if found is None:
        return None
    names, rest = [], found["tables"].strip().rstrip(";").strip()
    while rest and (each := _LISTED.match(rest)) is not None:
        names.append(tuple(name_parts(re.sub(r"\s*\.\s*(?=[\"\w])", ".", each["table"]))))
        rest = rest[each.end() :]
    return names


def milliseconds(setting: str) -> float:
    """'3s', as current_setting gives a time -> 3000. 0 stands for no limit."""
    found = re.fullmatch(r"\s*(\d+)\s*([a-z]*)\s*", setting)
    return 0.0 if found is None else int(found[1]) * _UNITS.get(found[2] or "ms", 1.0)


def short(statement: str, most: int = 140) -> str:
    """The statement in a line. A block of ours by what it does."""
    text = " ".join(_COMMENT.sub(" ", statement).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
