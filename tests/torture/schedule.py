"""What one run is: plain data, which a seed gives and JSON carries."""

from __future__ import annotations

import json
import types
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

RELEASES = ("stable", "testing")


@dataclass(frozen=True)
class Column:
    """`kind`: a name in values.KINDS. `generated`: '' or 'stored' or 'virtual', from the column `of`."""

    name: str
    kind: str
    nullable: bool = True
    generated: str = ""
    of: str = ""
    storage: str = ""


@dataclass(frozen=True)
class Unique:
    """A unique constraint or index over one column. `form`: 'constraint', 'deferrable' (initially immediate), 'deferred', 'index',
    'partial' or 'expression'."""

    column: str
    form: str


@dataclass(frozen=True)
class Table:
    """A table. `key_form`: 'always', 'by default' (identity), 'serial', 'plain', 'deferrable', 'deferred' (primary keys);
    'unique' (a NOT NULL unique constraint instead); 'with time' (the time is a part of it); '' (no key)."""

    schema: str
    name: str
    tag: str
    key: str
    key_kind: str
    key_form: str
    time: str
    clock: str
    time_index: bool
    time_nullable: bool
    columns: tuple[Column, ...]
    uniques: tuple[Unique, ...]
    rows: int
    doubled: bool
    view: bool
    parent: bool
    fillfactor: int = 100
    small_disk: bool = False


@dataclass(frozen=True)
class Writer:
    """One session of the application. `settings` changes how its values are printed."""

    isolation: str
    mix: tuple[str, ...]
    statements: int
    pause_ms: int
    rollbacks: float
    two_phase: float
    long_ms: int
    settings: bool


@dataclass(frozen=True)
class Fault:
    """`kind`: see faults.py. It strikes in the `run`-th run of its step's command: at the `nth` message to the server that contains
    `text` ('' any), before the server has it or after it answered; `seconds` is how long it lasts, for those that last."""

    kind: str
    run: int
    nth: int
    text: str
    after: bool
    seconds: float


@dataclass(frozen=True)
class Step:
    """One command of the program. `quiet`: then the two tables are compared, with the writers stopped. `leave`: where the command
    fails it is not run again (an `abort` follows)."""

    command: str
    faults: tuple[Fault, ...] = ()
    quiet: bool = False
    leave: bool = False


@dataclass(frozen=True)
class Schedule:
    """All that one run is made of. `owner`: the program runs as the table's owner, else as a superuser; `syncing`: a sync runs beside all
    else; `hostile`: somebody gave the program's role short timeouts."""

    seed: int
    release: str
    table: Table
    writers: tuple[Writer, ...]
    steps: tuple[Step, ...]
    batch_rows: int
    workers: int
    slice_rows: int
    owner: bool
    syncing: bool
    hostile: bool = False

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> Schedule:
        """The inverse of `to_json`."""
        made = _build(Schedule, json.loads(text))
        assert isinstance(made, Schedule)
        return made


def _build(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin is tuple:
        return tuple(_build(get_args(kind)[0], each) for each in value)
    if origin in (Union, types.UnionType):
        return value
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: _build(hints[f.name], value[f.name]) for f in fields(kind) if f.name in value})  # type: ignore[operator]
    return value
