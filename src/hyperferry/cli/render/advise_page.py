"""Advice as one self-contained HTML page: no script, nothing loaded from elsewhere, every text escaped."""

from __future__ import annotations

from html import escape

from hyperferry.model.advice import Advice, Bar, Recommendation
from hyperferry.words import count, size

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:65em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
pre{background:#f6f6f6;padding:.7em;overflow:auto;font-size:12.5px;white-space:pre-wrap}
section{border-top:2px solid #ddd;margin-top:1.5em}
.warning{border-left:4px solid #9a6700;padding-left:.8em}.but{color:#9a6700}.not{color:#666}
svg text{font:11px system-ui,sans-serif;fill:#444}rect{fill:#6fa8dc}footer{margin-top:3em;color:#666}
@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}pre{background:#22252b}svg text{fill:#bbb}
td,th,section{border-color:#444}.but,.warning{color:#e0a458}}
"""
WIDTH, HEIGHT, LEFT, FOOT = 900, 220, 70, 34


def page(advice: Advice) -> str:
    """The page. No value of the table is on it, but for times."""
    title = f"Advice on {advice.table}"
    body = [
        f"<h1>{escape(title)}</h1><p>by {escape(advice.time_column)}</p>",
        _facts(advice),
        _plot(advice),
        *(
            f'<p class="warning"><b>Warning:</b> {escape(each.message)}.<br>What to do: {escape(each.remedy)}</p>'
            for each in advice.cautions
        ),
        *map(_section, advice.recommendations),
        f"<section><h2>hyperferry.toml</h2><pre>{escape(advice.toml)}</pre></section>",
        f"<section><h2>What was read</h2><ul>{''.join(f'<li>{escape(text)}</li>' for text in advice.read)}</ul></section>",
        "<footer>hyperferry advise</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _facts(advice: Advice) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in advice.facts)
    return f"<table>{rows}</table>"


def _section(each: Recommendation) -> str:
    says = bool(each.toml or each.action)
    reasons = "".join(f"<li>{escape(text)}</li>" for text in each.reason)
    numbers = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in each.numbers
    )
    but = f'<p class="but">But: {escape(each.unavailable)}.</p>' if each.unavailable is not None else ""
    action = f"<p>What to do:</p><pre>{escape(each.action)}</pre>" if each.action else ""
    toml = f"<pre>{escape(each.toml)}</pre>" if each.toml else ""
    table = f"<details><summary>Numbers</summary><table>{numbers}</table></details>" if numbers else ""
    return (
        f"<section><h2{'' if says else ' class=not'}>{escape(each.title)}</h2>"
        f"<ul>{reasons}</ul>{but}{action}{toml}{table}</section>"
    )


def _plot(advice: Advice) -> str:
    """A bar for each stretch of the time; rows on the left, times below."""
    if not advice.bars:
        return "<p>No row with a time was seen.</p>"
    most = max(bar.rows for bar in advice.bars) or 1.0
    step = (WIDTH - LEFT) / len(advice.bars)
    drawn = "".join(_bar(advice, bar, n, step, most) for n, bar in enumerate(advice.bars))
    every = max(1, -(-len(advice.bars) // 6))
    labels = "".join(
        f'<text x="{LEFT + n * step:.1f}" y="{HEIGHT + 16}">{escape(advice.axis.place_words(bar.start))}</text>'
        for n, bar in enumerate(advice.bars)
        if n % every == 0
    )
    scale = f'<text x="0" y="12">{count(round(most))}</text><text x="0" y="{HEIGHT}">0 rows</text>'
    fullest = size(max(bar.bytes for bar in advice.bars))
    words = f"Rows for each {advice.axis.width_words(advice.bar_width)}; the fullest holds {fullest}"
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT + FOOT}" width="{WIDTH}" role="img" aria-label="{escape(words)}">'
        f"{drawn}{labels}{scale}</svg><figcaption>{escape(words)}.</figcaption></figure>"
    )


def _bar(advice: Advice, bar: Bar, n: int, step: float, most: float) -> str:
    height = bar.rows / most * (HEIGHT - 20)
    if bar.rows > 0:
        height = max(height, 1.0)
    tip = f"{advice.axis.place_words(bar.start)}: {count(round(bar.rows))} rows, {size(bar.bytes)}"
    return (
        f'<rect x="{LEFT + n * step:.1f}" y="{HEIGHT - height:.1f}" width="{max(step - 1, 0.5):.1f}" height="{height:.1f}">'
        f"<title>{escape(tip)}</title></rect>"
    )
