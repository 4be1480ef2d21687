"""How long writers stand still at cutovers and rollbacks, by the table's size and its number of chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from hyperferry.errors import HyperferryError

from . import stall
from .place import Place
from .result import Figure, Measured

AIM_MS = 50.0
HANGING = ", a foreign key and a trigger"
"""In the name of a case: PostgreSQL puts and drops both under the swap's locks, chunk by chunk."""


@dataclass(frozen=True)
class Sizes:
    """Tables as (rows, chunks); cutovers, and as many rollbacks, of each; writers, and their statements a second together
    (None: as many as they can); further tables, with a foreign key and a user trigger."""

    tables: Sequence[tuple[int, int]]
    swaps: int
    writers: int
    rate: int | None = None
    hanging: Sequence[tuple[int, int]] = ()


def measure(place: Place, sizes: Sizes, say: Callable[[str], None]) -> Measured:
    """Each table in a database of its own. What failed is said in `missing`, and the others are measured all the same."""
    figures: list[Figure] = []
    missing: list[str] = []
    tables = [*((table, False) for table in sizes.tables), *((table, True) for table in sizes.hanging)]
    for number, ((rows, chunks), hanging) in enumerate(tables):
        speed = "" if sizes.rate is None else f", {sizes.rate:,} writes/s"
        times = f", {sizes.swaps} each way"
        case = f"{place.title}, {rows:,} rows, {chunks:,} chunks, {sizes.writers} writers{speed}{times}"
        if hanging:
            case += HANGING
        say(case)
        try:
            with place.made(f"swaps_{number}") as own:
                outcome = stall.measure(
                    own.dsn,
                    swaps=sizes.swaps,
                    rows=rows,
                    chunks=chunks,
                    writers=sizes.writers,
                    rate=sizes.rate,
                    hanging=hanging,
                    say=say,
                )
            figures += figures_of(case, outcome)
            if outcome.errors or outcome.differences:
                first = outcome.errors[0] if outcome.errors else ""
                bad = f"{len(outcome.errors)} errors of writers, {outcome.differences} rows that differ. {first}"
                missing.append(f"{case}: {bad}")
        except (HyperferryError, psycopg.Error) as error:
            missing.append(f"{case}: {error}".partition("\n")[0])
    for line in missing:
        say(f"MISSING: {line}")
    return Measured(tuple(figures), missing=tuple(missing))


def figures_of(case: str, outcome: stall.Outcome) -> list[Figure]:
    """Percentiles of what writers felt and of what the tool reported, there and back."""
    figures = []
    for way in ("cutover", "rollback"):
        swaps = [swap for swap in outcome.swaps if swap.way == way]
        felt, told = [swap.felt_ms for swap in swaps], [swap.reported_ms for swap in swaps]
        for share, what in (
            (0.5, "longest writer, p50"),
            (0.99, "longest writer, p99"),
            (1.0, "longest writer, max"),
        ):
            aim = AIM_MS if share == 0.99 else None
            figures.append(Figure(case, way, "ms", (stall.percentile(felt, share),), what, "less", aim))
        for kind in stall.KINDS:
            by_kind = [swap.felt_by_kind.get(kind, 0.0) for swap in swaps]
            figures.append(
                Figure(case, way, "ms", (stall.percentile(by_kind, 0.99),), f"longest {kind}, p99", "less")
            )
        for share, what in ((0.5, "stall_ms reported, p50"), (0.99, "stall_ms reported, p99")):
            figures.append(Figure(case, way, "ms", (round(stall.percentile(told, share), 1),), what, "less"))
        figures.append(Figure(case, way, "", (max(float(swap.attempts) for swap in swaps),), "most attempts"))
    apart = outcome.usual_ms.get("slower than 2 ms, max", 0.0)
    figures.append(Figure(case, "apart from swaps", "ms", (apart,), "longest writer, max"))
    for name, usual in outcome.usual_by_kind.items():
        for what, ms in usual.items():
            figures.append(Figure(case, f"apart, {name}", "ms", (ms,), what))
    return figures
