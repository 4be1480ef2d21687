"""A run's figures, ratios and curves, as JSON with a line for each."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

Better = Literal["less", "more"]


@dataclass(frozen=True)
class Figure:
    """One thing measured several times in one run. `case` says on what, `who` and `what` what of whom; `values` in `unit`, of
    which `better` is wanted where one is. `aim`: the most allowed, or the least where more is better."""

    case: str
    who: str
    unit: str
    values: tuple[float, ...]
    what: str = ""
    better: Better | None = None
    aim: float | None = None

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median: what of a difference is noise."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0

    @property
    def label(self) -> str:
        """Its row in a table."""
        return self.who

    @property
    def heading(self) -> str:
        """Its column in a table."""
        return f"{self.what}, {self.unit}" if self.what and self.unit else self.what or self.unit

    @property
    def title(self) -> str:
        """Whom and what, in words."""
        return f"{self.who}: {self.what}" if self.what else self.who

    @property
    def missed_by(self) -> float | None:
        """By which share of the aim it is missed, 0 where it is met; None without one."""
        return missed_by(self.median, self.aim, self.better or "less")


@dataclass(frozen=True)
class Ratio:
    """A figure over another of the same case, as the median of the rounds' own ratios; less is better unless `better` says so.
    `aim` as for a figure."""

    case: str
    who: str
    over: str
    values: tuple[float, ...]
    aim: float | None = None
    what: str = ""
    better: Better = "less"

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Largest less smallest of the run's own rounds."""
        return max(self.values) - min(self.values)

    @property
    def label(self) -> str:
        """Its row in a table."""
        return f"{self.who} over {self.over}"

    @property
    def heading(self) -> str:
        """Its column in a table."""
        return self.what or "ratio"

    @property
    def title(self) -> str:
        """What over what, in words."""
        return self.label + (f", {self.what}" if self.what else "")

    @property
    def missed_by(self) -> float | None:
        """By which share of the aim it is missed, 0 where it is met; None without one."""
        return missed_by(self.median, self.aim, self.better)


@dataclass(frozen=True)
class Curve:
    """Something over time, once: points (seconds, value in `unit`)."""

    case: str
    who: str
    unit: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Measured:
    """What a case found on one server. `missing`: what could not be measured, and why."""

    figures: tuple[Figure, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    curves: tuple[Curve, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """Everything that one run says."""

    name: str
    revision: str
    at: str
    machine: dict[str, object]
    servers: dict[str, dict[str, str]]
    figures: tuple[Figure, ...] = field(default=())
    ratios: tuple[Ratio, ...] = field(default=())
    curves: tuple[Curve, ...] = field(default=())
    missing: tuple[str, ...] = field(default=())

    @property
    def cases(self) -> list[str]:
        """The cases that something was measured of, in order."""
        rows: list[Figure | Ratio | Curve] = [*self.figures, *self.ratios, *self.curves]
        return list(dict.fromkeys(row.case for row in rows))

    @property
    def aimed(self) -> list[Figure | Ratio]:
        """What has an aim."""
        rows: list[Figure | Ratio] = [*self.ratios, *self.figures]
        return [row for row in rows if row.aim is not None]

    def to_json(self) -> str:
        """As text: a line for each figure, ratio and curve, with the median for readers that do not want to derive it."""
        parts = []
        for key, value in asdict(self).items():
            if key in ("figures", "ratios", "curves"):
                rows = [_row(one) for one in getattr(self, key)]
                parts.append(f'"{key}": [' + ",".join(f"\n  {row}" for row in rows) + "\n ]")
            else:
                parts.append(f'"{key}": {json.dumps(value, ensure_ascii=False)}')
        return "{\n " + ",\n ".join(parts) + "\n}\n"


def _row(one: Figure | Ratio | Curve) -> str:
    data = {key: value for key, value in asdict(one).items() if value not in (None, "")}
    if not isinstance(one, Curve):
        data["values"] = [round(value, 4) for value in one.values]
        data["median"] = round(one.median, 4)
    return json.dumps(data, ensure_ascii=False)


def from_json(text: str) -> Result:
    """The inverse of `Result.to_json`."""
    data = json.loads(text)
    for row in (*data["figures"], *data["ratios"]):
        row.pop("median")
        row["values"] = tuple(row["values"])
    figures = tuple(Figure(**{"unit": "", **row}) for row in data.pop("figures"))
    ratios = tuple(Ratio(**row) for row in data.pop("ratios"))
    curves = tuple(
        Curve(c["case"], c["who"], c["unit"], tuple((x, y) for x, y in c["points"]))
        for c in data.pop("curves")
    )
    return Result(**data | {"missing": tuple(data["missing"])}, figures=figures, ratios=ratios, curves=curves)


def missed_by(value: float, aim: float | None, better: Better) -> float | None:
    """By which share of the aim a value misses it: 0 where it does not, None without an aim."""
    if aim is None:
        return None
    return max(0.0, (value - aim if better == "less" else aim - value) / aim)


def ratios_of(figures: Iterable[Figure], who: str, over: str, aim: float | None = None) -> list[Ratio]:
    """`who` over `over`, for each case and each thing measured of both equally often."""
    by_key = {(f.case, f.what, f.unit, f.who): f for f in figures}
    found = []
    for (case, what, unit, name), figure in by_key.items():
        other = by_key.get((case, what, unit, over))
        if name == who and other is not None and len(other.values) == len(figure.values):
            values = tuple(a / b for a, b in zip(figure.values, other.values, strict=True))
            found.append(Ratio(case, who, over, values, aim, what))
    return found


def joined(parts: Sequence[Measured]) -> Measured:
    """Several servers' or cases' as one."""
    return Measured(
        tuple(f for part in parts for f in part.figures),
        tuple(r for part in parts for r in part.ratios),
        tuple(c for part in parts for c in part.curves),
        tuple(m for part in parts for m in part.missing),
    )
