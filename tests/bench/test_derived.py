"""What follows from kept figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import result

from bench.derived import completed
from bench.kept import FOLDER, keep, read
from bench.result import Figure, Ratio, from_json, ratios_of

PER_MILLION = {1_000_000: 8.0, 5_000_000: 4.0, 10_000_000: 4.0, 20_000_000: 4.4}


def grown(what: str = "time", values: dict[int, float] = PER_MILLION) -> list[Figure]:
    return [Figure("a", f"{rows:,} rows", "s per million rows", (seconds,), what, "less") for rows, seconds in values.items()]


def test_a_further_million_rows_is_what_the_fixed_part_is_not_in() -> None:
    made = completed(result(*grown(), name="growth"))
    further = [(figure.who, figure.values) for figure in made.figures if figure.what == "time of further rows, with ANALYZE"]
    assert further == [
        ("1,000,000 to 5,000,000 rows", (3.0,)),
        ("5,000,000 to 10,000,000 rows", (4.0,)),
        ("10,000,000 to 20,000,000 rows", (4.8,)),
    ]
    assert [(ratio.who, ratio.over, ratio.aim) for ratio in made.ratios] == [
        ("5,000,000 to 10,000,000 rows", "1,000,000 to 5,000,000 rows", 1.1),
        ("10,000,000 to 20,000,000 rows", "1,000,000 to 5,000,000 rows", 1.1),
    ]
    assert [ratio.median for ratio in made.ratios] == pytest.approx([4 / 3, 1.6])


def test_without_analyze_where_it_is_known() -> None:
    bare = {rows: seconds - 1.0 for rows, seconds in PER_MILLION.items()}
    made = completed(result(*grown(), *grown("time without ANALYZE", bare), name="growth"))
    further = [figure.median for figure in made.figures if figure.what == "time of further rows, without ANALYZE"]
    assert further == [2.0, 3.0, 3.8]
    assert {ratio.what for ratio in made.ratios} == {"time of further rows, without ANALYZE"}


def test_tables_so_small_that_the_larger_took_no_longer_tell_nothing() -> None:
    assert completed(result(*grown(values={1: 9.0, 2: 4.0, 3: 5.0}), name="growth")).ratios == ()


def test_a_ratio_of_conversions_with_each_sides_analyze() -> None:
    seconds = {"us": (5.0, 6.0), "us: ANALYZE": (1.0, 1.0), "they": (10.0, 10.0), "they: ANALYZE": (2.0, 4.0), "others": (1.0, 1.0)}
    figures = [Figure("a", who, "s", values) for who, values in seconds.items()]
    kept = (*ratios_of(figures, "us", "they", 0.4), *ratios_of(figures, "us", "others"))
    assert completed(result(*figures, ratios=kept)).ratios == (*kept, Ratio("a", "us", "they", (0.5, 0.5), None, "with ANALYZE"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_nothing_that_was_kept_is_changed_and_nothing_is_made_twice(path: Path, tmp_path: Path) -> None:
    kept = from_json(path.read_text("utf-8"))
    made = completed(kept)
    assert made.figures[: len(kept.figures)] == kept.figures
    assert made.ratios[: len(kept.ratios)] == kept.ratios
    keep(made, tmp_path)
    [again] = read(tmp_path)
    assert len(again.figures) == len(made.figures)
    assert len(again.ratios) == len(made.ratios)
    if kept.name == "conversion":
        both = [(ratio.case, ratio.who, ratio.over) for ratio in made.ratios if ratio.what == "with ANALYZE"]
        assert both == [(r.case, r.who, r.over) for r in kept.ratios if "verification" not in r.who]
