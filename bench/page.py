"""One self-contained HTML page over all kept results: aims, tables and plots of the newest figures of each case."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from .kept import newest, number, rounds, verdict
from .plots import bars, lines
from .result import Figure, Ratio, Result
from .words import case as words_for

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#111;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.15em .8em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.missed{color:#b00}.met{color:#060}svg{max-width:100%;display:block}"
    "svg text{font:12px system-ui}small{color:#555}"
)


def render(results: Sequence[Result]) -> str:
    """The page for these kept results."""
    body = "".join(
        f"<h1>{escape(words_for(name).title)}</h1><p>{escape(words_for(name).about)}</p>"
        + "".join(map(_section, own))
        for name, own in groupby(newest(results), key=lambda result: result.name)
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>hyperferry: figures</title><style>{STYLE}</style>"
        f"{body or '<p>Nothing is kept yet.</p>'}</html>\n"
    )


def _section(result: Result) -> str:
    facts = {"measured": result.at, "revision": result.revision, **result.machine}
    about = "; ".join(f"{escape(str(key))}: {escape(str(value))}" for key, value in facts.items())
    servers = "".join(
        f"<br>{escape(name)}: {escape(', '.join(f'{key} {value}' for key, value in settings.items()))}"
        for name, settings in result.servers.items()
    )
    missing = "".join(f'<p class="missed">Not measured: {escape(line)}</p>' for line in result.missing)
    cases = "".join(_case(result, case) for case in result.cases)
    return f"<p><small>{about}{servers}</small></p>{missing}{cases}"


def _case(result: Result, case: str) -> str:
    figures = [figure for figure in result.figures if figure.case == case]
    ratios = [ratio for ratio in result.ratios if ratio.case == case]
    curves = [curve for curve in result.curves if curve.case == case]
    parts = [f"<h3>{escape(case)}</h3>"]
    for heading in dict.fromkeys(figure.heading for figure in figures):
        own = [figure for figure in figures if figure.heading == heading]
        parts.append(f"<h4>{escape(heading)}</h4>{bars(f'{case}: {heading}', own)}{_judged(own)}")
    if curves:
        parts.append(lines(case, curves))
    return "".join(parts) + _ratios(ratios)


def _judged(figures: Sequence[Figure]) -> str:
    rows = "".join(f"<tr><td>{escape(f.label)}<td>{_rounds(f)}{_verdict(f)}</tr>" for f in figures if f.aim is not None)
    return rows and f"<table>{rows}</table>"


def _ratios(ratios: Sequence[Ratio]) -> str:
    rows = "".join(
        f"<tr><td>{escape(r.title)}<td>{number(r.median)}<td>{_rounds(r)}{_verdict(r)}</tr>"
        for r in ratios
    )
    return rows and f"<table><tr><th>ratio<th>median<th>rounds<th>aim</tr>{rows}</table>"


def _rounds(row: Figure | Ratio) -> str:
    """How many there were, and from what to what their values are."""
    return rounds(row) + (f": {number(min(row.values))} to {number(max(row.values))}" if len(row.values) > 1 else "")


def _verdict(row: Figure | Ratio) -> str:
    return f'<td class="{"missed" if row.missed_by else "met"}">{escape(verdict(row))}'
