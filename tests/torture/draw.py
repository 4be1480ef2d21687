"""The schedule of a seed: a pure function."""

from __future__ import annotations

import random
from dataclasses import replace

from .schedule import Column, Fault, Schedule, Step, Table, Unique, Writer
from .values import KEYS, KINDS, PLAIN

NAMES = ("v", "value", "select", 'say "v"', "%s {0}", "V w", "ö" * 31 + "z", "t", "p", "id_", "low", "lo_t", "new", "old_rows", "q", "source", "s")
SCHEMAS = ("public", "public", "app", "my.schema", 'we"ird')
TABLES = ("readings", "readings", 'Weird "Näme"', "ö" * 31 + "z", "order", "t", "%s {0}")
TAGS = ("tag", "writer", "own er")
TIMES = ("at", "at", "when (UTC)", "time", "t", "%d")
OPERATIONS = (
    "insert", "insert", "bulk_insert", "copy", "upsert", "insert_nothing", "update", "update", "update_many", "update_key", "update_near",
    "update_far", "delete", "delete_many", "merge", "swap", "savepoint", "failing", "touch", "in_and_out", "replace",
)  # fmt: skip
PATHS: tuple[tuple[str, ...], ...] = (
    ("start", "cutover", "finish"),
    ("start", "cutover", "finish"),
    ("start", "cutover", "rollback", "cutover", "finish"),
    ("start", "cutover", "rollback", "cutover", "finish"),
    ("start", "cutover", "rollback", "abort"),
    ("start", "cutover", "rollback", "abort"),
    ("start", "cutover", "rollback", "cutover", "rollback", "abort"),
    ("start", "verify", "cutover", "sync", "verify", "rollback", "verify", "cutover", "finish"),
    ("start", "sync", "cutover", "sync", "rollback", "sync", "abort"),
    ("start", "abort"),
    ("start", "abort", "start", "cutover", "finish"),
)
AT_ONCE = ("kill", "kill", "kill", "term", "drop", "drop", "drop all", "hang", "terminate", "terminate", "cancel", "restart")
"""Faults that strike the message itself."""
ASIDE = ("lock", "lock", "deadlock", "vacuum full", "cluster", "reindex", "second", "second", "pause", "truncate", "truncate", "snapshot", "full disk")
"""Faults that begin with the message and go on beside it."""
TEXTS = {
    "start": ("COMMIT", "COMMIT", "BEGIN", "LOCK TABLE", "CREATE TRIGGER", "INSERT INTO", "DELETE FROM", "phase", "CREATE INDEX", "batch", "ANALYZE"),
    "cutover": ("DO '", "DO ", "COMMIT", "COMMIT", "LOCK TABLE", "pg_current_xact_id", "DELETE FROM", "INSERT INTO", "VALIDATE", "event"),
    "finish": ("COMMIT", "DROP", "LOCK TABLE", "DELETE FROM"),
}  # fmt: skip
MESSAGES = {"start": 260, "cutover": 90, "rollback": 90, "finish": 60, "abort": 60, "sync": 25, "verify": 40}
"""About so many messages a command sends."""


def schedule_of(seed: int, release: str) -> Schedule:
    """Everything about the run of this seed on this release."""
    r = random.Random(f"torture {seed}")
    table = _table(r, release)
    path = r.choice(PATHS)
    calm = r.random() < 0.1
    steps = tuple(_step(r, command, calm) for command in path)
    if r.random() < 0.08:
        steps = _altered(r, steps)
    if any(fault.kind == "full disk" for step in steps for fault in step.faults) and table.rows <= 1000:
        table = replace(table, small_disk=not any(KINDS[column.kind].wide for column in table.columns))
    return Schedule(
        seed=seed,
        release=release,
        table=table,
        writers=tuple(_writer(r) for _ in range(r.choice((2, 2, 3, 4)))),
        steps=steps,
        batch_rows=r.choice((20, 50, 100, 100, 300)),
        workers=r.choice((1, 2, 2, 3)),
        slice_rows=r.choice((60, 200, 1000, 20_000)),
        owner=r.random() < 0.6,
        syncing=r.random() < 0.2,
        hostile=r.random() < 0.25,
    )


def _table(r: random.Random, release: str) -> Table:
    names = r.sample(NAMES, len(NAMES))
    time = r.choice(TIMES)
    names = [name for name in names if name != time]
    key_form = r.choice(("always", "by default", "serial", "serial", "plain", "plain", "plain", "deferrable", "deferred", "unique", "with time", "", ""))
    sequenced = key_form in ("always", "by default", "serial")
    key_kind = "bigint" if sequenced else r.choice((*KEYS, "citext", "blind text"))
    columns = []
    for kind in r.sample((*PLAIN, "citext"), r.randrange(2, 8)):
        storage = r.choice(("", "EXTERNAL", "MAIN")) if KINDS[kind].wide else ""
        columns.append(Column(names.pop(), kind, nullable=r.random() < 0.7, storage=storage))
    uniques = []
    for _ in range(r.choice((0, 0, 1, 1, 2))):
        kind = r.choice((*KEYS, "citext"))
        column = Column(names.pop(), kind, nullable=r.random() < 0.4)
        columns.append(column)
        forms = ["constraint", "deferrable", "deferred", "index", "partial"] + ["expression"] * (kind in ("text", "citext", "blind text"))
        uniques.append(Unique(column.name, r.choice(forms)))
    if r.random() < 0.3:
        columns.append(Column(names.pop(), "integer", nullable=True))
        form = r.choice(("stored", "virtual")) if release == "testing" else "stored"
        columns.append(Column(names.pop(), "bigint", generated=form, of=columns[-1].name))
    r.shuffle(columns)
    wide = any(KINDS[column.kind].wide for column in columns)
    return Table(
        schema=r.choice(SCHEMAS),
        name=r.choice(TABLES),
        tag=r.choice([tag for tag in TAGS if tag != time]),
        key=r.choice(("id", "the key", "KEY")) if key_form else "",
        key_kind=key_kind if key_form else "",
        key_form=key_form,
        time=time,
        clock=r.choice(("timestamptz", "timestamptz", "timestamptz", "timestamp", "date", "bigint", "integer")),
        time_index=not key_form or (key_form == "unique" and r.random() < 0.5) or r.random() < 0.6,
        time_nullable=r.random() < 0.15,
        columns=tuple(columns),
        uniques=tuple(uniques),
        rows=r.choice((0, 60, 100, 150)) if wide else r.choice((100, 200, 200, 300, 500, 1000)),
        doubled=not key_form and not uniques and r.random() < 0.7,
        view=r.random() < 0.3,
        parent=r.random() < 0.25,
        fillfactor=r.choice((100, 100, 50)),
    )


def _writer(r: random.Random) -> Writer:
    return Writer(
        isolation=r.choice(("READ COMMITTED", "READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")),
        mix=tuple(r.choices(OPERATIONS, k=r.randrange(4, 14))),
        statements=r.choice((1, 1, 2, 4)),
        pause_ms=r.choice((10, 25, 50, 100)),
        rollbacks=r.choice((0.0, 0.1, 0.4)),
        two_phase=r.choice((0.0, 0.0, 0.2, 0.5)),
        long_ms=r.choice((0, 0, 0, 60, 250)),
        settings=r.random() < 0.5,
    )


def _step(r: random.Random, command: str, calm: bool) -> Step:
    number = 0 if calm else r.choice((1, 1, 2, 3, 4) if command in ("start", "cutover", "rollback") else (0, 1, 1, 2))
    faults = tuple(_fault(r, command) for _ in range(number))
    return Step(command, faults, quiet=r.random() < 0.5, leave=command == "start" and r.random() < 0.1)


def _fault(r: random.Random, command: str) -> Fault:
    kind = r.choice(AT_ONCE if r.random() < 0.6 else ASIDE)
    group = {"rollback": "cutover", "abort": "finish", "verify": "start", "sync": "start"}.get(command, command)
    text = r.choice(TEXTS[group]) if r.random() < 0.5 else ""
    most = MESSAGES[command]
    nth = int(most ** r.random()) if not text else r.choice((1, 1, 1, 2, 3, 5, 8, 20))
    return Fault(
        kind=kind,
        run=r.choice((0, 0, 0, 1, 1, 2)),
        nth=nth,
        text=text,
        after=r.random() < 0.5,
        seconds=r.choice((0.1, 0.3, 0.3, 1.0, 2.0)),
    )


def _altered(r: random.Random, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Somebody changes the table while the first start runs: that rollout is given up, and another begun."""
    fault = Fault("alter", 0, r.randrange(1, 200), "", r.random() < 0.5, 0.3)
    first = Step("start", (*steps[0].faults, fault), leave=True)
    return (first, *steps[1:])
