"""Plans, figures, verdicts and causes as pure functions; a report as JSON and as a page."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.benchmark import as_json, from_text, to_text
from hyperferry.benchmark.causes import causes
from hyperferry.benchmark.figures import agreement, judge, losing_sets, p95, telling_runs
from hyperferry.benchmark.options import (
    BenchOptions,
    Index,
    LeftOut,
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
from hyperferry.benchmark.plans import parse, run_of, shape_of
from hyperferry.benchmark.story import _against, _Case
from hyperferry.cli.render.bench import bench_lines
from hyperferry.cli.render.bench_page import page
from hyperferry.errors import Usage
from hyperferry.model.names import TableName

INDEX = Index("t_player", "USING btree (player_id)", "CREATE INDEX t_player ON t USING btree (player_id)")
PLAIN = Side("plain table", TableName("public", "t"), 1, 1000, "at", indexes=(INDEX,))
HYPER = Side(
    "hypertable", TableName("public", "t"), 2, 1000, "at", chunks=frozenset({f"_hyper_1_{n}_chunk" for n in range(1, 41)}),
    chunk_count=40, chunk_interval="7 days", indexes=(INDEX,),
)  # fmt: skip
TIMES = st.floats(0.001, 1e6, allow_nan=False)


def runs(*times: float, planning: float = 0.0, chunks: int = 0, read: int = 0) -> tuple[Run, ...]:
    return tuple(Run(0, planning, each - planning, 10, read, 0, 5, chunks, 1.0) for each in times)


def measured(*times: float, shape: Shape = Shape(("Scan",)), **more: Any) -> Measured:  # noqa: B008
    return Measured(runs(*times, **more), shape)


def scan(chunk: int, **more: Any) -> dict[str, Any]:
    return {
        "Node Type": "Index Scan", "Relation Name": f"_hyper_1_{chunk}_chunk", "Index Name": f"_hyper_1_{chunk}_chunk_t_player",
        "Index Cond": f"(_hyper_1_{chunk}_chunk.player_id = {chunk})", "Actual Loops": 1, "Actual Rows": 1, **more,
    }  # fmt: skip


def explained(*children: dict[str, Any]) -> dict[str, Any]:
    top = {"Node Type": "Append", "Actual Rows": 2.0, "Shared Hit Blocks": 7, "Shared Read Blocks": 3, "Plans": list(children)}
    return {"Plan": top, "Planning": {"Shared Hit Blocks": 4}, "Planning Time": 1.5, "Execution Time": 2.5,
            "Settings": {"work_mem": "1MB", "search_path": "x", "plan_cache_mode": "y"}}  # fmt: skip


def test_a_plan_is_counted_and_its_equal_chunks_joined() -> None:
    plan = explained(scan(1), scan(2), scan(3, **{"Actual Loops": 0}), scan(4))
    run, shape = run_of(plan, HYPER, 7), shape_of(plan, HYPER)
    assert (run.draw, run.total_ms, run.hit, run.read, run.planning_pages, run.chunks, run.rows) == (7, 4.0, 7, 3, 4, 3, 2.0)
    assert shape.lines == (
        "Append",
        "  3 × Index Scan using t_player on a chunk index cond (chunk.player_id = ?)",
        "  Index Scan using t_player on a chunk index cond (chunk.player_id = ?) (never executed)",
    )
    assert (shape.planned_chunks, shape.indexes, shape.time_condition, dict(shape.settings)) == (4, ("t_player",), False, {"work_mem": "1MB"})


@pytest.mark.parametrize("name", ["_hyper_1_4_chunk_t_player", "4_t_player", "4_5_t_player", "t_player"])
def test_a_chunks_index_has_the_name_of_the_tables(name: str) -> None:
    assert shape_of(explained(scan(4, **{"Index Name": name})), HYPER).indexes == ("t_player",)


@pytest.mark.parametrize(
    ("condition", "found"),
    [("((n)::at > 'at'::text)", False), ('(at > 1)', True), ('(t."at" > 1)', True), ("(flat > 1)", False), ("(at_home)", False), ("(date_trunc('day', at) = 1)", True)],
)
def test_a_condition_on_the_time_is_seen(condition: str, found: bool) -> None:
    assert shape_of(explained(scan(4, Filter=condition)), HYPER).time_condition is found


def test_plans_under_one_key_are_all_kept() -> None:
    """As TimescaleDB's DeferredChunkAppend prints them."""
    inner = [json.dumps(scan(n)) for n in (1, 2, 3)]
    text = '[{"Plan": {"Node Type": "Custom Scan", "Custom Plan Provider": "DeferredChunkAppend", "Plan": %s, "Plan": %s, "Plan": %s}}]'
    assert run_of(parse(text % tuple(inner)), HYPER, 0).chunks == 3


@given(st.lists(TIMES, min_size=1, max_size=50))
def test_p95_is_one_of_the_values_that_few_exceed(values: list[float]) -> None:
    found = p95(values)
    assert found in values
    assert sum(value > found for value in values) <= 0.05 * len(values)


@given(st.lists(TIMES, min_size=1, max_size=20), st.lists(TIMES, min_size=1, max_size=20), st.floats(0, 100), st.floats(0, 10))
def test_a_verdict_keeps_what_it_says(old: list[float], new: list[float], threshold: float, ignored: float) -> None:
    before, after = measured(*old), measured(*new)
    verdict, ratio, agreed = judge(before, after, threshold, ignored)
    assert ratio is not None
    assert agreed is not None
    assert agreement(before.runs, after.runs) + agreement(after.runs, before.runs) == pytest.approx(1)
    if verdict is Verdict.SLOWER:
        assert ratio > 1 + threshold / 100
        assert agreed >= 0.75
    if verdict is Verdict.FASTER:
        assert ratio < 1
    if old == new:
        assert verdict is Verdict.SAME


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((10, 10, 10), (13, 13, 13), Verdict.SLOWER),
        ((10, 10, 10), (11.9, 11.9, 11.9), Verdict.SAME),
        ((10, 10, 10), (7, 7, 7), Verdict.FASTER),
        ((1, 10, 20), (0.5, 13, 14), Verdict.UNCLEAR),
        ((0.1, 0.1, 0.1), (0.25, 0.25, 0.25), Verdict.SAME),
        ((0.1, 0.1, 0.1), (0.35, 0.35, 0.35), Verdict.SLOWER),
    ],
)
def test_verdicts(before: tuple[float, ...], after: tuple[float, ...], verdict: Verdict) -> None:
    assert judge(measured(*before), measured(*after), 20, 0.2)[0] is verdict


def drawn(*times: float, runs: int, apart: float = 1.01) -> Measured:
    """Each time with a set of values of its own, `runs` times, each later one a little longer."""
    return Measured(
        tuple(Run(draw, 0.0, each * apart**turn, 0, 0, 0, 0, 0, 1.0) for turn in range(runs) for draw, each in enumerate(times)),
        Shape(("Scan",)),
    )


@pytest.mark.parametrize("times", [2, 3, 10])
@pytest.mark.parametrize(
    ("before", "after", "verdict", "sets"),
    [
        ((10, 10, 10, 10, 10), (100, 100, 100, 5, 5), Verdict.SLOWER, "3 of 5 sets of values are slower"),
        ((1, 2, 10, 50, 60), (1, 2, 10, 500, 600), Verdict.SLOWER, "2 of 5 sets of values are slower"),
        ((1, 2, 10, 50, 60), (1, 2, 10, 50, 60), Verdict.SAME, ""),
        ((1, 2, 10, 50, 60), (10, 20, 100, 500, 600), Verdict.SLOWER, ""),
        ((10, 10, 10, 10, 10), (5, 5, 5, 10, 10), Verdict.FASTER, ""),
        ((10, 10, 10, 10, 10), (10, 10, 10, 5, 5), Verdict.SAME, ""),
    ],
)
def test_each_set_of_values_is_judged(before: tuple[float, ...], after: tuple[float, ...], verdict: Verdict, sets: str, times: int) -> None:
    old, new = drawn(*before, runs=times), drawn(*after, runs=times)
    assert judge(old, new, 20, 0.2)[0] is verdict
    said = losing_sets(old, new, 20, 0.2)
    assert said.startswith(sets) if sets else said == ""


def of_sets(*sets: tuple[float, ...]) -> Measured:
    """A set of values for each tuple, with the times of its runs."""
    found = (Run(draw, 0.0, each, 0, 0, 0, 0, 0, 1.0) for draw, times in enumerate(sets) for each in times)
    return Measured(tuple(found), Shape(("Scan",)))


def test_noise_below_what_is_ignored_sets_no_bar_for_the_rest() -> None:
    before = of_sets((0.18, 0.05), (0.06, 0.11), (0.07, 0.14), (18.87, 21.35), (203.6, 195.1))
    after = of_sets((0.05, 0.05), (0.05, 0.05), (0.09, 0.14), (20.19, 20.41), (615.5, 617.9))
    assert judge(before, after, 20, 0.2)[0] is Verdict.SLOWER
    assert losing_sets(before, after, 20, 0.2).startswith("1 of 5 sets of values are slower")


@pytest.mark.parametrize("after", [(100, 100, 100, 5, 5), (10, 10, 10, 10, 90), (10, 10, 10, 40, 90)])
def test_one_run_of_each_set_makes_no_loss_of_some_sets(after: tuple[float, ...]) -> None:
    """Nothing tells it from chance; and nothing is let pass as the same."""
    before = drawn(10, 10, 10, 10, 10, runs=1)
    assert judge(before, drawn(*after, runs=1), 20, 0.2)[0] is Verdict.UNCLEAR
    assert losing_sets(before, drawn(*after, runs=1), 20, 0.2) == ""
    assert judge(before, drawn(100, 100, 100, 100, 5, runs=1), 20, 0.2)[0] is Verdict.SLOWER


@pytest.mark.parametrize("runs", range(5, 10))
def test_what_gains_in_all_is_not_faster_while_a_set_may_lose(runs: int) -> None:
    """The set that takes a thousand times as long has one run on each side."""
    before, after = (
        Measured(tuple(Run(n % 5, 0.0, times[n % 5], 0, 0, 0, 0, 0, 1.0) for n in range(runs)))
        for times in ((10, 10, 10, 10, 10), (5, 5, 5, 5, 10_000))
    )
    assert judge(before, after, 20, 0.2)[0] is Verdict.UNCLEAR


@pytest.mark.parametrize(("sets", "runs"), [(1, 3), (2, 8), (5, 25), (20, 120)])
def test_how_many_runs_tell_is_said(sets: int, runs: int) -> None:
    """So many that a set whose runs all agree is told from chance; of many sets, one fewer in each is not enough."""
    assert telling_runs(sets) == runs
    for each, verdict in ((runs // sets, Verdict.SLOWER), (runs // sets - 1, Verdict.UNCLEAR if sets > 2 else Verdict.SLOWER)):
        times = tuple(10.0 + 5 * (n % 2) for n in range(each))
        before = of_sets(*[times] * sets)
        after = of_sets(*[times] * (sets - 1), tuple(each + 10 for each in times))
        assert judge(before, after, 20, 0.2)[0] is verdict


def test_more_runs_are_asked_for_only_where_those_of_one_set_do_not_agree() -> None:
    """One run of one set says nothing; one of two that is out of place says little; two that agree say enough."""
    steady = drawn(10, 10, 10, runs=1)
    assert judge(steady, drawn(10, 10, 90, runs=1), 20, 0.2)[0] is Verdict.UNCLEAR
    twice = drawn(10, 10, 10, runs=2)
    assert judge(twice, drawn(10, 10, 90, runs=2), 20, 0.2)[0] is Verdict.SLOWER
    stumbled = replace(twice, runs=(*twice.runs[:2], replace(twice.runs[2], execution_ms=10.2), *twice.runs[3:5],
                                    replace(twice.runs[5], execution_ms=90.0)))  # fmt: skip
    assert judge(twice, stumbled, 20, 0.2)[0] is Verdict.UNCLEAR


@given(
    st.lists(TIMES, min_size=1, max_size=8), st.lists(st.floats(0.1, 10), min_size=8, max_size=8), st.integers(1, 4),
    st.floats(0, 100), st.floats(0, 10),
)  # fmt: skip
def test_a_set_that_is_slower_beyond_doubt_is_never_let_pass(
    times: list[float], factors: list[float], repeated: int, threshold: float, ignored: float
) -> None:
    """Runs that are alike to the last digit: what each set says is so."""
    after_times = [each * factor for each, factor in zip(times, factors, strict=False)]
    before, after = (drawn(*each, runs=repeated, apart=1) for each in (times, after_times))
    losing = sum(a > b * (1 + threshold / 100) and a - b > ignored for b, a in zip(times, after_times, strict=True))
    verdict = judge(before, after, threshold, ignored)[0]
    if repeated > 1:
        assert (verdict is Verdict.SLOWER) >= (losing > 0)
    if not losing:
        assert verdict in (Verdict.SAME, Verdict.FASTER, Verdict.UNCLEAR)
    assert judge(before, before, threshold, ignored)[0] is Verdict.SAME


@pytest.mark.parametrize("spikes", [0.0, 0.05, 0.1])
@pytest.mark.parametrize(("runs", "draws"), [(5, 5), (10, 5), (20, 5), (20, 20), (40, 20)])
def test_chance_alone_makes_hardly_a_loss(runs: int, draws: int, spikes: float) -> None:
    """Equal sides whose runs differ by a tenth, as others at work make them, by a seed; now and then one takes ten times as long."""
    chance = random.Random(7)

    def run(draw: int) -> Run:
        spike = 10 if chance.random() < spikes else 1
        return Run(draw, 0.0, 10 * spike * chance.lognormvariate(0, 0.1), 0, 0, 0, 0, 0, 1.0)

    def side() -> Measured:
        return Measured(tuple(run(n % draws) for n in range(runs)))

    lost = sum(judge(side(), side(), 20, 0.2)[0] is Verdict.SLOWER for _ in range(400))
    assert lost <= 20


def test_verdicts_of_what_did_not_run() -> None:
    wrong, right = Measured(error="too long"), measured(1)
    assert judge(right, wrong, 20, 0.2)[0] is Verdict.FAILED
    assert judge(wrong, right, 20, 0.2)[0] is Verdict.NOT_MEASURED
    assert judge(None, right, 20, 0.2)[0] is Verdict.MEASURED
    assert judge(None, wrong, 20, 0.2)[0] is Verdict.NOT_MEASURED


USED = Shape(("Index Scan",), indexes=("t_player",))
ALL = Shape(("Append",), indexes=("t_player",), planned_chunks=40)


@pytest.mark.parametrize(
    ("after", "old", "new", "code"),
    [
        (HYPER, measured(1, shape=USED), measured(9, shape=ALL, chunks=40), "no-time-predicate"),
        (HYPER, measured(1), measured(9, shape=replace(ALL, time_condition=True), chunks=40), "time-predicate-excludes-nothing"),
        (HYPER, measured(1), measured(9, shape=replace(ALL, time_condition=True, planned_chunks=20), chunks=20), "range-over-many-chunks"),
        (HYPER, measured(1), measured(9, shape=ALL, planning=8), "planning-over-chunks"),
        (HYPER, measured(1), measured(9, shape=replace(ALL, planned_chunks=1, time_condition=True), planning=8), "planning-a-hypertable"),
        (replace(HYPER, indexes=()), measured(1, shape=USED), measured(9, shape=Shape((), sequential=True)), "index-missing"),
        (HYPER, measured(1, shape=USED), measured(9, shape=Shape((), sequential=True)), "index-not-used"),
        (replace(HYPER, never_analyzed=3), measured(1), measured(9), "never-analyzed"),
        (HYPER, measured(1), measured(9, shape=Shape((), decompressed=True)), "decompression"),
        (HYPER, measured(1), measured(9, shape=Shape((), jit_ms=7)), "jit"),
        (HYPER, measured(1), measured(9, shape=Shape((), spilled=True)), "spills-to-disk"),
        (HYPER, measured(1, shape=Shape((), workers=2)), measured(9), "fewer-workers"),
        (HYPER, measured(1), measured(9, read=50), "not-in-cache"),
        (HYPER, measured(1), measured(9), "unknown"),
    ],
)
def test_causes(after: Side, old: Measured, new: Measured, code: str) -> None:
    found = causes(PLAIN, after, old, new)
    assert code in [cause.code for cause in found]
    assert all(cause.words and cause.remedy for cause in found)
    assert code == "unknown" or "unknown" not in [cause.code for cause in found]


def test_a_key_widened_by_the_time_is_the_same_index() -> None:
    wide = replace(HYPER, indexes=(Index("t_player", 'USING btree (player_id, "at")'.replace('"', ""), "..."),))
    found = causes(PLAIN, wide, measured(1, shape=USED), measured(9, shape=USED))
    assert "index-missing" not in [cause.code for cause in found]


@pytest.mark.parametrize("condition", ["(made > '2024-01-01 00:00:00+00'::timestamp with time zone)", "(made = '10:00'::time(3) without time zone)"])
def test_a_column_that_is_called_as_a_type_is_told_from_it(condition: str) -> None:
    side = replace(HYPER, time_column="time")
    assert not shape_of(explained(scan(4, Filter=condition)), side).time_condition
    assert shape_of(explained(scan(4, Filter='("time" > 1)')), side).time_condition
    assert shape_of(explained(scan(4, **{"Vectorized Filter": '("time" > 1)'})), side).time_condition


@pytest.mark.parametrize(("tail", "widened"), [("(player_id)", '(player_id, "time")'), ("(lower(name))", '(lower(name), "time")')])
def test_an_index_widened_by_a_column_that_is_a_keyword_is_the_same(tail: str, widened: str) -> None:
    plain = replace(PLAIN, indexes=(Index("t_player", f"USING btree {tail}", "..."),))
    wide = replace(HYPER, time_column="time", indexes=(Index("t_player", f"USING btree {widened}", "..."),))
    found = causes(plain, wide, measured(1, shape=USED), measured(9, shape=USED))
    assert "index-missing" not in [cause.code for cause in found]


EVIL = "<script>alert('x')</script>\x1b[31m & \"q\""


def report() -> Report:
    query = Query(EVIL, f"SELECT '{EVIL}', $1", {1: Value("player_id", 1, "assumed: so")}, (("secret value",),), 5)
    bad = Outcome(query, measured(1, 1, shape=USED), measured(9, 9, shape=ALL, chunks=40), Verdict.SLOWER, 9.0, 1.0)
    bad = replace(bad, causes=causes(PLAIN, HYPER, bad.before or bad.after, bad.after), notes=(EVIL,))
    gone = Outcome(replace(query, name="gone"), measured(1), Measured(error="it took longer than 1 s"), Verdict.FAILED)
    return Report(
        f"public.{EVIL}", PLAIN, HYPER, "plain table and hypertable", (bad, gone), (LeftOut("w", EVIL, EVIL, "leave it"),), "PostgreSQL 17",
        "2026-01-01T00:00:00+00:00", 1, 2, 1, 20.0, 0.2, 30.0, "custom", "not measured", (EVIL,), 1.0,
    )  # fmt: skip


class Tags(HTMLParser):
    """Counts what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href") and not str(value).startswith("#")]


def test_the_page_is_self_contained_and_escapes_everything() -> None:
    text = page(report())
    seen = Tags()
    seen.feed(text)
    assert "script" not in seen.tags
    assert seen.loads == []
    assert "http" not in text
    assert seen.tags.count("svg") == 2
    assert "&lt;script&gt;" in text
    assert "secret value" not in text
    for cause in report().outcomes[0].causes:
        assert cause.words.split(":")[0] in text


def test_values_of_the_table_are_kept_only_where_they_are_asked_for() -> None:
    assert "secret value" not in json.dumps(as_json(report()))
    assert "secret value" in to_text(report())


def test_a_kept_report_is_read_again() -> None:
    once = from_text(to_text(report()), "f")
    assert to_text(from_text(to_text(once), "f")) == to_text(once)
    assert once.outcomes[0].before is not None
    assert once.outcomes[0].before.runs == report().outcomes[0].before.runs  # type: ignore[union-attr]
    assert once.outcomes[0].query == report().outcomes[0].query


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"made_by": "hyperferry bench", "format": 1}', '{"made_by": "x", "format": 1}'])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="no benchmark"):
        from_text(text, "f.json")


def test_a_file_with_values_missing_is_refused() -> None:
    data = json.loads(to_text(report()))
    data["queries"][0]["drawn"] = [[]]
    with pytest.raises(Usage):
        from_text(json.dumps(data), "f.json")


def against(kept: Report, query: Query, new: Measured, shapes: list[Shape]) -> Outcome:
    """What comes of a kept report's query that ran so now, each run with a plan of its own."""
    case = _Case(query, runs={0: list(new.runs)}, shapes={0: shapes})
    now = replace(kept, before=None, after=HYPER, outcomes=())
    [outcome] = _against(now, from_text(to_text(kept), "f"), BenchOptions("", "t", against=kept), [case]).outcomes
    return outcome


def kept_alone(query: Query, old: Measured) -> Report:
    return replace(report(), before=None, after=PLAIN, outcomes=(Outcome(query, None, old, Verdict.MEASURED),))


def test_the_kept_plan_of_most_runs_is_not_compared_with_that_of_some_values() -> None:
    query = Query("some", "SELECT $1", {1: Value("id")}, tuple((str(n),) for n in range(5)))
    old = replace(of_sets((10, 10), (10, 10), (10, 10), (10, 10), (100, 100)), shape=USED)
    new = of_sets((10, 10), (10, 10), (10, 10), (10, 10), (500, 500))
    whole = Shape(("Append", "  Seq Scan"), sequential=True, planned_chunks=40, spilled=True, workers=0)
    some = against(kept_alone(query, old), query, new, [USED] * 8 + [whole] * 2)
    assert some.verdict is Verdict.SLOWER
    assert some.before is not None
    assert (some.before.shape, some.after.shape) == (USED, whole)
    assert [cause.code for cause in some.causes] == ["no-time-predicate"]
    assert "1 of 5 sets of values are slower" in some.notes[0]
    assert "but for the plan before" in some.notes[0]
    alike = against(kept_alone(query, old), query, new, [USED] * 10)
    assert "but for the plan before" not in alike.notes[0]


def test_a_file_of_before_queries_without_parameters_were_planned_each_time_says_so() -> None:
    text, other = Query("text", "SELECT 1", {}, ((),)), Query("other", "SELECT $1", {1: Value("id")}, (("1",),))
    for query, noted in ((text, True), (other, False)):
        kept = kept_alone(query, measured(1, 1))
        assert not any("planned once" in note for note in against(kept, query, measured(1, 1), [USED] * 2).notes)
        data = json.loads(to_text(kept))
        del data["texts_planned"]
        older = from_text(json.dumps(data), "f")
        outcome = against(older, query, measured(1, 1), [USED] * 2)
        assert any("planned once" in note for note in outcome.notes) is noted
        assert ("planned once" in shown(replace(report(), outcomes=(outcome,)))) is noted
        # It is still so when the comparison is kept in its turn, and compared with.
        case = _Case(query, runs={0: list(runs(1, 1))}, shapes={0: [USED] * 2})
        compared = _against(replace(report(), before=None, outcomes=()), older, BenchOptions("", "t", against=older), [case])
        assert any("planned once" in note for note in against(compared, query, measured(1, 1), [USED] * 2).notes) is noted
        generic = replace(older, plans="generic")
        assert not any("planned once" in note for note in against(generic, query, measured(1, 1), [USED] * 2).notes)


def shown(whole: Report) -> str:
    from rich.console import Console

    from hyperferry.cli.render.text import Line

    console = Console(width=200)
    with console.capture() as captured:
        for line in bench_lines(whole):
            console.print(line.rich() if isinstance(line, Line) else line)
    return captured.get()


def test_the_summary_says_how_many_were_not_measured() -> None:
    fine = Outcome(Query("a", "SELECT 1", {}, ((),)), measured(1), measured(1), Verdict.SAME, 1.0, 0.5)
    slow = replace(fine, after=Measured(error="too long"), verdict=Verdict.NOT_MEASURED)
    left = tuple(LeftOut(name, "SELECT $1", "not known", "say it") for name in "bcd")
    some = replace(report(), outcomes=(fine, slow), left_out=left)
    assert "Not measured: 4 of 5 queries." in shown(some)
    assert "Not measured" not in shown(replace(some, outcomes=(fine,), left_out=()))


def test_what_is_unclear_says_how_many_runs_tell() -> None:
    query = Query("a", "SELECT $1", {1: Value("id")}, (("1",), ("2",), ("3",), ("4",), ("5",)))
    unclear = Outcome(query, measured(*[1] * 10), measured(*[1] * 10), Verdict.UNCLEAR, 1.0, 0.5)
    few = replace(report(), outcomes=(unclear,), runs=10)
    assert "measure with --runs 25, which tell a loss of one of 5 sets of values" in shown(few)
    # Before was kept, and has no more runs than it has.
    assert "before has 10 runs of it" in shown(replace(few, runs=25))
    enough = replace(unclear, before=measured(*[1] * 25))
    assert "while less else is at work" in shown(replace(few, runs=25, outcomes=(enough,)))


def test_what_a_comparison_rests_on_is_said_whatever_the_verdict() -> None:
    fine = Outcome(Query("a", "SELECT 1", {}, ((),)), measured(1), measured(1), Verdict.SAME, 1.0, 0.5)
    for note in ("2 of 5 sets of values hold a NULL, so", "planned under other settings: jit is on before and off after"):
        assert note in shown(replace(report(), outcomes=(replace(fine, notes=(note, "else")),)))


def test_text_for_people_has_no_control_characters() -> None:
    from rich.console import Console

    from hyperferry.cli.render.text import Line

    console = Console(width=200)
    with console.capture() as captured:
        for line in bench_lines(report()):
            console.print(line.rich() if isinstance(line, Line) else line)
    assert not re.search(r"\x1b\[31m &", captured.get())
    assert "no-time-predicate" in captured.get()
