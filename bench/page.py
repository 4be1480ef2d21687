"""One self-contained HTML page over all kept results: a table and bars for the newest of each name."""

from __future__ import annotations

from html import escape
from pathlib import Path

from .result import Figure, Result, from_json

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.missed{color:#b00}.met{color:#070}svg text{font:12px system-ui}"
)


def render(folder: Path) -> str:
    """The page for every kept result in the folder."""
    newest: dict[str, Result] = {}
    for path in sorted(folder.glob("*.json")):
        result = from_json(path.read_text("utf-8"))
        newest[result.name] = result
    body = "".join(_section(result) for result in newest.values())
    return f"<!doctype html><meta charset=utf-8><title>hyperferry: figures</title><style>{STYLE}</style>{body}\n"


def _section(result: Result) -> str:
    facts = {**result.machine, "revision": result.revision, "measured": result.at}
    about = "; ".join(f"{escape(str(k))}: {escape(str(v))}" for k, v in facts.items())
    servers = "".join(
        f"<p>{escape(name)}: {escape(', '.join(f'{k} {v}' for k, v in settings.items()))}</p>"
        for name, settings in result.servers.items()
    )
    cases = dict.fromkeys(figure.case for figure in result.figures)
    bars = "".join(_bars(case, [f for f in result.figures if f.case == case]) for case in cases)
    return f"<h1>{escape(result.name)}</h1><p>{about}</p>{servers}{_ratios(result)}{bars}"


def _ratios(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{escape(r.case)}</td><td>{escape(r.who)} / {escape(r.over)}</td><td>{r.median:.2f}</td>"
        f"<td>{r.spread:.2f}</td><td class={'missed' if r.met is False else 'met'}>{'' if r.aim is None else r.aim}</td></tr>"
        for r in result.ratios
    )
    return f"<table><tr><th>case<th>ratio<th>median<th>spread<th>aim</tr>{rows}</table>" if rows else ""


def _bars(case: str, figures: list[Figure]) -> str:
    longest = max(max(f.values) for f in figures) or 1.0
    width, line = 520, 22
    rows = []
    for number, figure in enumerate(figures):
        y = number * line
        low, high = (width * value / longest for value in (min(figure.values), max(figure.values)))
        rows.append(
            f'<text x="0" y="{y + 15}">{escape(figure.who)}</text>'
            f'<rect x="280" y="{y + 4}" width="{width * figure.median / longest:.1f}" height="14" fill="#69c"/>'
            f'<line x1="{280 + low:.1f}" x2="{280 + high:.1f}" y1="{y + 11}" y2="{y + 11}" stroke="#024"/>'
            f'<text x="{290 + high:.1f}" y="{y + 15}">{figure.median:.2f} {escape(figure.unit)}</text>'
        )
    return (
        f"<h3>{escape(case)}</h3><svg width='900' height='{line * len(figures) + 6}' role='img' "
        f"aria-label='{escape(case)}'>{''.join(rows)}</svg>"
    )
