"""A run's figures: kept as JSON, compared with the last kept ones."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

FOLDER = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Figure:
    """One thing measured several times in one run. `case` says what was measured on, `who` what; `values` in `unit`."""

    case: str
    who: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median: what of a difference is noise."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Ratio:
    """A figure over another of the same case, as the median of the rounds' own ratios. `aim` is the largest allowed."""

    case: str
    who: str
    over: str
    values: tuple[float, ...]
    aim: float | None = None

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Largest less smallest of the run's own rounds."""
        return max(self.values) - min(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        return None if self.aim is None else self.median <= self.aim


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

    def to_json(self) -> str:
        """As text, with the derived values for readers that do not want to derive them."""
        data = asdict(self)
        for kind in ("figures", "ratios"):
            for row, own in zip(data[kind], getattr(self, kind), strict=True):
                row["median"], row["spread"] = round(own.median, 4), round(own.spread, 4)
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> Result:
    """The inverse of `Result.to_json`."""
    data = json.loads(text)
    figures = tuple(Figure(f["case"], f["who"], f["unit"], tuple(f["values"])) for f in data.pop("figures"))
    ratios = tuple(
        Ratio(r["case"], r["who"], r["over"], tuple(r["values"]), r["aim"]) for r in data.pop("ratios")
    )
    return Result(**data, figures=figures, ratios=ratios)


def ratios_of(
    figures: Sequence[Figure], who: str, over: str, aim: float | None = None
) -> list[Ratio]:
    """`who` over `over`, for each case in which both were measured equally often."""
    by_case = {(f.case, f.who): f for f in figures}
    found = []
    for (case, name), figure in by_case.items():
        other = by_case.get((case, over))
        if name == who and other is not None and len(other.values) == len(figure.values):
            values = tuple(a / b for a, b in zip(figure.values, other.values, strict=True))
            found.append(Ratio(case, who, over, values, aim))
    return found


def worse(now: Result, before: Result) -> list[str]:
    """A line for each ratio that grew by more than this run's own spread."""
    old = {(r.case, r.who, r.over): r for r in before.ratios}
    lines = []
    for ratio in now.ratios:
        last = old.get((ratio.case, ratio.who, ratio.over))
        if last is not None and ratio.median - last.median > ratio.spread:
            lines.append(
                f"worse than {before.revision}: {ratio.who} over {ratio.over}, {ratio.case}: {last.median:.2f} -> "
                f"{ratio.median:.2f} (spread {ratio.spread:.2f})"
            )
    return lines


def last_kept(name: str, folder: Path = FOLDER) -> Result | None:
    """The newest kept result of that name."""
    files = sorted(folder.glob(f"{name}-*.json"))
    return from_json(files[-1].read_text("utf-8")) if files else None


def keep(result: Result, folder: Path = FOLDER) -> Path:
    """Writes the result beside the others."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{result.name}-{result.at.replace(':', '').replace('-', '')}.json"
    path.write_text(result.to_json(), "utf-8")
    return path
