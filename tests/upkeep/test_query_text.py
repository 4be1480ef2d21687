"""A continuous aggregate's query taken apart, as PostgreSQL prints it."""

from __future__ import annotations

import pytest

from hyperferry.upkeep.aggregate_facts import Span
from hyperferry.upkeep.aggregates import overlaps
from hyperferry.upkeep.checking import _gone
from hyperferry.upkeep.query_text import bucketing, parse, restricted

PLAIN = """ SELECT public.time_bucket('1 day'::interval, ts) AS day,
    k,
    sum(v) AS total
   FROM s.st
  GROUP BY (public.time_bucket('1 day'::interval, ts)), k;"""

HARD = """ SELECT count(*) AS "n, FROM",
    st."Kind" AS "the ""kind"" of",
    public.time_bucket('1 mon'::interval, st.ts, 'Europe/Berlin'::text, "offset" => '02:00:00'::interval) AS mon,
    sum(CASE WHEN (st.k = ANY (ARRAY[1, 2])) THEN EXTRACT(epoch FROM st.ts) ELSE NULL::numeric END) AS x
   FROM s."ta,ble GROUP BY" st
  WHERE ((st.k > 0) AND (st.note <> ' GROUP BY ('::text))
  GROUP BY st."Kind", (public.time_bucket('1 mon'::interval, st.ts, 'Europe/Berlin'::text, "offset" => '02:00:00'::interval))
 HAVING (count(*) > 1);"""


def test_columns_and_keys_are_found() -> None:
    query = parse(PLAIN)
    assert list(query.columns) == ["day", "k", "total"]
    assert query.keys == ("day", "k")
    assert query.keyed
    hard = parse(HARD)
    assert list(hard.columns) == ["n, FROM", 'the "kind" of', "mon", "x"]
    assert hard.keys == ('the "kind" of', "mon")
    assert hard.keyed


def test_a_group_that_is_no_column_is_no_key() -> None:
    query = parse(PLAIN.replace("ts)), k;", "ts)), k, (k + 1);"))
    assert query.keys == ("day", "k")
    assert not query.keyed


def test_the_bucket_is_cut_at_its_time() -> None:
    cut = bucketing(parse(HARD).columns["mon"])
    assert (cut.time, cut.width) == ("st.ts", "'1 mon'::interval")
    assert cut.of("now()") == (
        "public.time_bucket('1 mon'::interval, now(), 'Europe/Berlin'::text, \"offset\" => '02:00:00'::interval)"
    )
    with pytest.raises(ValueError, match="no call"):
        bucketing("date_trunc('day', ts)")


def test_a_condition_joins_those_that_are_there() -> None:
    assert "WHERE (ts > 1) GROUP BY (public" in restricted(PLAIN, "ts > 1")
    text = restricted(HARD, "a OR b")
    assert "WHERE (a OR b) AND (((st.k > 0) AND (st.note <> ' GROUP BY ('::text))) GROUP BY st" in text


def test_a_span_touches_a_bucket_by_its_ends() -> None:
    assert overlaps([Span(5, 9)], 9, 20)
    assert overlaps([Span(5, 9)], 0, 6)
    assert not overlaps([Span(5, 9)], 10, 20)
    assert not overlaps([Span(5, 9)], 0, 5)


def test_a_bucket_whose_rows_may_be_gone() -> None:
    chunks = [(10, 20), (20, 30), (50, 60)]
    assert _gone(chunks, 5, 15)
    assert not _gone(chunks, 10, 15)
    assert _gone(chunks, 30, 50)
    assert not _gone(chunks, 25, 35)
    assert _gone([], 0, 1)
