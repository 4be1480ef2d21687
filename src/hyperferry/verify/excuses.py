"""Excused pairs: they differed while their change stood in the backlog. They are looked at again once it was
applied."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from ..db import fetch_all, fetch_value
from ..db.connection import Connection
from ..ledger.flow import Flow
from ..ledger.transaction import flow_transaction
from ..model.report import Difference
from . import statements
from .compare import LISTED, Task, differences_of
from .pairwise import BY_INDEX, Group, excused_groups, look_again

ROUNDS = 5
"""A pair that changes all the time may be in the backlog at each look; the check under the lock has the last
word."""

FEW = 100
"""So many pairs are applied alone, without the rest of the backlog."""
SLICE = 2_000
GROUPS = 100
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


def excused_by_others(conn: Connection, flow: Flow, verification: int) -> int:
    """How many pairs are excused by other verifications than the recorded one of that number: interrupted, or at work now."""
    statement = statements.query("excused_by_others").format(excused=flow.of_ledger("excused"))
    return int(fetch_value(conn, statement, {"id": verification}))


def look_at_excused(
    conn: Connection,
    task: Task,
    *,
    apply_backlog: Callable[[], None] | None,
    apply_excused: Callable[[datetime], None] | None,
    stop: Callable[[], None],
    say: Callable[[str], None],
) -> Outcome:
    """Applies the backlog and looks at the excused pairs, again and again for a bounded number of rounds. A few that changed
    again meanwhile are applied alone, by `apply_excused`: the backlog as a whole lies in every chunk by then.

    Without `apply_backlog` it waits for whoever applies elsewhere.
    """
    outcome = Outcome(left=excused_count(conn, task))
    for number in range(ROUNDS):
        if not outcome.left:
            break
        say(f"{outcome.left:,} pairs differ and stand in the backlog; looking again once it is applied")
        if apply_excused is not None and number and outcome.left <= FEW:
            apply_excused(task.started)
        elif apply_backlog is not None:
            apply_backlog()
        else:
            time.sleep(_PAUSE_SECONDS)
        _round(conn, task, outcome, stop)
        before, outcome.left = outcome.left, excused_count(conn, task)
        if apply_backlog is None and outcome.left == before:
            break  # nobody applies
    return outcome


def _round(conn: Connection, task: Task, outcome: Outcome, stop: Callable[[], None]) -> None:
    """Looks at every excused pair once: small groups together in one transaction, a large one slice by slice."""
    together: list[Group] = []
    for group in excused_groups(conn, task.flow, task.started):
        if group.pairs > SLICE:
            place: str | None = _BEFORE_ALL
            while place is not None:
                place = _look(conn, task, [group], place, outcome, stop)
            continue
        together.append(group)
        if len(together) == GROUPS or sum(g.pairs for g in together) > SLICE:
            _look(conn, task, together, _BEFORE_ALL, outcome, stop)
            together = []
    if together:
        _look(conn, task, together, _BEFORE_ALL, outcome, stop)


def _look(
    conn: Connection,
    task: Task,
    groups: list[Group],
    after: str,
    outcome: Outcome,
    stop: Callable[[], None],
) -> str | None:
    """One transaction, again until its locks are to be had; returns the last place that was looked at."""
    found = task.patiently(
        conn,
        f"look at changed rows of {task.flow.active.name}",
        partial(_slices, conn, task, groups, after),
        stop,
    )
    for _, count, differing in found:
        outcome.difference_count += count
        room = LISTED - len(outcome.differences)
        outcome.differences += differences_of(task.flow, differing)[:room]
    last: str | None = found[-1][0]
    return last


def _slices(conn: Connection, task: Task, groups: list[Group], after: str) -> list[tuple[Any, ...]]:
    params = {"started": task.started, "after": after, "slice": SLICE, "limit": LISTED}
    with flow_transaction(conn, task.flow, snapshot=True, settings=BY_INDEX):
        return [row for group in groups for row in fetch_all(conn, look_again(task.flow, group), params)]
