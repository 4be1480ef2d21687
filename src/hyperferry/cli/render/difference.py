"""What stands between the file and the database, for people and for programs."""

from __future__ import annotations

from typing import Any

from hyperferry.model.difference import Difference, Kind, Step
from hyperferry.reconcile import Report, World
from hyperferry.words import one_line, plural, visible

from .text import Line

_STYLES = {Kind.ADD: "bold green", Kind.CHANGE: "bold yellow", Kind.REMOVE: "bold red"}
_MARKS = {Kind.ADD: "+", Kind.CHANGE: "~", Kind.REMOVE: "-"}


def difference_lines(world: World) -> list[Line]:
    """All of it: refusals, steps, what waits, what is unmanaged, what is as it should be; and what that comes to."""
    found = world.difference
    server = world.server
    lines = [Line(f"TimescaleDB {server.timescaledb}, {server.edition} edition", mark=str(found.table))]
    for refusal in found.refusals:
        lines += [
            Line(""),
            Line(refusal.message, mark=f"refused {refusal.rule}:", mark_style="bold red"),
            Line(refusal.remedy, indent=2),
        ]
    for step in found.steps:
        lines += _step_lines(step)
    if found.later:
        lines += [Line(""), Line("After the cutover:", style="bold")]
        lines += [Line(step.what, indent=2, mark=step.key) for step in found.later]
    if found.unmanaged:
        lines += [Line(""), Line("Not mentioned in the file, and left alone:", style="bold")]
        lines += [Line(each.what, indent=2, mark=each.key) for each in found.unmanaged]
    if found.same:
        lines += [Line(""), Line("As the file wants it:", style="bold")]
        lines += [Line(each, indent=2, style="dim") for each in found.same]
    lines += [Line(f"{key} is not there: nothing to prune") for key in found.absent]
    lines += [Line(""), Line(_summary(world), style="bold")]
    return lines


def _step_lines(step: Step) -> list[Line]:
    lines = [
        Line(""),
        Line(step.what, mark=f"{_MARKS[step.kind]} {step.key}:", mark_style=_STYLES[step.kind]),
    ]
    lines.append(Line(step.why, indent=2))
    lines += [Line(note, indent=2) for note in step.notes]
    lines += [Line(f"{text};", indent=4, style="cyan") for text in step.texts]
    how = "one transaction" if step.transactional else "chunk by chunk, taken up again after an interruption"
    if step.work.value == "refresh":
        how = "in windows, taken up again after an interruption"
    lines.append(Line(f"{how}. Locks: {step.lock}.", indent=2, style="dim"))
    lines.append(Line(f"back: {step.back or 'there is none'}", indent=2, style="dim"))
    if step.confirm is not None and step.confirm.drops is not None:
        lines.append(_wants(f"drops rows: apply wants --confirm-drop {len(step.confirm.drops.chunks)}"))
        if step.confirm.drops.tiered:
            lines.append(_wants("drops tiered chunks too: how many is not known, and they are not among that number"))
        for loss in step.confirm.drops.losses:
            lines += [
                _wants(f"{loss.aggregate} loses rows: apply wants --accept {loss.rule}"),
                Line(f"{loss.message}; {loss.remedy}", indent=4),
            ]
    if step.confirm is not None and step.confirm.aggregate is not None:
        lines.append(_wants(f"drops rows: apply wants --confirm-drop-aggregate '{step.confirm.aggregate}'"))
    if step.confirm is not None and step.confirm.blocks:
        lines.append(_wants("keeps writers waiting: apply wants --may-block"))
    return lines


def _wants(text: str) -> Line:
    return Line(text, indent=2, style="bold red")


def _summary(world: World) -> str:
    found = world.difference
    if found.empty and found.later:
        return f"No difference that may be seen to before the cutover; {plural(len(found.later), 'step')} wait for it."
    if found.empty:
        return "No difference: the database is as the file wants it."
    if found.refusals:
        counted = f"{plural(len(found.refusals), 'refusal')}, {plural(len(found.steps), 'step')}"
        return f"{counted}. Nothing is applied until the refusals are gone."
    return f"{plural(len(found.steps), 'step')} between; `hyperferry apply` does them."


def sql_text(found: Difference) -> str:
    """The statements in order, each with a comment."""
    lines = [
        f"-- What stands between the file and {one_line(str(found.table))}, in order.",
        "-- Index builds and first refreshes are done chunk by chunk, or in windows; here as one statement each.",
    ]
    lines += [f"-- refused ({each.rule}): {one_line(each.message)}" for each in found.refusals]
    for step in found.steps:
        lines.append(f"\n-- {one_line(f'{step.key}: {step.what}')}")
        lines += [f"{text};" for text in step.texts]
    return visible("\n".join(lines))


def difference_json(world: World) -> dict[str, Any]:
    """As other programs read it."""
    found = world.difference
    return {
        "table": str(found.table),
        "timescaledb": world.server.timescaledb,
        "edition": world.server.edition,
        "same": found.empty,
        "steps": [step_json(step) for step in found.steps],
        "later": [step_json(step) for step in found.later],
        "refusals": [
            {"rule": each.rule, "key": each.key, "message": each.message, "remedy": each.remedy}
            for each in found.refusals
        ],
        "unmanaged": [
            {"key": each.key, "what": each.what, "removable": each.removable} for each in found.unmanaged
        ],
        "as_wanted": list(found.same),
    }


def step_json(step: Step) -> dict[str, Any]:
    """One step."""
    drops = step.confirm.drops if step.confirm is not None else None
    return {
        "key": step.key,
        "kind": step.kind.value,
        "what": step.what,
        "why": step.why,
        "sql": list(step.texts),
        "transactional": step.transactional,
        "lock": step.lock,
        "reversible": step.back is not None,
        "back": step.back,
        "notes": list(step.notes),
        "keeps_waiting": step.confirm is not None and step.confirm.blocks,
        "drops": None
        if drops is None
        else {
            "chunks": [str(each) for each in drops.chunks],
            "rows": drops.rows,
            "rows_exact": drops.exact,
            "until": drops.until,
            "tiered": drops.tiered,
            "losses": [
                {"aggregate": str(each.aggregate), "rule": each.rule, "message": each.message, "remedy": each.remedy}
                for each in drops.losses
            ],
        },
        "drops_aggregate": str(step.confirm.aggregate)
        if step.confirm is not None and step.confirm.aggregate is not None
        else None,
    }


def applied_lines(report: Report) -> list[Line]:
    """What was done."""
    lines = [
        Line(step.what, mark=f"{_MARKS[step.kind]} {step.key}:", mark_style=_STYLES[step.kind])
        for step in report.done
    ]
    later = report.left.later if report.left is not None else ()
    lines += [Line(f"after the cutover: {step.what}", style="dim") for step in later]
    done = f"{plural(len(report.done), 'step')} done" if report.done else "Nothing to do"
    return [
        *lines,
        Line(
            f"{done}: {report.table} is as the file wants it{' until the cutover' if later else ''}.",
            style="bold",
        ),
    ]


def applied_json(report: Report) -> dict[str, Any]:
    """What was done, for other programs."""
    left = report.left
    return {
        "table": str(report.table),
        "applied": [step_json(step) for step in report.done],
        "same": left is not None and left.empty,
        "later": [step_json(step) for step in left.later] if left is not None else [],
    }
