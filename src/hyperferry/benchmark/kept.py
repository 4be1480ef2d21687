"""A report as JSON that others may rely on, and back: what `--json` prints, what `--save` keeps and `--against` reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import Usage
from ..model.names import TableName
from .figures import median, p95
from .options import Cause, Index, LeftOut, Measured, Outcome, Query, Report, Run, Shape, Side, Value, Verdict

FORMAT = 1
MARK = "hyperferry bench"

_FIGURES: dict[str, Callable[[Run], float]] = {
    "total_ms": lambda run: run.total_ms,
    "planning_ms": lambda run: run.planning_ms,
    "execution_ms": lambda run: run.execution_ms,
}
_COUNTS: dict[str, Callable[[Run], float]] = {
    "pages_hit": lambda run: run.hit,
    "pages_read": lambda run: run.read,
    "pages_temp": lambda run: run.temp,
    "planning_pages": lambda run: run.planning_pages,
    "chunks_read": lambda run: run.chunks,
    "rows": lambda run: run.rows,
}


def as_json(report: Report, *, whole: bool = False) -> dict[str, Any]:
    """The report. `whole`: with every run and the values that were drawn from the table, to be read again."""
    found: dict[str, Any] = {
        "made_by": MARK,
        "format": FORMAT,
        "table": report.table,
        "failed": report.failed,
        "compared": report.compared,
        "verdicts": {v.value: n for v in Verdict if (n := sum(o.verdict is v for o in report.outcomes))},
        "before": None if report.before is None else _side(report.before),
        "after": _side(report.after),
        "queries": [_outcome(each, report, whole) for each in report.outcomes],
        "left_out": [
            {
                "name": each.name,
                "sql": each.sql,
                "reason": each.reason,
                "remedy": each.remedy,
                "unknown": list(each.unknown),
            }
            for each in report.left_out
        ],
        "server": report.server,
        "at": report.at,
        "seed": report.seed,
        "runs": report.runs,
        "draws": report.draws,
        "threshold_percent": report.threshold,
        "ignored_ms": report.ignored,
        "timeout_seconds": report.timeout,
        "plans": report.plans,
        "cold": report.cold,
        "notes": list(report.notes),
        "seconds": round(report.seconds, 2),
    }
    if whole:
        found["texts_planned"] = report.texts_planned
    return found


def _side(side: Side) -> dict[str, Any]:
    return {
        "label": side.label,
        "schema": side.name.schema,
        "name": side.name.name,
        "rows_estimated": side.rows,
        "time_column": side.time_column,
        "chunks": side.chunk_count if side.chunks is not None else None,
        "chunk_interval": side.chunk_interval,
        "never_analyzed": side.never_analyzed,
        "indexes": [{"name": each.name, "tail": each.tail, "definition": each.definition} for each in side.indexes],
    }


def _outcome(outcome: Outcome, report: Report, whole: bool) -> dict[str, Any]:
    query = outcome.query
    found: dict[str, Any] = {
        "name": query.name,
        "sql": query.sql,
        "parameters": {
            str(n): {"expression": v.expression, "row": v.row, "assumed": v.assumed or None}
            for n, v in sorted(query.values.items())
        },
        "calls": query.calls,
        "verdict": outcome.verdict.value,
        "ratio": None if outcome.ratio is None else round(outcome.ratio, 4),
        "agreement": None if outcome.agreement is None else round(outcome.agreement, 4),
        "causes": [{"cause": each.code, "words": each.words, "remedy": each.remedy} for each in outcome.causes],
        "notes": list(outcome.notes),
        "before": None if outcome.before is None else _measured(outcome.before, whole),
        "after": _measured(outcome.after, whole),
    }
    if whole:
        found["drawn"] = [list(each) for each in query.drawn]
    return found


def _measured(measured: Measured, whole: bool) -> dict[str, Any]:
    shape = measured.shape
    found: dict[str, Any] = {
        "error": measured.error,
        **_figures(measured.runs),
        "cold": _figures(measured.cold) if measured.cold else None,
        "plan": list(shape.lines) if shape is not None else [],
        "chunks_planned": shape.planned_chunks if shape is not None else None,
        "settings": dict(shape.settings) if shape is not None else {},
    }
    if whole:
        found["runs"] = [vars_of(run) for run in measured.runs]
        found["cold_runs"] = [vars_of(run) for run in measured.cold]
        found["shape"] = None if shape is None else vars_of(shape)
    return found


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    timed = {
        name: {"median": round(median(runs, of), 3), "p95": round(p95([of(run) for run in runs]), 3)} if runs else None
        for name, of in _FIGURES.items()
    }
    return {**timed, **{name: median(runs, of) if runs else None for name, of in _COUNTS.items()}, "count": len(runs)}


def vars_of(value: Run | Shape) -> dict[str, Any]:
    """The fields of a flat dataclass."""
    return {name: dict(each) if isinstance(each, Mapping) else each for name, each in vars(value).items()}


def to_text(report: Report) -> str:
    """The whole report as a file."""
    return json.dumps(as_json(report, whole=True), indent=1, ensure_ascii=False) + "\n"


def from_text(text: str, file: str) -> Report:
    """The report of a file that `to_text` made. Raises Usage for anything else."""
    try:
        data = json.loads(text)
        if data["made_by"] != MARK or data["format"] != FORMAT:
            raise ValueError("it was made by another program or version")
        return _report(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise Usage(
            f"{file} is no benchmark that was kept by hyperferry.",
            facts={"reason": why},
            remedy="give a file that `hyperferry bench TABLE --save FILE` wrote.",
        ) from None


def _report(data: Mapping[str, Any]) -> Report:
    return Report(
        table=data["table"],
        before=None if data["before"] is None else _side_of(data["before"]),
        after=_side_of(data["after"]),
        compared=data["compared"],
        outcomes=tuple(map(_outcome_of, data["queries"])),
        left_out=tuple(
            LeftOut(e["name"], e["sql"], e["reason"], e["remedy"], tuple(e["unknown"])) for e in data["left_out"]
        ),
        server=data["server"],
        at=data["at"],
        seed=data["seed"],
        runs=data["runs"],
        draws=data["draws"],
        threshold=data["threshold_percent"],
        ignored=data["ignored_ms"],
        timeout=data["timeout_seconds"],
        plans=data["plans"],
        cold=data["cold"],
        notes=tuple(data["notes"]),
        seconds=data["seconds"],
        texts_planned=data.get("texts_planned", False),
    )


def _side_of(data: Mapping[str, Any]) -> Side:
    return Side(
        data["label"],
        TableName(data["schema"], data["name"]),
        0,
        data["rows_estimated"],
        data["time_column"],
        chunks=None if data["chunks"] is None else frozenset(),
        chunk_count=data["chunks"] or 0,
        chunk_interval=data["chunk_interval"],
        indexes=tuple(Index(each["name"], each["tail"], each["definition"]) for each in data["indexes"]),
        never_analyzed=data["never_analyzed"],
    )


def _outcome_of(data: Mapping[str, Any]) -> Outcome:
    values = {int(n): Value(v["expression"], v["row"], v["assumed"] or "") for n, v in data["parameters"].items()}
    drawn = tuple(tuple(each) for each in data["drawn"])
    if not drawn or any(len(each) != len(values) for each in drawn):
        raise ValueError(f"the values of {data['name']!r} are not whole")
    return Outcome(
        Query(data["name"], data["sql"], values, drawn, data["calls"]),
        None if data["before"] is None else _measured_of(data["before"]),
        _measured_of(data["after"]),
        Verdict(data["verdict"]),
        data["ratio"],
        data["agreement"],
        tuple(Cause(each["cause"], each["words"], each["remedy"]) for each in data["causes"]),
        tuple(data["notes"]),
    )


def _measured_of(data: Mapping[str, Any]) -> Measured:
    shape = data["shape"]
    if shape is not None:
        shape = Shape(**{**shape, "lines": tuple(shape["lines"]), "indexes": tuple(shape["indexes"])})
    cold = tuple(Run(**each) for each in data.get("cold_runs", ()))
    return Measured(tuple(Run(**each) for each in data["runs"]), shape, cold, data["error"])
