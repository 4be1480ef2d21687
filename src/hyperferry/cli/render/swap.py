"""A cutover or a rollback, done or tried dry, for people."""

from __future__ import annotations

from collections.abc import Sequence

from hyperferry.db.locks import Blocker
from hyperferry.model.report import SwapReport
from hyperferry.model.statement import Statement
from hyperferry.words import milliseconds, one_line, plural

from .text import Line


def swap_lines(table: str, report: SwapReport) -> list[Line]:
    """What the swap measured."""
    lines = [
        Line(f"{report.phase}", mark=table, style="bold green"),
        Line(
            f"no writer waited longer than {milliseconds(report.stall_ms)}; "
            f"{plural(report.attempts, 'attempt')}, "
            f"{plural(report.changes_under_lock, 'change')} applied under the lock",
            indent=2,
            mark="stall",
        ),
    ]
    lines += [Line(message, indent=2) for message in report.messages]
    return lines


def preview_lines(
    table: str, statements: Sequence[Statement], blockers: Sequence[Blocker], refusals: Sequence[str]
) -> list[Line]:
    """What a cutover would do now, who is in its way, and why it would be refused."""
    lines = [Line("what the cutover would do, in one transaction:", mark=table)]
    for statement in statements:
        lines.append(Line(f"-- {one_line(statement.comment)}", indent=2, style="dim"))
        lines.append(Line(f"{statement.text};", indent=2))
    lines.append(Line(""))
    if blockers:
        lines.append(
            Line(
                "in its way now (each attempt waits a moment only, and is tried again):", style="bold yellow"
            )
        )
        lines += [Line(str(blocker), indent=2) for blocker in blockers]
    else:
        lines.append(Line("nobody is in its way now."))
    if refusals:
        lines.append(Line("it would be refused:", style="bold red"))
        lines += [Line(refusal, indent=2) for refusal in refusals]
    else:
        lines.append(Line("nothing speaks against it.", style="bold green"))
    return lines
