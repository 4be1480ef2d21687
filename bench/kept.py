"""Kept results: the newest of each case, and what became worse since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from .derived import completed
from .result import Better, Figure, Ratio, Result, from_json

FOLDER = Path(__file__).with_name("results")
SAME_MACHINE = ("processor", "cores", "system")
SAME_PROBE = 0.1
"""Machines whose probes differ by more are not the same, whatever they say of themselves."""


def keep(result: Result, folder: Path = FOLDER) -> Path:
    """Writes the result beside the others."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{result.name}-{result.at.replace(':', '').replace('-', '')}.json"
    path.write_text(result.to_json(), "utf-8")
    return path


def read(folder: Path = FOLDER) -> list[Result]:
    """Every kept result, the oldest first, with what follows from its figures."""
    results = [completed(from_json(path.read_text("utf-8"))) for path in folder.glob("*.json")]
    return sorted(results, key=lambda result: (result.at, result.name))


def newest(results: Iterable[Result]) -> list[Result]:
    """The results without what a newer one of the same name measured anew, case by case; by name, the oldest first. What could
    not be measured of a case is left until the same case was measured later, or could not be again."""
    seen: set[tuple[str, str]] = set()
    newer: dict[str, list[Result]] = {}
    left = []
    for result in sorted(results, key=lambda result: result.at, reverse=True):
        new = {case for case in result.cases if (result.name, case) not in seen}
        seen |= {(result.name, case) for case in new}
        rest = replace(
            result,
            figures=tuple(f for f in result.figures if f.case in new),
            ratios=tuple(r for r in result.ratios if r.case in new),
            curves=tuple(c for c in result.curves if c.case in new),
            missing=tuple(line for line in result.missing if not any(_settles(one, line) for one in newer.get(result.name, []))),
        )
        newer.setdefault(result.name, []).append(result)
        if new or rest.missing:
            left.append(rest)
    return sorted(left, key=lambda result: (result.name, result.at))


def _settles(newer: Result, line: str) -> bool:
    """Whether a newer result says of a case what the line said could not be measured. A line begins with its case, or, where all
    of a server's failed, with the server's title, or the release where it did not start: any case settles that."""
    what = line.partition(": ")[0]
    if "," not in what:
        of_server = [case for case in newer.cases if not what.startswith("PG ") or case.startswith(f"{what}, ")]
        return bool(of_server) or any(other.startswith(f"{what}: ") for other in newer.missing)
    failed_again = any(other.partition(": ")[0] == what for other in newer.missing)
    return failed_again or any(line.startswith(f"{case}: ") for case in newer.cases)


def worse(now: Result, kept: Iterable[Result]) -> list[str]:
    """A line for each ratio that is worse than when it was kept last, by more than either run's own spread, which one round alone
    does not tell; for each figure likewise where the machine is the same and both had several rounds; and for each aim that was
    met then and is missed now."""
    lines = []
    before = [result for result in newest(kept) if result.name == now.name]
    ratios = {(r.case, r.title): (r, old) for old in before for r in old.ratios}
    figures = {(f.case, f.title): (f, old) for old in before for f in old.figures}
    for ratio in now.ratios:
        if (ratio.case, ratio.title) in ratios:
            last, old = ratios[ratio.case, ratio.title]
            grown = _grown(ratio.median, last.median, ratio.better)
            noise = max(ratio.spread, last.spread)
            if grown > noise or (ratio.missed_by and last.missed_by == 0.0):
                lines.append(_line(ratio, last, old, f"{noise:.2f}"))
    for figure in now.figures:
        if (figure.case, figure.title) in figures and figure.better is not None:
            last_figure, old = figures[figure.case, figure.title]
            if not same_machine(now.machine, old.machine):
                continue
            grown = _grown(figure.median, last_figure.median, figure.better) / (last_figure.median or 1.0)
            noise = max(figure.spread, last_figure.spread)
            if (_several(figure, last_figure) and grown > noise) or (figure.missed_by and last_figure.missed_by == 0.0):
                lines.append(_line(figure, last_figure, old, f"{100 * noise:.0f} %"))
    return lines


def same_machine(now: Mapping[str, object], old: Mapping[str, object]) -> bool:
    """Whether seconds of the two can be compared: one description, and probes alike where both have one."""
    probes = [float(str(one["probe_ms"])) for one in (now, old) if "probe_ms" in one]
    alike = len(probes) < 2 or max(probes) <= (1 + SAME_PROBE) * min(probes)
    return alike and all(now.get(key) == old.get(key) for key in SAME_MACHINE)


def _grown(value: float, before: float, better: Better) -> float:
    return value - before if better == "less" else before - value


def _line(now: Figure | Ratio, last: Figure | Ratio, old: Result, noise: str) -> str:
    aim = f"; aim {now.aim:g} missed" if now.missed_by else ""
    unit = f" {now.unit}" if isinstance(now, Figure) and now.unit else ""
    change = f"{now.title}, {now.case}: {number(last.median)} -> {number(now.median)}{unit}"
    if _several(now, last):
        return f"worse than {old.revision}: {change}, spread {noise}{aim}"
    return f"perhaps worse than {old.revision}: {change}, spread unknown (one round){aim}"


def _several(now: Figure | Ratio, last: Figure | Ratio) -> bool:
    """Whether both had more rounds than one: one value alone tells of no spread."""
    return min(len(now.values), len(last.values)) > 1


def rounds(row: Figure | Ratio) -> str:
    """On how many rounds it stands, in words."""
    return "1 round" if len(row.values) == 1 else f"{len(row.values)} rounds"


def number(value: float) -> str:
    """With as many digits as say something: 0.047, 12.3, 51,234."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 0.1 or size == 0 else f"{value:.3f}"


def verdict(row: Figure | Ratio) -> str:
    """Whether the aim is met, in words; '' without one."""
    missed = row.missed_by
    if row.aim is None or missed is None:
        return ""
    sign = "≥" if row.better == "more" else "≤"
    return f"aim {sign} {row.aim:,g}: " + ("met" if missed == 0 else f"MISSED by {100 * missed:.0f} %")
