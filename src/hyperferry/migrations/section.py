"""The section [check_migrations] of hyperferry.toml. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hyperferry.declared.section import Section, text, texts, yes_or_no


@dataclass(frozen=True)
class Wishes:
    """What the file says; an option of the command line wins, and adds to a list."""

    alembic_config: Path | None = None
    python: str | None = None
    driver: str | None = None
    env: tuple[str, ...] = ()
    large: tuple[str, ...] = ()
    rows: tuple[tuple[str, int], ...] = ()
    large_rows: int | None = None
    accept: tuple[str, ...] = ()
    expect: Path | None = None
    offline: bool = True
    extension: bool = True


def wishes_of(values: object, file: str) -> Wishes:
    """What stands in the section. Raises Usage that names the key."""
    section = Section(values, "[check_migrations]", file)
    found = Wishes(
        section.take("alembic_config", _path, None),
        section.take("python", text, None),
        section.take("driver", text, None),
        section.take("env", texts, ()),
        section.take("large", texts, ()),
        section.take("rows", _rows, ()),
        section.take("large_rows", _number, None),
        section.take("accept", texts, ()),
        section.take("expect", _path, None),
        section.take("offline", yes_or_no, True),
        section.take("extension", yes_or_no, True),
    )
    section.end()
    return found


def _path(value: object) -> Path:
    return Path(text(value))


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a number of rows above 0 is expected")
    return value


def _rows(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, Mapping):
        raise ValueError("tables with their rows are expected, such as { player_stats = 20_000_000 }")
    for name, rows in value.items():
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
            raise ValueError(f"the rows of {name} are no number")
    return tuple((str(name), rows) for name, rows in value.items())
