"""What maintenance did, for people and for programs."""

from __future__ import annotations

from typing import Any

from hyperferry.maintenance.drop import Dropped
from hyperferry.maintenance.options import MaintainReport, Task
from hyperferry.words import plural, size

from .text import Line


def _task(task: Task) -> dict[str, Any]:
    return {
        "kind": task.kind.value,
        "chunk": str(task.table),
        "index": None if task.index is None else str(task.index),
        "why": task.why,
        "freeze": task.freeze,
        "remove": task.remove,
    }


def maintain_json(report: MaintainReport, dry_run: bool) -> dict[str, Any]:
    """All tasks with what became of each."""
    outcomes = {id(each.task): each for each in report.outcomes}
    tasks = []
    for task in report.tasks:
        outcome = outcomes.get(id(task))
        tasks.append(
            {
                **_task(task),
                "state": "left" if outcome is None else outcome.state,
                "reason": "" if outcome is None else outcome.reason,
                "seconds": None if outcome is None else round(outcome.seconds, 3),
                "bytes_before": None if outcome is None else outcome.before,
                "bytes_after": None if outcome is None else outcome.after,
            }
        )
    return {
        "table": report.table,
        "dry_run": dry_run,
        "tasks": tasks,
        "left": report.left,
        "failed": report.failed,
        "ended": report.ended,
    }


STYLES = {"skipped": "bold yellow", "failed": "bold red"}
"""How what was not done is marked."""


def maintain_lines(report: MaintainReport, dry_run: bool) -> list[Line]:
    """What would be done, or what was."""
    if not report.tasks:
        return [Line(f"{report.table}: nothing needs doing.", style="bold")]
    if dry_run:
        lines = [Line(task.why, mark=f"{task.words}:") for task in report.tasks]
        return [*lines, Line(""), Line(f"{plural(len(report.tasks), 'statement')} would be run; nothing was done.", style="bold")]
    numbers = {state: sum(1 for each in report.outcomes if each.state == state) for state in ("done", "gone", "skipped")}
    lines = [
        Line(each.reason, mark=f"{each.state} {each.task.words}:", mark_style=STYLES[each.state])
        for each in report.outcomes
        if each.state in STYLES
    ]
    saved = sum((each.before or 0) - (each.after or 0) for each in report.outcomes if each.state == "done")
    text = f"{numbers['done']} of {plural(len(report.tasks), 'statement')} done"
    if saved > 0:
        text += f", {size(saved)} of indexes given back"
    if numbers["gone"]:
        text += f", {numbers['gone']} for what is not there any more"
    if report.failed:
        text += f"; {report.failed} failed: mend what the server says, else they fail again"
    left = report.left - report.failed
    if report.ended is not None:
        text += f"; ended: {report.ended}. {left} left: run the same command again"
    elif left:
        text += f"; {left} left: run the same command again"
    return [*lines, Line(f"{report.table}: {text}.", style="bold")]


MARKS = {"dropped": "dropped ", "left": "LEFT ", "gone": "already gone, ", "listed": ""}
"""What stands before a chunk's name, by what became of it."""


def dropped_lines(found: Dropped, older: str, dry_run: bool) -> list[Line]:
    """The exact list, and what became of it."""
    if not found.listed:
        return [Line(f"{found.table}: no chunk ends before {older}.", style="bold")]
    lines = [
        Line(
            f"{chunk.start_text} to {chunk.end_text}, {size(chunk.total_bytes)}, about "
            f"{round(chunk.relation.estimated_rows):,} rows",
            mark=MARKS[found.state(chunk)] + chunk.relation.name.name + ":",
        )
        for chunk in found.listed
    ]
    for each in found.losses:
        lines.append(Line(each.message, mark=f"{each.rule}, {each.aggregate}:", mark_style="bold yellow"))
        lines.append(Line(each.remedy, indent=2))
    total = size(sum(chunk.total_bytes for chunk in found.listed))
    if found.confirmed:
        text = f"{len(found.dropped)} of {plural(len(found.listed), 'chunk')} dropped"
        if found.left:
            text += (
                f"; {found.left} left, which drop_chunks passed over, as it does over frozen ones "
                "(SELECT _timescaledb_functions.unfreeze_chunk('CHUNK'); and run the same command again)"
            )
        text += f"; ended: {found.ended}. Run the same command again" if found.ended else ""
    elif dry_run:
        text = f"{plural(len(found.listed), 'chunk')}, {total}, would be dropped; nothing was done"
    else:
        text = f"{plural(len(found.listed), 'chunk')}, {total}. Nothing was dropped: "
        accept = "".join(f" --accept {rule}" for rule in dict.fromkeys(each.rule for each in found.losses))
        text += f"--confirm '{found.table}'{accept} drops these, for good"
    return [*lines, Line(""), Line(f"{found.table}: {text}.", style="bold")]
