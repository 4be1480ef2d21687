"""What a benchmark measured is in each of its outputs, under its own name: table, JSON and page."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from hyperferry.benchmark import BenchOptions, as_json
from hyperferry.benchmark.causes import REFUSED, TOO_SLOW, causes_of_failure
from hyperferry.benchmark.figures import judge
from hyperferry.benchmark.options import (
    Cause,
    Measured,
    Outcome,
    Query,
    Report,
    Run,
    Shape,
    Side,
    Value,
    Verdict,
)
from hyperferry.benchmark.session import EXPLAIN, Session, TimedOut
from hyperferry.benchmark.story import _Case, _outcome, _run, _with_the_same_values
from hyperferry.cli.render.bench import bench_lines
from hyperferry.cli.render.bench_page import page
from hyperferry.cli.render.text import Line
from hyperferry.model.names import TableName
from servers import Database

from .conftest import measure

PLAIN = Side("plain table", TableName("public", "t"), 1, 1000, "at")
HYPER = Side(
    "hypertable", TableName("public", "t"), 2, 1000, "at", chunks=frozenset({f"c{n}" for n in range(40)}), chunk_count=40,
    chunk_interval="7 days",
)  # fmt: skip
# Four runs, each figure with a median and a 95th percentile of its own.
BEFORE = tuple(Run(0, 1.0 + n, 10.0 + n, 100 + n, 20 + n, 3, 7 + n, 0, 5.0) for n in (0, 0, 0, 9))
AFTER = tuple(Run(0, 2.0 + n, 40.0 + n, 300 + n, 60 + n, 4, 9 + n, 13, 5.0) for n in (0, 0, 0, 5))


def report() -> Report:
    old = Measured(BEFORE, Shape(("Index Scan on t",)))
    new = Measured(AFTER, Shape(("Append", "  Index Scan on a chunk"), planned_chunks=13))
    lost = Outcome(
        Query("point", "SELECT 1", {}, ((),)), old, new, Verdict.SLOWER, 42 / 11, 1.0, (Cause("unknown", "so it is", "look"),)
    )
    return Report(
        "public.t", PLAIN, HYPER, "plain table and hypertable", (lost,), (), "PostgreSQL 17", "2026-01-01T00:00:00+00:00", 1, 4, 1, 20.0, 0.2,
        30.0, "custom", "not measured",
    )  # fmt: skip


def test_the_json_has_each_figure_under_its_own_name() -> None:
    [query] = as_json(report())["queries"]
    before, after = query["before"], query["after"]
    assert before["total_ms"] == {"median": 11.0, "p95": 29.0}
    assert before["planning_ms"] == {"median": 1.0, "p95": 10.0}
    assert before["execution_ms"] == {"median": 10.0, "p95": 19.0}
    assert after["total_ms"] == {"median": 42.0, "p95": 52.0}
    assert after["planning_ms"] == {"median": 2.0, "p95": 7.0}
    assert after["execution_ms"] == {"median": 40.0, "p95": 45.0}
    counts = ("pages_hit", "pages_read", "pages_temp", "planning_pages", "chunks_read", "rows")
    assert [after[name] for name in counts] == [300, 60, 4, 9, 13, 5]
    assert as_json(report())["after"]["chunks"] == 40
    assert after["chunks_planned"] == 13
    assert (before["plan"], after["plan"]) == (["Index Scan on t"], ["Append", "  Index Scan on a chunk"])


def test_the_table_has_each_figure_in_its_own_column() -> None:
    console = Console(width=220)
    with console.capture() as captured:
        for line in bench_lines(report()):
            console.print(line.rich() if isinstance(line, Line) else line)
    lines = captured.get().splitlines()
    [head] = [line for line in lines if line.startswith("query")]
    [row] = [line for line in lines if line.startswith("point")]
    columns = re.split(r"\s{2,}", head.strip().replace("verdict ratio", "verdict  ratio"))
    assert re.sub(r"\s+", " ", head).split(" ratio ")[1].strip() == "median ms p95 ms planning ms execution ms pages chunks read"
    cells = re.findall(r"[\d.,]+ → [\d.,]+|\d+ of \d+", row)
    assert cells == ["11.0 → 42.0", "29.0 → 52.0", "1.00 → 2.00", "10.0 → 40.0", "120 → 360", "13 of 40"], columns
    # Both plans, side by side.
    assert any("Index Scan on t" in line and "Append" in line for line in lines)


def test_the_page_has_each_figure_in_its_own_column() -> None:
    text = page(report())
    assert "<td>11.0, 29.0 ms</td><td>42.0, 52.0 ms</td><td>13 of 40</td>" in text
    head = "<th>planning ms<th>execution ms<th>pages in cache<th>pages read<th>pages to plan<th>chunks read"
    assert head in text
    assert "<tr><td>before</td><td>1.00</td><td>10.0</td><td>100</td><td>20</td><td>7</td><td></td>" in text
    assert "<tr><td>after</td><td>2.00</td><td>40.0</td><td>300</td><td>60</td><td>9</td><td>13 of 40</td>" in text
    plans = text.split('<div class="plans">')[1]
    assert plans.index("Index Scan on t") < plans.index("<h4>after</h4>") < plans.index("Append")


def test_a_fifth_slower_is_where_a_query_fails_unless_somebody_says_otherwise() -> None:
    usual = BenchOptions("", "t")

    def verdict(milliseconds: float) -> Verdict:
        sides = [Measured(tuple(Run(0, 0.0, ms, 0, 0, 0, 0, 0, 1.0) for _ in range(4)), Shape(())) for ms in (100.0, milliseconds)]
        return judge(sides[0], sides[1], usual.threshold, usual.ignored)[0]

    assert verdict(120.0) is Verdict.SAME
    assert verdict(120.1) is Verdict.SLOWER


def test_what_explain_is_asked_for() -> None:
    assert {"ANALYZE", "BUFFERS", "SETTINGS", "FORMAT JSON"} <= {word.strip() for word in EXPLAIN[EXPLAIN.index("(") + 1 :].split(")")[0].split(",")}


def test_runs_are_interleaved_and_the_other_side_comes_first_each_time(synced: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, str]] = []
    original = Session.run

    def noted(self: Session, each: Query, draw: int) -> tuple[Run, Shape]:
        ran.append((each.name, self.side.label))
        return original(self, each, draw)

    monkeypatch.setattr(Session, "run", noted)
    queries = "-- name: one\nSELECT count(*) FROM player_stats WHERE id = 1;-- name: two\nSELECT count(*) FROM player_stats WHERE id = 2"
    measure(synced, queries, runs=3)
    there, back = ("plain table", "hypertable"), ("hypertable", "plain table")
    wanted = [(name, side) for order in (there, back, there) for name in ("one", "two") for side in order]
    assert ran[-len(wanted) :] == wanted


TIMED_OUT = Cause(TOO_SLOW, "it took longer than 30 s on the hypertable", "look at its plan")
OVER_ALL = Shape(("Append",), planned_chunks=40)


@pytest.mark.parametrize(
    ("after", "shape", "codes"),
    [
        (HYPER, OVER_ALL, ["no-time-predicate", TOO_SLOW]),
        (HYPER, replace(OVER_ALL, time_condition=True), [TOO_SLOW]),
        (HYPER, replace(OVER_ALL, planned_chunks=1), [TOO_SLOW]),
        (HYPER, None, [TOO_SLOW]),
        (PLAIN, OVER_ALL, [TOO_SLOW]),
    ],
)
def test_the_causes_of_a_failure(after: Side, shape: Shape | None, codes: list[str]) -> None:
    found = causes_of_failure(after, Measured(shape=shape, error=TIMED_OUT.words), TIMED_OUT)
    assert [cause.code for cause in found] == codes
    assert all(cause.words and cause.remedy for cause in found)


class Late:
    """A session in which a query does not end within the limit."""

    def run(self, each: Query, draw: int) -> tuple[Run, Shape]:
        raise TimedOut("it took longer than 30 s on the hypertable")

    def shape(self, each: Query, draw: int) -> Shape | None:
        return OVER_ALL


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("before", "late", "verdict"),
    [
        ((1, 1, 1, 1, 28), 4, Verdict.NOT_MEASURED),
        ((1, 1, 1, 1, 28), 3, Verdict.FAILED),
        ((26, 26, 26, 26, 1), 4, Verdict.FAILED),
        ((26, 26, 26, 26, 1), 0, Verdict.NOT_MEASURED),
    ],
)
@pytest.mark.parametrize("against", [True, False])
def test_a_time_limit_is_judged_by_the_values_that_did_not_end(
    before: tuple[float, ...], late: int, verdict: Verdict, kept: bool, against: bool
) -> None:
    """`kept`: in the rounds; else before them. `against`: before is an earlier report's, and today's rounds came as far as that set."""
    runs = [Run(draw, 0.0, seconds * 1000, 0, 0, 0, 0, 0, 1.0) for draw, seconds in enumerate(before)]
    case = _Case(Query("late", "SELECT $1", {1: Value("id")}, tuple((str(n),) for n in range(5))))
    old = Measured(tuple(runs) if against or kept else (), Shape(("Scan",)))
    side = 0 if against else 1
    case.first[0] = [] if against else runs
    if kept:
        case.runs[side] = runs[:late]
        case.shapes[side] = [OVER_ALL] * late
    _run(case, side, Late(), late, [], threading.Event(), keep=kept)  # type: ignore[arg-type]
    options = BenchOptions("", "t", against=report() if against else None)
    both = _with_the_same_values(old, case.measured(side)) if against else (old, case.measured(side))
    outcome = _outcome(case, PLAIN, HYPER, *both, options)
    assert outcome.verdict is verdict
    if verdict is Verdict.NOT_MEASURED:
        assert "raise --timeout" in (outcome.after.error or "")


def test_why_a_query_fails_is_said_once() -> None:
    refused = Cause(REFUSED, "the server refuses it on the hypertable: no", "correct the query")
    gone = Outcome(
        Query("gone", "SELECT 1", {}, ((),)), Measured(BEFORE, Shape(("Scan",))), Measured(error=refused.words), Verdict.FAILED, causes=(refused,)
    )
    whole = replace(report(), outcomes=(gone,))
    console = Console(width=220)
    with console.capture() as captured:
        for line in bench_lines(whole):
            console.print(line.rich() if isinstance(line, Line) else line)
    assert captured.get().count("refuses it on the hypertable") == 1
    assert "What to do: correct the query" in captured.get()
    section = page(whole).split("<section")[1]
    assert section.count("refuses it on the hypertable") == 1
    assert "What to do: correct the query" in section
