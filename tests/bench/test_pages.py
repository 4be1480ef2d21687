"""The pages say what the kept results say."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_results import pair, result

from bench import markdown, page, run
from bench.derived import completed
from bench.result import Curve, Figure, Ratio, ratios_of

SWAP = result(
    Figure("PG", "cutover", "ms", (40.0, 60.0, 80.0), "longest wait", "less", 50.0),
    Figure("PG", "rollback", "ms", (20.0,), "longest wait", "less", 50.0),
    ratios=(Ratio("PG", "copy <x>", "alone", (1.1,), 1.2, "p99"),),
    curves=(Curve("PG", "500 writes/s", "changes", ((0.0, 100.0), (2.0, 0.0))),),
    missing=("PG, 4,000 chunks: no room",),
    name="swap",
)


@pytest.mark.parametrize("path", run.pages(), ids=lambda path: path.name)
def test_the_page_on_disk_is_what_the_kept_results_give(path: Path) -> None:
    assert path.read_text("utf-8") == run.pages()[path], "run: python -m bench page"


def test_the_page_carries_what_no_later_run_measured() -> None:
    text = run.pages()[markdown.PAGE]
    for chunks in ("1,000", "4,000"):
        assert f"Not measured: PG 18.6 / TS 2.31.0, 200,000 rows, {chunks} chunks, 4 writers: The backlog does not become small" in text


def test_the_page_has_the_newest_of_each_case_the_aims_and_what_is_missing() -> None:
    text = markdown.render([pair((6.0,), (10.0,)), pair((5.0,), (10.0,), at="2026-02-01T00:00:00Z"), SWAP], "## Why\n\nSo.\n")
    assert "0.50" in text
    assert "0.60" not in text
    assert "| Cutover and rollback: cutover: longest wait, ms; PG | 60.00 (40.00 to 80.00) | 3 rounds | ≤ 50: **missed** by 20 % |  |" in text
    assert "| Cutover and rollback: copy <x> over alone, p99; PG | 1.10 | 1 round | ≤ 1.2: met |  |" in text
    assert "Not measured: PG, 4,000 chunks: no room" in text
    assert text.endswith("## Why\n\nSo.\n")


def test_beside_a_conversions_aim_is_what_has_none() -> None:
    ours, theirs, after = "hyperferry", "INSERT ... SELECT", "INSERT ... SELECT, indexes after"
    seconds = {ours: 5.0, theirs: 10.0, after: 8.0}
    figures = [Figure("a", who, "s", (value,)) for who, value in seconds.items()]
    figures += [Figure("a", f"{who}: ANALYZE", "s", (value,)) for who, value in {ours: 1.0, theirs: 2.0}.items()]
    ratios = [*ratios_of(figures, ours, theirs, 0.4), *ratios_of(figures, ours, after)]
    text = markdown.render([completed(result(*figures, ratios=tuple(ratios)))])
    assert "; a | 0.50 | 1 round | ≤ 0.4: **missed** by 25 % | with ANALYZE 0.50; over INSERT ... SELECT, indexes after 0.62 |" in text
    # As it was kept before there was either.
    text = markdown.render([result(*figures[:2], ratios=tuple(ratios[:1]))])
    assert "; a | 0.50 | 1 round | ≤ 0.4: **missed** by 25 % |  |" in text


def test_the_html_page_is_whole_and_asks_for_nothing_from_elsewhere() -> None:
    text = page.render([SWAP, pair((6.0,), (10.0,))])
    assert "<td>3 rounds: 40.00 to 80.00<td class=\"missed\">aim ≤ 50: MISSED by 20 %" in text
    assert "<td>1.10<td>1 round<td" in text
    assert "copy &lt;x&gt; over alone" in text
    assert text.count("<svg") == 3
    assert "<script" not in text
    assert "http" not in text
    for start in [place for place in range(len(text)) if text.startswith("<svg", place)]:
        drawn = ElementTree.fromstring(text[start : text.index("</svg>", start) + 6])
        assert drawn.findall("rect") or drawn.findall("polyline")


def test_nothing_kept_is_said() -> None:
    assert "Nothing is kept yet." in markdown.render([])
    assert "Nothing is kept yet." in page.render([])
