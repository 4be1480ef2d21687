"""Advice, for people and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.table import Table

from hyperferry.model.advice import Advice, Recommendation
from hyperferry.words import count, plural, size, visible

from .text import Line

BAR = 50
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def advice_lines(advice: Advice) -> list[Line | RenderableType]:
    """What was found, the histogram, the warnings, the recommendations, and what was read."""
    lines: list[Line | RenderableType] = [Line(f"by {advice.time_column}", mark=advice.table)]
    lines += [Line(text, indent=2, mark=f"{name}:", mark_style="dim") for name, text in advice.facts]
    if advice.bars:
        lines.append(Line(""))
        lines.append(_histogram(advice))
    for caution in advice.cautions:
        lines.append(Line(""))
        lines.append(Line(f"{caution.message}.", mark="warning", mark_style="bold yellow"))
        lines.append(Line(f"{caution.remedy}", indent=2, mark="What to do:"))
    for each in advice.recommendations:
        lines.append(Line(""))
        lines += _recommendation(each)
    lines.append(Line(""))
    lines += [Line(f"{text}.", mark="read:", mark_style="dim") for text in advice.read]
    worth = sum(bool(each.toml or each.action) for each in advice.recommendations)
    lines.append(
        Line(
            f"{plural(worth, 'recommendation')}, {plural(len(advice.cautions), 'warning')}; `--toml` prints the lines for "
            "hyperferry.toml alone.",
            style="bold green" if not advice.cautions else "bold yellow",
        )
    )
    return lines


def _recommendation(each: Recommendation) -> list[Line]:
    says = bool(each.toml or each.action)
    mark, style = ("→", "bold green") if says else ("-", "dim")
    lines = [Line(each.title, style="bold" if says else "", mark=mark, mark_style=style)]
    lines += [Line(text, indent=4, mark="·", mark_style="dim") for text in each.reason]
    if each.unavailable is not None:
        lines.append(Line(f"{each.unavailable}.", indent=4, mark="but", mark_style="bold yellow"))
    if each.action:
        lines.append(Line(each.action, indent=4, mark="What to do:"))
    lines += [Line(text, indent=6, style="cyan") for text in each.toml.splitlines()]
    return lines


def _histogram(advice: Advice) -> Table:
    most = max(bar.rows for bar in advice.bars) or 1.0
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"from ({advice.axis.width_words(advice.bar_width)} a bar)")
    table.add_column("rows", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("", no_wrap=True)
    for bar in advice.bars:
        table.add_row(
            visible(advice.axis.place_words(bar.start)),
            count(round(bar.rows)),
            size(bar.bytes),
            _bar(bar.rows / most),
        )
    return table


def _bar(part: float) -> str:
    eighths = round(part * BAR * 8)
    if part > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def advice_json(advice: Advice) -> dict[str, Any]:
    """`table`, `time_column`, `facts`, `recommendations`, `warnings`, `histogram`, `read`, `toml`."""
    return {
        "table": advice.table,
        "time_column": advice.time_column,
        "unit": advice.axis.unit,
        "facts": [{"name": name, "text": text} for name, text in advice.facts],
        "recommendations": [
            {
                "rule": each.rule,
                "title": each.title,
                "recommended": bool(each.toml or each.action),
                "reason": list(each.reason),
                "numbers": dict(each.numbers),
                "toml": each.toml,
                "action": each.action,
                "unavailable": each.unavailable,
            }
            for each in advice.recommendations
        ],
        "warnings": [
            {"rule": each.rule, "message": each.message, "remedy": each.remedy} for each in advice.cautions
        ],
        "histogram": {
            "width": advice.bar_width,
            "bars": [
                {
                    "start": bar.start,
                    "from": advice.axis.place_words(bar.start),
                    "rows": round(bar.rows),
                    "bytes": round(bar.bytes),
                }
                for bar in advice.bars
            ],
        },
        "read": list(advice.read),
        "toml": advice.toml,
    }
