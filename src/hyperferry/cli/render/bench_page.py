"""A benchmark as one self-contained HTML page: no script, nothing loaded from elsewhere, every text escaped."""

from __future__ import annotations

from html import escape

from hyperferry.benchmark.figures import median, p95
from hyperferry.benchmark.options import Measured, Outcome, Report, Verdict

from .bench import about, chunks, number

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}.slower,.failed{color:#b00020;font-weight:600}.faster{color:#0a6b2d}
.unclear,.not{color:#9a6700}pre{background:#f6f6f6;padding:.7em;overflow:auto;margin:0;font-size:12.5px;white-space:pre-wrap}
.plans{display:grid;grid-template-columns:1fr 1fr;gap:1em}section{border-top:2px solid #ddd;margin-top:2em}
svg text{font:12px system-ui,sans-serif;fill:#444}dt{font-weight:600}dd{margin:0 0 .6em 1.5em}footer{margin-top:3em;color:#666}
@media(max-width:50em){.plans{grid-template-columns:1fr}}@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}
pre{background:#22252b}svg text{fill:#bbb}td,th,section{border-color:#444}.slower,.failed{color:#ff7a85}.faster{color:#5fd38a}}
"""
WIDTH, LEFT, LINE = 640, 90, 34


def page(report: Report) -> str:
    """The page. The values drawn from the table are not on it."""
    title = f"Queries on {report.table}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(report.compared)}; {escape(report.server)}; measured {escape(report.at)}: {report.runs} runs of each "
        f"query on each side in turn, {report.draws} sets of values by seed {report.seed}, "
        f"{escape(report.plans)} plans. A query fails that "
        f"is slower by more than {report.threshold:g} % (and {report.ignored:g} ms). Cold runs: {escape(report.cold)}.</p>",
        *(f"<p>{escape(side.label)}: {escape(about(side))}</p>" for side in (report.before, report.after) if side is not None),
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        _summary(report),
        *(_section(number_, outcome, report) for number_, outcome in enumerate(report.outcomes, 1)),
        _left_out(report),
        "<footer>hyperferry bench. Times are planning and execution by EXPLAIN ANALYZE, without the way to the client.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _summary(report: Report) -> str:
    rows = "".join(
        f'<tr><td><a href="#q{n}">{escape(each.query.name)}</a></td><td class="{_class(each.verdict)}">{each.verdict.value}</td>'
        f"<td>{'' if each.ratio is None else f'{each.ratio:.2f}'}</td><td>{_figures(each.before)}</td>"
        f"<td>{_figures(each.after)}</td>"
        f"<td>{chunks(each.after, report.after)}</td></tr>"
        for n, each in enumerate(report.outcomes, 1)
    )
    head = "<th>query<th>verdict<th>ratio<th>before: median, p95<th>after: median, p95<th>chunks read"
    return f"<table><tr>{head}</tr>{rows}</table>"


def _class(verdict: Verdict) -> str:
    return verdict.value.split()[0]


def _figures(measured: Measured | None) -> str:
    if measured is None or not measured.runs:
        return "" if measured is None else escape(measured.error or "")
    times = [run.total_ms for run in measured.runs]
    return f"{number(median(measured.runs, lambda r: r.total_ms))}, {number(p95(times))} ms"


def _section(n: int, outcome: Outcome, report: Report) -> str:
    query = outcome.query
    sides = [(name, each) for name, each in (("before", outcome.before), ("after", outcome.after)) if each is not None]
    values = "".join(
        f"<br>${number_}: <code>{escape(v.expression)}</code>{f' ({escape(v.assumed)})' if v.assumed else ''}"
        for number_, v in sorted(query.values.items())
    )
    why = "".join(f"<dt>{escape(each.words)}</dt><dd>What to do: {escape(each.remedy)}</dd>" for each in outcome.causes)
    words = {cause.words for cause in outcome.causes}
    errors = [each.error for _, each in sides if each.error and each.error not in words]
    said = "".join(f"<p>{escape(text)}</p>" for text in [*errors, *outcome.notes])
    plans = "".join(
        f"<div><h4>{name}</h4><pre>{escape(chr(10).join(each.shape.lines)) if each.shape is not None else ''}</pre></div>"
        for name, each in sides
    )
    return (
        f'<section id="q{n}"><h2>{escape(query.name)}: '
        f'<span class="{_class(outcome.verdict)}">{outcome.verdict.value}</span></h2>'
        f"<pre>{escape(query.sql)}</pre><p>{values.removeprefix('<br>')}</p>{_plot(sides)}"
        f"<dl>{why}</dl>{said}{_table(sides, report)}"
        f'<div class="plans">{plans}</div></section>'
    )


def _table(sides: list[tuple[str, Measured]], report: Report) -> str:
    rows = ""
    for name, each in sides:
        if not each.runs:
            continue
        cold = "" if not each.cold else number(median(each.cold, lambda r: r.total_ms))
        rows += (
            f"<tr><td>{name}</td>"
            + "".join(
                f"<td>{number(median(each.runs, of))}</td>" for of in (lambda r: r.planning_ms, lambda r: r.execution_ms)
            )
            + "".join(
                f"<td>{median(each.runs, of):,.0f}</td>"
                for of in (lambda r: r.hit, lambda r: r.read, lambda r: r.planning_pages)
            )
            + f"<td>{chunks(each, report.after) if name == 'after' else ''}</td><td>{cold}</td></tr>"
        )
    head = (
        "<th><th>planning ms<th>execution ms<th>pages in cache<th>pages read<th>pages to plan<th>chunks read<th>cold ms"
    )
    return f"<table><tr>{head}</tr>{rows}</table>" if rows else ""


def _plot(sides: list[tuple[str, Measured]]) -> str:
    """A line a side: a bar of planning and execution (medians), a dot for each run, a tick at the 95th percentile."""
    drawn = [(name, each) for name, each in sides if each.runs]
    longest = max((run.total_ms for _, each in drawn for run in each.runs), default=0.0) or 1.0
    scale = WIDTH / longest
    parts = []
    for row, (name, each) in enumerate(drawn):
        y = row * LINE + 6
        planning, execution = (
            median(each.runs, lambda r: r.planning_ms) * scale,
            median(each.runs, lambda r: r.execution_ms) * scale,
        )
        tick = LEFT + p95([run.total_ms for run in each.runs]) * scale
        dots = "".join(
            f'<circle cx="{LEFT + run.total_ms * scale:.1f}" cy="{y + 11}" r="2.5" fill="#222" fill-opacity=".55"/>'
            for run in each.runs
        )
        parts.append(
            f'<text x="0" y="{y + 15}">{name}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{planning:.1f}" height="22" fill="#e0a458"/>'
            f'<rect x="{LEFT + planning:.1f}" y="{y}" width="{execution:.1f}" height="22" fill="#6fa8dc"/>{dots}'
            f'<line x1="{tick:.1f}" x2="{tick:.1f}" y1="{y - 2}" y2="{y + 24}" stroke="#b00020" stroke-width="2"/>'
        )
    if not parts:
        return ""
    height = len(parts) * LINE + 22
    text = f"0 to {number(longest)} ms: planning (orange), execution (blue), runs (dots), p95 (red)"
    legend = f'<text x="{LEFT}" y="{height - 4}">{text}</text>'
    return (
        f'<svg viewBox="0 0 {LEFT + WIDTH + 10} {height}" width="{LEFT + WIDTH + 10}" role="img" aria-label="times of the runs">'
        f"{''.join(parts)}{legend}</svg>"
    )


def _left_out(report: Report) -> str:
    rows = "".join(
        f"<dt>{escape(each.name)}: {escape(each.reason)}</dt>"
        f"<dd>What to do: {escape(each.remedy)}.<pre>{escape(each.sql)}</pre></dd>"
        for each in report.left_out
    )
    return f"<section><h2>Left out</h2><dl>{rows}</dl></section>" if rows else ""
