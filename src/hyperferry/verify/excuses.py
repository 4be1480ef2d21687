"""Excused pairs: they differed while their change stood in the backlog. They are looked at again once it was
applied."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..db import fetch_one, fetch_value
from ..db.connection import Connection
from ..ledger.transaction import flow_transaction
from ..model.report import Difference
from . import statements
from .compare import BY_INDEX, LISTED, Task, differences_of

ROUNDS = 5
"""A pair that changes all the time may be in the backlog at each look; the check under the lock has the last
word."""

SLICE = 2_000
_PAUSE_SECONDS = 0.5
_BEFORE_ALL = "(0,0)"


@dataclass
class Outcome:
    """`left` pairs are still excused; the others were equal, but for those proved to differ."""

    left: int = 0
    difference_count: int = 0
    differences: list[Difference] = field(default_factory=list)


def excused_count(conn: Connection, task: Task) -> int:
    """How many pairs of this verification are excused now."""
    return int(
        fetch_value(
            conn,
            statements.query("excused_count").format(excused=task.flow.of_ledger("excused")),
            {"started": task.started},
        )
    )


def look_at_excused(
    conn: Connection,
    task: Task,
    *,
    apply_backlog: Callable[[], None] | None,
    stop: Callable[[], None],
    say: Callable[[str], None],
) -> Outcome:
    """Applies the backlog and looks at the excused pairs, again and again for a bounded number of rounds.

    Without `apply_backlog` it waits for whoever applies elsewhere.
    """
    outcome = Outcome(left=excused_count(conn, task))
    for _ in range(ROUNDS):
        if not outcome.left:
            break
        say(f"{outcome.left:,} pairs differ and stand in the backlog; looking again once it is applied")
        if apply_backlog is not None:
            apply_backlog()
        else:
            time.sleep(_PAUSE_SECONDS)
        _round(conn, task, outcome, stop)
        outcome.left = excused_count(conn, task)
    return outcome


def _round(conn: Connection, task: Task, outcome: Outcome, stop: Callable[[], None]) -> None:
    place = _BEFORE_ALL
    while True:
        last, count, found = task.patiently(
            conn, f"look at changed rows of {task.flow.active.name}", partial(_slice, conn, task, place), stop
        )
        if last is None:
            return
        place = last
        outcome.difference_count += count
        room = LISTED - len(outcome.differences)
        outcome.differences += differences_of(task.flow, found)[:room]


def _slice(conn: Connection, task: Task, after: str) -> tuple[str | None, int, Any]:
    with flow_transaction(conn, task.flow, snapshot=True, settings=BY_INDEX):
        row = fetch_one(
            conn,
            statements.look_again(task.flow),
            {"started": task.started, "after": after, "slice": SLICE, "limit": LISTED},
        )
    assert row is not None
    return row[0], row[1], row[2]
