"""A distribution in, advice out: pure, without a connection. See README.md of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..model.advice import Advice, Caution, Recommendation
from ..model.distribution import Distribution
from ..model.names import TableName
from . import toml
from .case import Case, late_window, update_window
from .facts import facts
from .histogram import bars_of
from .rules import (
    chunk_interval,
    compression,
    continuous_aggregates,
    outliers,
    retention,
    superfluous_indexes,
    units,
    worthwhile_indexes,
)
from .shapes import shape_of
from .width import choose

__all__ = ["RECOMMENDING", "WARNING", "advise", "case_of", "columns_of_interest"]

RECOMMENDING: tuple[Callable[[Case], Iterable[Recommendation]], ...] = (
    chunk_interval.check,
    compression.check,
    retention.check,
    superfluous_indexes.check,
    worthwhile_indexes.check,
    continuous_aggregates.check,
)
"""The rules in the order in which their recommendations are shown."""
WARNING: tuple[Callable[[Case], Iterable[Caution]], ...] = (units.check, outliers.check)
MOST_COLUMNS = 8


def case_of(d: Distribution, views: Sequence[TableName] = (), given: str | None = None) -> Case:
    """What the rules get. `views` are views on the table, whose statements count too; `given` is the settings' chunk interval."""
    names = [d.inspection.table.name, *views]
    columns = [column.name for column in d.inspection.columns]
    shapes = (shape_of(use, names, columns, d.inspection.time_column) for use in d.statements)
    made = Case(
        d,
        tuple(shape for shape in shapes if shape is not None),
        None,
        given,
        late_window(d),
        update_window(d),
    )
    return replace(made, width=choose(d))


def columns_of_interest(case: Case) -> list[str]:
    """The columns of which it is worth knowing how many values an interval has."""
    return list(compression.wanted_columns(case)[0])[:MOST_COLUMNS]


def advise(case: Case) -> Advice:
    """All recommendations and cautions, and the lines for the file: what this edition cannot do stands there as comments."""
    d = case.d
    found = [each for rule in RECOMMENDING for each in rule(case)]
    cautions = [each for warning in WARNING for each in warning(case)]
    fragments = [
        f"table = {toml.text(str(d.inspection.table.name))}\ntime_column = {toml.text(case.time.name)}"
    ]
    for each in found:
        if each.toml and each.unavailable is not None:
            fragments.append(toml.commented(f"{each.unavailable.partition(':')[0]}:\n{each.toml}"))
        elif each.toml:
            fragments.append(each.toml)
    width, bars = bars_of(d)
    return Advice(
        table=str(d.inspection.table.name),
        time_column=case.time.name,
        axis=d.axis,
        facts=tuple(facts(case)),
        recommendations=tuple(found),
        cautions=tuple(cautions),
        bar_width=width,
        bars=tuple(bars),
        read=d.read,
        toml=toml.join(fragments),
    )
