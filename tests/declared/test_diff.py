"""What stands between a file and a database, decided without one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.declared.diff import diff
from hyperferry.declared.spans import parse_span
from hyperferry.model.declared import OrderBy, Span
from hyperferry.model.difference import Kind, Work
from hyperferry.model.lifecycle import CompressionState, Drops, HypertableState, IndexState, JobKind
from hyperferry.model.names import TableName

from .life import keys, rules, wish
from .made import (
    COMMUNITY,
    COMPRESSED,
    COUNTED,
    DAILY,
    DAY,
    STATE,
    TABLE,
    daily,
    days,
    job,
    made_diff,
    readings,
)

AGGREGATE = """
[[continuous_aggregate]]
name = "daily"
query = "SELECT time_bucket('1 day', at) AS day, sum(value) AS total FROM stats GROUP BY 1"
"""
REFRESHED = AGGREGATE + "refresh = { start_offset = '3 days', end_offset = '1 hour', schedule = '1 hour' }\n"


BY_ID = CompressionState(True, ("player_id",), (OrderBy("id", False, False), OrderBy("at", True, True)))
BY_TOTAL = CompressionState(True, (), (OrderBy("total", False, False), OrderBy("day", True, True)))


@pytest.mark.parametrize(("unrefreshed", "first"), [(True, ["refresh:public.daily", "refresh:public.weekly"]), (False, [])])
def test_an_aggregate_over_one_that_waits_for_its_first_refresh_has_one_too(unrefreshed: bool, first: list[str]) -> None:
    """The lower one is there, and empty: where rows will come into it by a step before, they are refreshed from."""
    upper = "[[continuous_aggregate]]\nname = 'weekly'\nquery = \"SELECT time_bucket('7 days', day) AS week FROM daily GROUP BY 1\"\n"
    state = replace(STATE, aggregates=(daily(chunks=0),))
    found = keys(made_diff(AGGREGATE + upper, state, unrefreshed=unrefreshed))
    assert [each for each in found if each.startswith("refresh:")] == first


def test_nothing_wanted_is_no_difference_and_what_is_there_is_shown() -> None:
    state = replace(
        STATE,
        compression=COMPRESSED,
        jobs=(job(JobKind.COMPRESSION, after=days(30)), job(JobKind.RETENTION, after=Span(24))),
        aggregates=(daily(jobs=(job(JobKind.REFRESH, start_offset=days(3)),)),),
    )
    found = made_diff("", state)
    assert found.empty
    assert [each.key for each in found.unmanaged] == [
        "index:stats_at_idx",
        "compression",
        "aggregate:public.daily",
        "job:1000",
        "compression-policy",
        "retention-policy",
    ]


@pytest.mark.parametrize(
    ("text", "state", "expected"),
    [
        ("chunk_interval = '7 days'", STATE, []),
        ("chunk_interval = '168 hours'", STATE, []),
        ("chunk_interval = '1 day'", STATE, ["chunk_interval"]),
        ("chunk_interval = '604800'", COUNTED, []),
        ("chunk_interval = '7 days'", COUNTED, []),
        ("chunk_interval = '86400'", COUNTED, ["chunk_interval"]),
        ("compression = false", STATE, []),
        ("[compression]\nsegment_by = ['player_id']", STATE, ["compression"]),
        ("[compression]\nsegment_by = ['player_id']", replace(STATE, compression=COMPRESSED), []),
        ("[compression]\norder_by = ['at DESC']", replace(STATE, compression=COMPRESSED), []),
        (
            "[compression]\norder_by = ['at DESC NULLS LAST']",
            replace(STATE, compression=COMPRESSED),
            ["compression"],
        ),
        ("[compression]\nsegment_by = []", replace(STATE, compression=COMPRESSED), ["compression"]),
        # The time is added by TimescaleDB where the order does not name it.
        ("[compression]\norder_by = ['id']", replace(STATE, compression=BY_ID), []),
        ("[compression]\norder_by = ['id', 'at DESC']", replace(STATE, compression=BY_ID), []),
        ("[compression]\norder_by = ['id', 'at']", replace(STATE, compression=BY_ID), ["compression"]),
        ("[compression]\norder_by = ['id DESC']", replace(STATE, compression=BY_ID), ["compression"]),
        ("[compression]\norder_by = ['at DESC', 'id']", replace(STATE, compression=BY_ID), ["compression"]),
        ("[compression]\norder_by = []", replace(STATE, compression=COMPRESSED), []),
        (
            AGGREGATE + "compression = { order_by = ['total'] }",
            replace(STATE, aggregates=(daily(compression=BY_TOTAL),)),
            [],
        ),
        (
            AGGREGATE + "compression = { order_by = ['total'], segment_by = ['day'] }",
            replace(STATE, aggregates=(daily(compression=BY_TOTAL),)),
            ["compression:public.daily"],
        ),
        ("[compression]", replace(STATE, compression=COMPRESSED), []),
        (
            "[retention]\nafter = '2 years'",
            replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(24)),)),
            [],
        ),
        (
            "[retention]\nafter = '24 months'",
            replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(24)),)),
            [],
        ),
        (
            "[retention]\nafter = '730 days'",
            replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(24)),)),
            ["retention-policy"],
        ),
        (
            "retention = false",
            replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(24)),)),
            ["retention-policy"],
        ),
        ("retention = false", STATE, []),
        ("[reorder]\nindex = 'stats_at_idx'", STATE, ["reorder-policy"]),
        (
            "[reorder]\nindex = 'stats_at_idx'",
            replace(STATE, jobs=(job(JobKind.REORDER, index="stats_at_idx"),)),
            [],
        ),
        (
            AGGREGATE,
            replace(STATE, chunks=10),
            ["aggregate:public.daily", "refresh:public.daily"],
        ),
        (AGGREGATE, replace(STATE, chunks=0), ["aggregate:public.daily"]),
        (AGGREGATE, replace(STATE, aggregates=(daily(),)), []),
        (
            AGGREGATE + "materialized_only = false",
            replace(STATE, aggregates=(daily(),)),
            ["materialized-only:public.daily"],
        ),
        (REFRESHED, replace(STATE, aggregates=(daily(),)), ["refresh-policy:public.daily"]),
    ],
)
def test_the_steps_between(text: str, state: HypertableState, expected: list[str]) -> None:
    found = made_diff(text, state)
    assert keys(found) == expected
    assert not found.refusals


@pytest.mark.parametrize(
    ("unrefreshed", "expected"), [(True, ["refresh:public.daily"]), (False, []), (None, [])]
)
def test_a_first_refresh_that_was_interrupted(unrefreshed: bool | None, expected: list[str]) -> None:
    assert (
        keys(made_diff(AGGREGATE, replace(STATE, aggregates=(daily(),)), unrefreshed=unrefreshed)) == expected
    )


def test_a_policy_is_changed_where_it_stands() -> None:
    state = replace(
        STATE,
        compression=COMPRESSED,
        jobs=(job(JobKind.COMPRESSION, 1007, after=days(30), schedule=days(1)),),
    )
    [step] = made_diff("[compression]\nafter = '40 days'\nschedule = '12 hours'", state).steps
    assert step.kind is Kind.CHANGE
    assert step.texts == (
        'SELECT "public"."alter_job"(job_id, schedule_interval => INTERVAL \'12 hours\', '
        "config => jsonb_set(config, '{compress_after}', '\"40 days\"')) FROM timescaledb_information.jobs WHERE job_id = 1007",
    )
    assert step.back is not None
    assert "'\"30 days\"'" in step.back


@pytest.mark.parametrize(
    ("text", "state", "key"),
    [
        (
            "[retention]\nafter = '1 year'",
            replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(12), scheduled=False),)),
            "retention-policy",
        ),
        (
            "[compression]\nafter = '30 days'",
            replace(STATE, compression=COMPRESSED, jobs=(job(JobKind.COMPRESSION, after=days(30), scheduled=False),)),
            "compression-policy",
        ),
        (
            "[reorder]\nindex = 'stats_at_idx'",
            replace(STATE, jobs=(job(JobKind.REORDER, index="stats_at_idx", scheduled=False),)),
            "reorder-policy",
        ),
        (
            REFRESHED,
            replace(
                STATE,
                aggregates=(
                    daily(
                        jobs=(
                            job(
                                JobKind.REFRESH,
                                schedule=Span(microseconds=DAY // 24),
                                start_offset=days(3),
                                end_offset=Span(microseconds=DAY // 24),
                                scheduled=False,
                            ),
                        )
                    ),
                ),
            ),
            "refresh-policy:public.daily",
        ),
    ],
)
def test_a_policy_that_is_paused_is_not_what_the_file_wants(text: str, state: HypertableState, key: str) -> None:
    [step] = made_diff(text, state).steps
    assert (step.key, step.kind) == (key, Kind.CHANGE)
    assert "it is paused, and runs again" in step.what
    assert step.texts == (
        'SELECT "public"."alter_job"(job_id, scheduled => true) FROM timescaledb_information.jobs WHERE job_id = 1000',
    )
    assert step.back is not None
    assert "scheduled => false" in step.back


def test_a_policy_that_is_paused_and_other_is_changed_at_once() -> None:
    state = replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(24), scheduled=False),))
    [step] = made_diff("[retention]\nafter = '1 year'", state).steps
    assert "drop_after 2 years becomes 1 year, it is paused, and runs again" in step.what
    assert "scheduled => true, config => jsonb_set(config, '{drop_after}', '\"1 year\"')" in step.texts[0]


def test_a_policy_that_is_paused_and_that_the_file_does_not_mention_stays_so() -> None:
    state = replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(24), scheduled=False),))
    found = made_diff("chunk_interval = '7 days'", state)
    assert not found.steps
    assert ", paused" in next(each.what for each in found.unmanaged if each.key == "retention-policy")


def test_settings_that_the_file_does_not_mention_are_kept() -> None:
    [step] = made_diff("[compression]\nsegment_by = ['value']", replace(STATE, compression=COMPRESSED)).steps
    assert "timescaledb.segmentby = '\"value\"', timescaledb.orderby = '\"at\" DESC'" in step.texts[0]


def test_the_statement_says_the_whole_order() -> None:
    [step] = made_diff("[compression]\nsegment_by = ['player_id']\norder_by = ['id']", STATE).steps
    assert "timescaledb.orderby = '\"id\", \"at\" DESC'" in step.texts[0]
    # Of an aggregate that is yet to be made the column is not known: the server adds it.
    found = made_diff(AGGREGATE + "compression = { order_by = ['total'] }", replace(STATE, chunks=0))
    assert found.steps[-1].texts[0].endswith("timescaledb.orderby = '\"total\"')")


def test_an_order_that_the_database_does_not_have_is_not_made_up() -> None:
    """From TimescaleDB 2.22 on it is chosen for each chunk, where nobody said it."""
    now = CompressionState(True, ("player_id",), ())
    assert made_diff("[compression]\nsegment_by = ['player_id']", replace(STATE, compression=now)).empty
    [step] = made_diff("[compression]\nsegment_by = ['value']", replace(STATE, compression=now)).steps
    assert "orderby" not in step.texts[0]


def test_old_names_before_2_18() -> None:
    old = replace(COMMUNITY, timescaledb="2.9.0", columnstore=False, settings_change=False)
    found = made_diff("[compression]\nsegment_by = ['player_id']\nafter = '30 days'", STATE, old)
    assert (
        found.steps[0]
        .texts[0]
        .endswith("SET (timescaledb.compress = true, timescaledb.compress_segmentby = '\"player_id\"')")
    )
    assert '"add_compression_policy"' in found.steps[1].texts[0]


def test_what_would_be_dropped_at_once_is_told_and_wants_a_word() -> None:
    drops = Drops(
        (TableName("_timescaledb_internal", "_hyper_1_1_chunk"),), 1200, True, "2020-01-01 00:00:00+00"
    )
    [step] = made_diff("[retention]\nafter = '1 year'", drops=drops).steps
    assert "drops 1 chunk with 1,200 rows, up to 2020-01-01" in step.why
    assert step.confirm is not None
    assert step.confirm.drops == drops
    [change] = made_diff(
        "[retention]\nafter = '1 year'",
        replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(24)),)),
        drops=drops,
    ).steps
    assert change.confirm is not None
    [resumed] = made_diff(
        "[retention]\nafter = '1 year'",
        replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(12), scheduled=False),)),
        drops=drops,
    ).steps
    assert resumed.confirm is not None
    assert resumed.confirm.drops == drops
    [calm] = made_diff(
        "[retention]\nafter = '1 year'\nschedule = '2 days'",
        replace(STATE, jobs=(job(JobKind.RETENTION, after=Span(12)),)),
        drops=drops,
    ).steps
    assert calm.confirm is None


def test_retention_comes_last_and_aggregates_before_it() -> None:
    text = (
        REFRESHED.replace("3 days", "30 days")
        + "[retention]\nafter = '1 year'\n[compression]\nafter = '60 days'"
    )
    assert keys(made_diff(text)) == [
        "compression",
        "aggregate:public.daily",
        "refresh:public.daily",
        "refresh-policy:public.daily",
        "compression-policy",
        "retention-policy",
    ]


def test_before_the_cutover_only_what_changes_no_row() -> None:
    text = (
        "chunk_interval = '1 day'\n[compression]\nafter = '60 days'\n[retention]\nafter = '1 year'\n"
        "[[index]]\nname = 'i'\ncolumns = ['value']" + AGGREGATE
    )
    found = made_diff(text, before_cutover=True)
    assert keys(found) == ["chunk_interval", "index:i", "compression"]
    assert [step.key for step in found.later] == [
        "aggregate:public.daily",
        "refresh:public.daily",
        "compression-policy",
        "retention-policy",
    ]


def test_pruning_takes_what_is_named_and_nothing_else() -> None:
    state = replace(
        STATE, compression=COMPRESSED, jobs=(job(JobKind.RETENTION, after=Span(24)),), aggregates=(daily(),)
    )
    found = made_diff(
        "chunk_interval = '7 days'",
        state,
        COMMUNITY,
        "retention-policy",
        "aggregate:public.daily",
        "index:nowhere",
    )
    assert [(step.key, step.kind) for step in found.steps] == [
        ("retention-policy", Kind.REMOVE),
        ("aggregate:public.daily", Kind.REMOVE),
    ]
    assert found.absent == ("index:nowhere",)
    assert found.steps[1].confirm is not None
    assert found.steps[1].confirm.aggregate == DAILY
    assert found.steps[1].back is None
    assert "compression" in [each.key for each in found.unmanaged]


def test_an_index_is_built_as_what_it_is() -> None:
    found = made_diff(
        "[[index]]\nname = 'i'\ncolumns = ['value']\n[[index]]\nname = 'stats_at_idx'\ncolumns = ['at DESC']"
    )
    assert [step.work for step in found.steps] == [Work.INDEX, Work.INDEX]
    assert not found.steps[0].transactional
    assert "transaction_per_chunk" in found.steps[0].texts[0]


RETAINED = "[retention]\nafter = '10 days'\n"
KEEPING = "[retention]\nafter = '{}'\n" + REFRESHED.replace("{", "{{").replace("}", "}}").replace("'3 days'", "'{}'")
COMPRESSING = "[compression]\nafter = '2 days'\n"
REFUSED = [
    ("refresh-behind-retention", RETAINED + REFRESHED.replace("'3 days'", "'11 days'"), STATE),
    ("refresh-behind-retention", RETAINED + REFRESHED.replace("start_offset = '3 days', ", ""), STATE),
    (
        "refresh-behind-retention",
        RETAINED,
        replace(STATE, aggregates=(daily(jobs=(job(JobKind.REFRESH, start_offset=days(30)),)),)),
    ),
    ("refresh-behind-retention", REFRESHED, replace(STATE, jobs=(job(JobKind.RETENTION, after=days(2)),))),
    ("refresh-behind-retention", REFRESHED + "retention = { after = '2 days' }", STATE),
    # A month is no 30 days: half a year is 184 at most, a year 366.
    ("refresh-behind-retention", KEEPING.format("180 days", "6 months"), STATE),
    ("refresh-behind-retention", KEEPING.format("183 days", "6 months"), STATE),
    ("refresh-behind-retention", KEEPING.format("30 days", "1 month"), STATE),
    ("refresh-behind-retention", KEEPING.format("365 days", "1 year"), STATE),
    ("refresh-behind-retention", KEEPING.format("1 month", "29 days"), STATE),
    ("refresh-behind-retention", KEEPING.format("1 year", "366 days"), STATE),
    ("refresh-behind-retention", KEEPING.format("1 year 30 days", "13 months"), STATE),
    (
        "refresh-behind-retention",
        REFRESHED.replace("'3 days'", "'6 months'"),
        replace(STATE, jobs=(job(JobKind.RETENTION, after=days(180)),)),
    ),
    ("compression-inside-updates", "updates_within = '1 month'\n[compression]\nafter = '30 days'", STATE),
    ("compression-inside-updates", "[compression]\nafter = '180 days'" + REFRESHED.replace("'3 days'", "'6 months'"), STATE),
    ("compression-inside-updates", REFRESHED.replace("'3 days'", "'1 year'") + "compression = { after = '365 days' }", STATE),
    ("compression-inside-updates", COMPRESSING + REFRESHED, STATE),
    ("compression-inside-updates", "updates_within = '3 days'\n" + COMPRESSING, STATE),
    ("compression-inside-updates", REFRESHED + "compression = { after = '2 days' }", STATE),
    (
        "window-under-two-buckets",
        REFRESHED.replace("'3 days'", "'49 hours'").replace("'1 hour', s", "'2 hours', s"),
        STATE,
    ),
    ("missing-column", "[compression]\nsegment_by = ['players_id']", STATE),
    ("missing-column", "[compression]\norder_by = ['time DESC']", STATE),
    (
        "missing-column",
        AGGREGATE + "compression = { segment_by = ['player_id'] }",
        replace(STATE, aggregates=(daily(),)),
    ),
    ("segment-by-time", "[compression]\nsegment_by = ['at']", STATE),
    ("segment-by-time", "[compression]\nsegment_by = ['value']\norder_by = ['value']", STATE),
    ("compressed-chunks", "compression = false", replace(STATE, compression=COMPRESSED, compressed=3)),
    ("row-security", "[compression]", replace(STATE, row_security=True)),
    ("time-unit", "[retention]\nafter = 86400", STATE),
    ("time-unit", "[retention]\nafter = '1 day'", COUNTED),
    ("time-unit", "chunk_interval = '1 month'", STATE),
    ("time-unit", "chunk_interval = '86400'", STATE),
    ("time-unit", "chunk_interval = '3 days'", COUNTED),
    ("time-unit", "updates_within = 5", STATE),
    ("integer-now", "[retention]\nafter = 86400", replace(COUNTED, now_function=None)),
    ("aggregate-query-changed", AGGREGATE, replace(STATE, aggregates=(daily(query="SELECT 1"),))),
    ("name-taken", AGGREGATE + "[[index]]\nname = 'daily'\ncolumns = ['value']", STATE),
    ("another-time-column", "time_column = 'created_at'\nchunk_interval = '7 days'", STATE),
    ("reorder-index-missing", "[reorder]\nindex = 'nowhere'", STATE),
]


@pytest.mark.parametrize(("rule", "text", "state"), REFUSED)
def test_wishes_that_are_refused(rule: str, text: str, state: HypertableState) -> None:
    found = made_diff(text, state)
    assert rules(found) == {rule}
    assert not found.empty
    assert all(each.remedy and each.message.endswith(".") for each in found.refusals)
    assert {each.key for each in found.refusals}.isdisjoint(keys(found))


def test_a_window_that_only_the_calendar_makes_too_long_is_told_with_its_days() -> None:
    [refusal] = made_diff(KEEPING.format("180 days", "6 months")).refusals
    assert "reaches back to 6 months, which can be 184 days, and rows of public.stats are dropped after 180 days" in refusal.message
    [refusal] = made_diff(KEEPING.format("1 month", "29 days")).refusals
    assert "reaches back to 29 days, and rows of public.stats are dropped after 1 month, which can be 28 days" in refusal.message
    [refusal] = made_diff(KEEPING.format("10 days", "11 days")).refusals
    assert "can be" not in refusal.message


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (RETAINED + REFRESHED.replace("'3 days'", "'10 days'"), STATE),
        (KEEPING.format("184 days", "6 months"), STATE),
        (KEEPING.format("6 months", "6 months"), STATE),
        (KEEPING.format("6 months", "181 days"), STATE),
        (KEEPING.format("12 months", "1 year"), STATE),
        (KEEPING.format("1 year", "365 days"), STATE),
        (KEEPING.format("366 days", "1 year"), STATE),
        (KEEPING.format("1 month 12 hours", "1 month 11 hours"), STATE),
        (KEEPING.format("1 year 31 days", "13 months"), STATE),
        ("updates_within = '1 month'\n[compression]\nafter = '31 days'", STATE),
        ("updates_within = '28 days'\n[compression]\nafter = '1 month'", STATE),
        ("updates_within = '1 day'\n" + COMPRESSING + REFRESHED, STATE),
        (COMPRESSING.replace("'2 days'", "'3 days'") + REFRESHED, STATE),
        (REFRESHED.replace("'3 days'", "'49 hours'"), STATE),
        ("[compression]\nsegment_by = ['value']", replace(STATE, compression=COMPRESSED, compressed=3)),
        ("[reorder]\nindex = 'i'\n[[index]]\nname = 'i'\ncolumns = ['value']", STATE),
        ("[retention]\nafter = 86400", COUNTED),
    ],
)
def test_wishes_just_inside_the_bounds_are_not_refused(text: str, state: HypertableState) -> None:
    assert not made_diff(text, state).refusals


def test_settings_beside_compressed_chunks_before_2_14() -> None:
    old = replace(COMMUNITY, timescaledb="2.13.0", settings_change=False)
    state = replace(STATE, compression=COMPRESSED, compressed=3)
    assert rules(made_diff("[compression]\nsegment_by = ['value']", state, old)) == {"compressed-chunks"}
    assert not made_diff("[compression]\nsegment_by = ['player_id']", state, old).refusals


def test_an_owner_without_login_has_no_jobs() -> None:
    nobody = replace(COMMUNITY, owner_may_login=False)
    found = made_diff("[compression]\nafter = '1 day'\n[retention]\nafter = '2 days'", STATE, nobody)
    assert {each.key for each in found.refusals} == {"compression-policy", "retention-policy"}
    assert rules(found) == {"owner-without-login"}
    assert keys(found) == ["compression"]


def test_a_role_without_the_owners_rights() -> None:
    assert rules(made_diff("chunk_interval = '1 day'", STATE, replace(COMMUNITY, acts_as_owner=False))) == {
        "missing-rights"
    }


def test_an_aggregate_that_another_one_reads_is_not_pruned() -> None:
    weekly = TableName("public", "weekly")
    state = replace(STATE, aggregates=(daily(), daily(name=weekly, reads=DAILY)))
    assert rules(made_diff("", state, COMMUNITY, "aggregate:public.daily")) == {"pruned-but-read"}
    found = made_diff("", state, COMMUNITY, "aggregate:public.daily", "aggregate:public.weekly")
    assert keys(found) == ["aggregate:public.weekly", "aggregate:public.daily"]


@given(st.integers(0, 600), st.integers(0, 40_000_000_000_000), st.booleans())
def test_a_span_reads_as_it_is_written(months: int, microseconds: int, zero: bool) -> None:
    span = Span(months, microseconds)
    if not months and not microseconds:
        return
    assert parse_span(str(span), zero=zero) == span


@given(
    st.lists(st.sampled_from(["id", "player_id", "at", "value"]), unique=True, max_size=4),
    st.lists(
        st.tuples(st.sampled_from(["id", "player_id", "value"]), st.booleans(), st.booleans()),
        unique_by=lambda c: c[0],
        max_size=3,
    ),
)
def test_what_a_step_does_leaves_no_difference(
    segment: list[str], order: list[tuple[str, bool, bool]]
) -> None:
    """Settings as TimescaleDB keeps them after the step, declared by the same file, are no difference."""
    columns = [
        f"'{name}{' DESC' if down else ''} NULLS {'FIRST' if first else 'LAST'}'"
        for name, down, first in order
    ]
    text = f"[compression]\nsegment_by = {list(segment)}\norder_by = [{', '.join(columns)}]"
    kept = [*order, *([] if "at" in segment else [("at", True, True)])]
    after = CompressionState(True, tuple(segment), tuple(OrderBy(*each) for each in kept))
    assert keys(made_diff(text, replace(STATE, compression=after))) == []


def test_indexes_of_constraints_are_nobodys_business() -> None:
    state = replace(
        STATE, indexes=(IndexState("stats_pkey", "USING btree (id, at)", True, "stats_pkey", True),)
    )
    assert not made_diff("", state).unmanaged


def test_the_order_of_the_table_is_its_own() -> None:
    assert made_diff("chunk_interval = '1 day'").table == TABLE


def test_an_index_that_keeps_writers_waiting_wants_a_word() -> None:
    text = "[[index]]\nname = 'i'\ncolumns = ['value']"
    [calm] = made_diff(text).steps
    assert calm.confirm is None
    read = readings(text, STATE)
    [step] = diff(
        wish(text), STATE, COMMUNITY, replace(read, indexes=(replace(read.indexes[0], blocks=True),))
    ).steps
    assert step.confirm is not None
    assert step.confirm.blocks
