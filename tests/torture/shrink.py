"""Smaller schedules that still fail: fewer steps, faults, writers, columns, rows; simpler names. Greedy, within a number of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .schedule import Column, Schedule, Step, Table, Writer

PLAIN_WRITER = {"isolation": "READ COMMITTED", "rollbacks": 0.0, "two_phase": 0.0, "long_ms": 0, "settings": False, "statements": 1}
PLAIN_TABLE = {
    "view": False, "parent": False, "doubled": False, "time_nullable": False, "small_disk": False, "fillfactor": 100, "schema": "public",
    "name": "readings", "tag": "tag", "time": "at", "clock": "timestamptz", "time_index": True,
}  # fmt: skip


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool], *, runs: int, say: Callable[[str], None] = lambda text: None) -> Schedule:
    """The smallest schedule that was found to fail, with at most so many runs of `fails`; `schedule` itself fails."""
    tried = 0
    while True:
        for candidate in smaller(schedule):
            if tried >= runs:
                return schedule
            tried += 1
            if fails(candidate):
                schedule = candidate
                say(f"run {tried} of at most {runs}: still fails, {describe(schedule)}")
                break
        else:
            return schedule


def describe(schedule: Schedule) -> str:
    """How large it is."""
    s = schedule
    return (
        f"{len(s.steps)} steps, {sum(len(step.faults) for step in s.steps)} faults, {len(s.writers)} writers with "
        f"{sum(len(writer.mix) for writer in s.writers)} operations, {len(s.table.columns)} columns, {s.table.rows} rows"
    )


def smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Schedules one move smaller, those that take most away first. None of them leads back."""
    yield from _fewer_steps(schedule)
    for step_number, step in enumerate(schedule.steps):
        for fault_number in range(len(step.faults)):
            rest = step.faults[:fault_number] + step.faults[fault_number + 1 :]
            yield _with_step(schedule, step_number, replace(step, faults=rest))
    if len(schedule.writers) > 1:
        for number in range(len(schedule.writers)):
            yield replace(schedule, writers=schedule.writers[:number] + schedule.writers[number + 1 :])
    for table in _simpler_tables(schedule.table):
        yield replace(schedule, table=table)
    if schedule.syncing:
        yield replace(schedule, syncing=False)
    for number, writer in enumerate(schedule.writers):
        for simpler in _simpler_writers(writer):
            yield replace(schedule, writers=(*schedule.writers[:number], simpler, *schedule.writers[number + 1 :]))
    for name, plain in (("workers", 1), ("slice_rows", 20_000), ("owner", False), ("hostile", False)):
        if getattr(schedule, name) != plain:
            yield replace(schedule, **{name: plain})  # type: ignore[arg-type]
    for number, step in enumerate(schedule.steps):
        if step.quiet:
            yield _with_step(schedule, number, replace(step, quiet=False))


def _with_step(schedule: Schedule, number: int, step: Step) -> Schedule:
    return replace(schedule, steps=(*schedule.steps[:number], step, *schedule.steps[number + 1 :]))


def _fewer_steps(schedule: Schedule) -> Iterator[Schedule]:
    """The path cut short, with the end that its phase allows; or without a step that changes no phase."""
    steps = schedule.steps
    for length in range(1, len(steps)):
        served = [step.command for step in steps[:length] if step.command in ("cutover", "rollback")][-1:] == ["cutover"]
        end = Step("finish" if served else "abort")
        if steps[length - 1].command not in ("finish", "abort") and length + 1 < len(steps):
            yield replace(schedule, steps=(*steps[:length], end))
    for number, step in enumerate(steps):
        if step.command in ("sync", "verify"):
            yield replace(schedule, steps=steps[:number] + steps[number + 1 :])


def _simpler_tables(table: Table) -> Iterator[Table]:
    for rows in (0, 10, table.rows // 2):
        if rows < table.rows:
            yield replace(table, rows=rows)
    for column in table.columns:
        kept = _without(table.columns, column)
        yield replace(table, columns=kept, uniques=tuple(u for u in table.uniques if u.column in {c.name for c in kept}))
    for number in range(len(table.uniques)):
        yield replace(table, uniques=table.uniques[:number] + table.uniques[number + 1 :])
    for name, plain in PLAIN_TABLE.items():
        if getattr(table, name) != plain and plain not in {column.name for column in table.columns}:
            yield replace(table, **{name: plain})  # type: ignore[arg-type]


def _without(columns: tuple[Column, ...], gone: Column) -> tuple[Column, ...]:
    """The columns but one, and but what is generated from it."""
    return tuple(column for column in columns if column != gone and column.of != gone.name)


def _simpler_writers(writer: Writer) -> Iterator[Writer]:
    if len(writer.mix) > 1:
        middle = len(writer.mix) // 2
        yield replace(writer, mix=writer.mix[:middle])
        yield replace(writer, mix=writer.mix[middle:])
    for name, plain in PLAIN_WRITER.items():
        if getattr(writer, name) != plain:
            yield replace(writer, **{name: plain})  # type: ignore[arg-type]
