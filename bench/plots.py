"""Plots as inline SVG: bars for figures, lines for curves. No script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .kept import number
from .result import Curve, Figure

WIDTH, NAMES, LINE, HEIGHT = 420, 330, 20, 200
COLOURS = ("#36c", "#c60", "#393", "#a3a", "#09a", "#a22")


def bars(title: str, figures: Sequence[Figure]) -> str:
    """A bar for each figure's median, a thin line from its smallest value to its largest, and a dashed one at the aim."""
    aims = [figure.aim for figure in figures if figure.aim is not None]
    longest = max([*(value for figure in figures for value in figure.values), *aims, 1e-12])
    scale = WIDTH / longest
    rows = []
    for place, figure in enumerate(figures):
        y = place * LINE
        low, high = (NAMES + scale * value for value in (min(figure.values), max(figure.values)))
        rows.append(
            f'<text x="0" y="{y + 14}">{escape(figure.who)}</text>'
            f'<rect x="{NAMES}" y="{y + 3}" width="{scale * figure.median:.1f}" height="13" fill="#69c"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 10}" y2="{y + 10}" stroke="#024"/>'
            f'<text x="{high + 8:.1f}" y="{y + 14}">{number(figure.median)} {escape(figure.unit)}</text>'
        )
        if figure.aim is not None:
            x = NAMES + scale * figure.aim
            rows.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + LINE}" stroke="#b00" stroke-dasharray="3 2"/>'
            )
    return _svg(title, NAMES + WIDTH + 170, LINE * len(figures) + 6, "".join(rows))


def lines(title: str, curves: Sequence[Curve]) -> str:
    """The curves of one unit in one frame, over seconds."""
    right = max([x for curve in curves for x, _ in curve.points] + [1e-12])
    top = max([y for curve in curves for _, y in curve.points] + [1e-12])
    left, width = 90, WIDTH + 200
    body = [
        f'<path d="M{left} 5V{HEIGHT}H{left + width}" fill="none" stroke="#888"/>',
        f'<text x="0" y="16">{number(top)}</text><text x="0" y="32">{escape(curves[0].unit)}</text>',
        f'<text x="{left + width - 30}" y="{HEIGHT + 16}">{number(right)} s</text>',
    ]
    for place, curve in enumerate(curves):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(
            f"{left + width * x / right:.1f},{HEIGHT - (HEIGHT - 8) * y / top:.1f}" for x, y in curve.points
        )
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        body.append(
            f'<text x="{left + 10 + 210 * place}" y="{HEIGHT + 34}" fill="{colour}">{escape(curve.who)}</text>'
        )
    return _svg(title, left + width + 20, HEIGHT + 42, "".join(body))


def _svg(title: str, width: float, height: float, body: str) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" aria-label="{escape(title)}">{body}</svg>'
