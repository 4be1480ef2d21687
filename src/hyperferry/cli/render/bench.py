"""A benchmark, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import RenderableType
from rich.table import Table

from hyperferry.benchmark.causes import OTHER_ROWS, OTHER_SETTINGS, PLANNED_ONCE
from hyperferry.benchmark.draw import HOLD_NULL
from hyperferry.benchmark.figures import median, p95, telling_runs
from hyperferry.benchmark.options import Measured, Outcome, Report, Run, Side, Verdict
from hyperferry.words import count, duration, plural, visible

from .text import Line

STYLES = {
    Verdict.SLOWER: "bold red",
    Verdict.FAILED: "bold red",
    Verdict.UNCLEAR: "bold yellow",
    Verdict.NOT_MEASURED: "bold yellow",
    Verdict.FASTER: "bold green",
}
TELLING = (OTHER_ROWS, OTHER_SETTINGS, HOLD_NULL, PLANNED_ONCE)
"""Notes that count whatever the verdict."""
SHOWN_LINES = 30
PLAN_WIDTH = 90


def bench_lines(report: Report) -> list[Line | RenderableType]:
    """What was compared, a table of the queries, the losers with cause, remedy and both plans, and what was left out."""
    lines: list[Line | RenderableType] = [Line(f"{report.compared}, {report.server}", mark=report.table)]
    lines += [
        Line(text, indent=2, mark=side.label) for side in (report.before, report.after) if side for text in [about(side)]
    ]
    lines.append(_table(report))
    for outcome in report.outcomes:
        lines += _outcome(outcome, report.runs)
    for each in report.left_out:
        lines.append(Line(f"{each.name}: {each.reason}", mark="left out", mark_style="bold yellow"))
        lines.append(Line(f"{each.remedy}.", indent=2, mark="What to do:"))
    lines += [Line(text, mark="note") for text in report.notes]
    lines.append(Line(report.cold, mark="cold runs"))
    lines.append(_verdict(report))
    return lines


def about(side: Side) -> str:
    """A side in words."""
    chunks = f", {plural(side.chunk_count, 'chunk')} of {side.chunk_interval}" if side.chunks is not None else ""
    rows = f"about {count(side.rows)} rows" if side.rows >= 0 else "an unknown number of rows"
    return f"{side.name}, {rows}{chunks}"


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("query", overflow="fold")
    for name in ("verdict", "ratio", "median ms", "p95 ms", "planning ms", "execution ms", "pages", "chunks read"):
        table.add_column(name, justify="left" if name == "verdict" else "right")
    cold = any(each is not None and each.cold for o in report.outcomes for each in (o.before, o.after))
    if cold:
        table.add_column("cold ms", justify="right")
    for outcome in report.outcomes:
        both = (outcome.before, outcome.after)
        table.add_row(
            visible(outcome.query.name),
            outcome.verdict.value,
            "" if outcome.ratio is None else f"{outcome.ratio:.2f}",
            _pair(both, lambda m: number(median(m.runs, lambda r: r.total_ms))),
            _pair(both, lambda m: number(p95([run.total_ms for run in m.runs]))),
            _pair(both, lambda m: number(median(m.runs, lambda r: r.planning_ms))),
            _pair(both, lambda m: number(median(m.runs, lambda r: r.execution_ms))),
            _pair(both, lambda m: count(round(median(m.runs, _pages)))),
            chunks(outcome.after, report.after),
            *([_pair(both, lambda m: number(median(m.cold, lambda r: r.total_ms)), lambda m: m.cold)] if cold else []),
            style=STYLES.get(outcome.verdict, ""),
        )
    return table


def _pages(run: Run) -> float:
    return run.hit + run.read


def _pair(
    both: tuple[Measured | None, Measured],
    of: Callable[[Measured], str],
    runs: Callable[[Measured], Sequence[Run]] = lambda measured: measured.runs,
) -> str:
    return " → ".join(of(each) if runs(each) else "-" for each in both if each is not None)


def number(milliseconds: float) -> str:
    """Milliseconds with as many digits as mean something, without the unit."""
    return (
        f"{milliseconds:.2f}"
        if milliseconds < 10
        else f"{milliseconds:.1f}"
        if milliseconds < 100
        else f"{milliseconds:,.0f}"
    )


def chunks(measured: Measured, side: Side) -> str:
    """Chunks read of how many."""
    if side.chunks is None or not measured.runs:
        return ""
    return f"{median(measured.runs, lambda r: r.chunks):.0f} of {side.chunk_count}"


def _outcome(outcome: Outcome, runs: int) -> list[Line | RenderableType]:
    lines: list[Line | RenderableType] = []
    telling = [text for text in outcome.notes if any(part in text for part in TELLING)]
    wrong = outcome.verdict in (Verdict.SLOWER, Verdict.FAILED, Verdict.UNCLEAR, Verdict.NOT_MEASURED)
    if wrong:
        lines.append(Line(outcome.query.name, mark=outcome.verdict.value, mark_style=STYLES[outcome.verdict]))
        said = {cause.words for cause in outcome.causes}
        errors = [each.error for each in (outcome.before, outcome.after) if each is not None and each.error]
        lines += [Line(error, indent=2) for error in errors if error not in said]
    for cause in outcome.causes:
        lines.append(Line(f"{cause.words}.", indent=2, mark=f"{cause.code}:"))
        lines.append(Line(cause.remedy, indent=4, mark="What to do:"))
    if outcome.verdict is Verdict.UNCLEAR:
        unclear = f"figures are beyond the threshold, but too few runs agree on it; {_what_tells(outcome, runs)}"
        lines.append(Line(unclear, indent=2))
    if outcome.causes and any(each is not None and each.shape is not None for each in (outcome.before, outcome.after)):
        lines.append(_plans(outcome))
    elif telling and not wrong:
        lines.append(Line(outcome.query.name, mark=outcome.verdict.value, mark_style=STYLES.get(outcome.verdict, "")))
    lines += [Line(text, indent=2, mark="note") for text in (outcome.notes if wrong else telling)]
    return lines


def _what_tells(outcome: Outcome, runs: int) -> str:
    """What to do where too few of `runs` runs on each side agree."""
    sets = max(1, len(outcome.query.drawn))
    wanted = telling_runs(sets)
    if runs < wanted:
        return f"measure with --runs {wanted}, which tell a loss of one of {plural(sets, 'set')} of values from chance"
    kept = len(outcome.before.runs) if outcome.before is not None else runs
    if kept < wanted:
        return f"before has {plural(kept, 'run')} of it; where it can be measured again, keep it with --runs {wanted}"
    return "measure again while less else is at work, or with more --runs"


def _plans(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 2))
    sides = [each for each in (outcome.before, outcome.after) if each is not None]
    for name in ("before", "after")[: len(sides)]:
        table.add_column(name, overflow="fold", max_width=PLAN_WIDTH)
    texts = []
    for each in sides:
        found = list(each.shape.lines) if each.shape is not None else []
        if len(found) > SHOWN_LINES:
            found = [*found[:SHOWN_LINES], f"... and {len(found) - SHOWN_LINES} lines more (--json, --html)"]
        texts.append("\n".join(visible(line) for line in found))
    table.add_row(*texts)
    return table


def _verdict(report: Report) -> Line:
    counts = [(v, sum(outcome.verdict is v for outcome in report.outcomes)) for v in Verdict]
    said = ", ".join(f"{n} {v.value}" for v, n in counts if n)
    left = f", {len(report.left_out)} left out" if report.left_out else ""
    text = f"{plural(len(report.outcomes), 'query').replace('querys', 'queries')}: {said}{left} ({duration(report.seconds)})."
    asked = len(report.outcomes) + len(report.left_out)
    missed = len(report.left_out) + sum(outcome.verdict is Verdict.NOT_MEASURED for outcome in report.outcomes)
    if missed:
        text += f" Not measured: {missed} of {plural(asked, 'query').replace('querys', 'queries')}."
    return Line(text, style="bold red" if report.failed else "bold yellow" if missed else "bold green")
