"""I9: what changes for the application is told beforehand, and the cutover refuses (exit code 3) until each is accepted."""

from __future__ import annotations

import psycopg
import pytest
from swap_support import (
    SMALL,
    WEEKS,
    Ready,
    before_swap_message,
    ready_fixture,  # noqa: F401
    refused,
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry import engine
from hyperferry.errors import Refused, Usage
from hyperferry.model.rollout import Phase
from servers import Server

RULES = {"cross-chunk-updates", "on-conflict-key", "snapshot-transactions", "widened-key"}


def needed(job: object, accept: frozenset[str] = frozenset()) -> set[str]:
    """What a dry run would be refused for."""
    preview = engine.cutover_dry_run(job.db.dsn, "t", accept=accept)  # type: ignore[attr-defined]
    return {refusal.split(":")[0] for refusal in preview.refusals}


def test_each_rule_has_to_be_accepted_by_name(ready: Ready) -> None:
    """Found in the catalogs before the plan: all but one accepted is not enough, whichever it is."""
    job = ready(
        SMALL
        + """
        CREATE FUNCTION upsert(i bigint) RETURNS void LANGUAGE sql AS
            'INSERT INTO t (id, at) VALUES (i, now()) ON CONFLICT (id) DO NOTHING';
        CREATE FUNCTION postpone(i bigint) RETURNS void LANGUAGE sql AS
            'UPDATE t SET at = at + interval ''1 month'' WHERE id = i';
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''',
            current_database()); END $$;
        """
    )
    # A database's settings do not come with its template.
    job.db.execute(f"ALTER DATABASE \"{job.db.name}\" SET default_transaction_isolation = 'repeatable read'")
    assert needed(job) == RULES
    for rule in sorted(RULES):
        rest = frozenset(RULES - {rule})
        before = job.phase()
        with pytest.raises(Refused, match="was not accepted") as caught:
            job.cutover(accept=rest)
        assert caught.value.exit_code == 3
        assert set(caught.value.facts) == {rule}
        assert f"--accept {rule}" in str(caught.value)
        assert (job.phase(), needed(job, rest)) == (before, {rule})
    with refused(job, Refused, "was not accepted"):
        job.cutover(accept=frozenset())
    assert job.cutover(accept=frozenset(RULES)).phase is Phase.CUT_OVER


def test_all_accepts_every_one(ready: Ready) -> None:
    job = ready()
    assert needed(job) == {"widened-key"}
    assert needed(job, frozenset({"all"})) == set()
    job.cutover(accept=frozenset({"all"}))


def test_what_was_accepted_once_is_kept_for_the_rollout(ready: Ready) -> None:
    job = ready()
    job.cutover(accept=frozenset({"widened-key"}))
    job.rollback()
    assert job.cutover(accept=frozenset()).phase is Phase.CUT_OVER
    assert job.run(
        "SELECT detail->'accept' FROM hyperferry.event WHERE kind = 'accepted' ORDER BY id LIMIT 1"
    ) == [(["widened-key"],)]


def test_all_is_kept_by_the_names_that_it_stood_for(ready: Ready) -> None:
    """Like what was named: accepted for the next cutover of the rollout too, but not what is found only later."""
    job = ready()
    job.cutover(accept=frozenset({"all"}))
    job.rollback()
    assert job.run("SELECT detail->'accept' FROM hyperferry.event WHERE kind = 'accepted'") == [
        (["snapshot-transactions", "widened-key"],)
    ]
    assert job.cutover(accept=frozenset()).phase is Phase.CUT_OVER
    job.rollback()
    job.run("UPDATE t SET at = at + interval '20 days' WHERE id = 3")
    job.sync()
    with refused(job, Refused, "was not accepted"):
        job.cutover(accept=frozenset())
    assert needed(job) == {"cross-chunk-updates"}
    assert job.cutover(accept=frozenset({"all"})).phase is Phase.CUT_OVER


def test_a_refused_cutover_accepts_nothing(ready: Ready) -> None:
    """What was named in a call that was refused for another rule has to be named again."""
    job = ready()
    job.run("UPDATE t SET at = at + interval '20 days' WHERE id = 3")
    job.sync()
    with pytest.raises(Refused):
        job.cutover(accept=frozenset({"widened-key"}))
    assert needed(job) == {"cross-chunk-updates", "widened-key"}


def test_what_there_is_not_cannot_be_accepted(ready: Ready) -> None:
    job = ready()
    with refused(job, Usage, "nothing called"):
        job.cutover(accept=frozenset({"wider-key"}))


@pytest.mark.peer(number=20)
def test_updates_across_chunks_are_found_in_the_change_log(ready: Ready) -> None:
    """No function, no statistics: the application simply does it. Within a chunk is no matter."""
    job = ready()
    job.run("UPDATE t SET at = at + interval '1 second' WHERE id < 20")
    job.sync()
    assert needed(job) == {"widened-key"}
    job.run("UPDATE t SET at = at + interval '15 days' WHERE id = 3")
    job.sync()
    assert needed(job) == {"cross-chunk-updates", "widened-key"}
    with pytest.raises(Refused) as caught:
        job.cutover(accept=frozenset({"widened-key"}))
    assert "the change log shows" in str(caught.value)
    job.cutover(accept=frozenset({"widened-key", "cross-chunk-updates"}))
    same_after_sync(job)


@pytest.mark.peer(number=20)
def test_updates_across_chunks_are_found_by_the_cutover_itself(ready: Ready) -> None:
    """Nobody carried the change over before: the cutover's own drain meets it, and no cutover that was asked for follows."""
    job = ready()
    job.run("UPDATE t SET at = at + interval '15 days' WHERE id = 3")
    with refused(job, Refused, "was not accepted"):
        job.cutover(accept=frozenset({"widened-key"}))
    assert needed(job, frozenset({"widened-key"})) == {"cross-chunk-updates"}
    job.cutover(accept=frozenset({"widened-key", "cross-chunk-updates"}))
    same_after_sync(job)


@pytest.mark.parametrize("accepted", [False, True])
def test_updates_across_chunks_are_found_under_the_lock(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, accepted: bool
) -> None:
    """Made after everything else was looked at."""
    job = ready()
    before_swap_message(monkeypatch, lambda conn: job.run("UPDATE t SET at = at + interval '15 days' WHERE id = 3"))
    if accepted:
        job.cutover(accept=frozenset({"all"}))
        same_after_sync(job)
        return
    with pytest.raises(Refused, match="was not accepted") as caught:
        job.cutover(accept=frozenset({"widened-key"}))
    assert "--accept cross-chunk-updates" in str(caught.value)
    assert job.phase() == "synced"
    assert needed(job, frozenset({"widened-key"})) == {"cross-chunk-updates"}
    same_after_sync(job)


UUIDS = """
CREATE FUNCTION at_day(n numeric) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
SELECT regexp_replace(lpad(to_hex((1704067200000 + n * 86400000)::bigint), 12, '0') || '70008000000000000000',
                      '(.{8})(.{4})(.{4})(.{4})', '\\1-\\2-\\3-\\4-')::uuid $$;
CREATE TABLE t (id bigint PRIMARY KEY, at uuid NOT NULL, note text);
INSERT INTO t SELECT i, at_day(i) FROM generate_series(1, 60) AS i;
CREATE INDEX t_at ON t (at);
"""
"""Row i is of day i of 2024; a week's chunks begin with the days 3, 10, 17, ..."""


def test_updates_of_a_uuid_across_chunks_are_found(ready: Ready, server: Server) -> None:
    if server.release == "stable":
        pytest.skip("TimescaleDB 2.19 cannot cut by a uuid; 2.22 was the first that could")
    job = ready(UUIDS, WEEKS)
    job.run("UPDATE t SET at = at_day(9.999) WHERE id = 4; UPDATE t SET at = at_day(10) WHERE id = 16")
    job.sync()
    assert needed(job) == {"widened-key"}
    job.run("UPDATE t SET at = at_day(10) WHERE id = 5")
    with refused(job, Refused, "was not accepted"):
        job.cutover(accept=frozenset({"widened-key"}))
    assert needed(job, frozenset({"widened-key"})) == {"cross-chunk-updates"}
    job.cutover(accept=frozenset({"widened-key", "cross-chunk-updates"}))
    with pytest.raises(psycopg.errors.CheckViolation):
        job.run("UPDATE t SET at = at_day(10) WHERE id = 6")
    job.run("UPDATE t SET at = at_day(3) WHERE id = 6; UPDATE t SET note = 'changed' WHERE id % 3 = 0")
    same_after_sync(job)


def test_updates_of_a_uuid_across_chunks_are_found_under_the_lock(
    ready: Ready, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if server.release == "stable":
        pytest.skip("TimescaleDB 2.19 cannot cut by a uuid; 2.22 was the first that could")
    job = ready(UUIDS, WEEKS)
    before_swap_message(monkeypatch, lambda conn: job.run("UPDATE t SET at = at_day(10) WHERE id = 5"))
    with pytest.raises(Refused, match="was not accepted") as caught:
        job.cutover(accept=frozenset({"widened-key"}))
    assert "--accept cross-chunk-updates" in str(caught.value)


def test_updates_across_chunks_are_found_while_the_copy_runs(copied) -> None:  # type: ignore[no-untyped-def]
    job = copied(SMALL, options=WEEKS)
    job.run("UPDATE t SET at = at + interval '15 days' WHERE id = 3")
    job.start()
    assert "cross-chunk-updates" in needed(job)


def test_what_is_found_since_the_plan_counts_too(ready: Ready) -> None:
    """A function that appears later, and a setting of a role: read again at the cutover."""
    job = ready()
    job.db.execute(
        "CREATE FUNCTION later(i bigint) RETURNS void LANGUAGE sql AS "
        "'INSERT INTO t (id, at) VALUES (i, now()) ON CONFLICT (id) DO UPDATE SET note = ''x'''"
    )
    role = job.db.make_role()
    job.db.execute(
        f'ALTER ROLE "{role}" IN DATABASE "{job.db.name}" SET default_transaction_isolation = \'serializable\''
    )
    assert needed(job) == {"on-conflict-key", "snapshot-transactions", "widened-key"}


def test_a_table_whose_key_holds_the_time_needs_nothing_accepted(ready: Ready) -> None:
    job = ready(
        SMALL.replace("id bigserial PRIMARY KEY", "id bigserial").replace(
            "note text)", "note text, PRIMARY KEY (id, at))"
        )
    )
    assert needed(job) == set()
    job.cutover(accept=frozenset())


def test_what_would_break_is_a_blocker_before_anything_starts(job) -> None:  # type: ignore[no-untyped-def]
    """Publications, whole-row views, functions of the row type, views that group by the key alone."""
    made = job(
        SMALL
        + """
        CREATE PUBLICATION p FOR TABLE t;
        CREATE VIEW whole AS SELECT t AS row FROM t;
        CREATE FUNCTION of_row(t) RETURNS bigint LANGUAGE sql AS 'SELECT $1.id';
        CREATE VIEW by_key AS SELECT id, note, count(*) FROM t GROUP BY id;
        """,
        options=WEEKS,
    )
    with pytest.raises(Refused) as caught:
        made.start()
    assert {"publications", "row-type-dependents", "view-groups-by-key"} <= set(caught.value.facts)
    assert caught.value.exit_code == 3
    assert not made.db.execute("SELECT FROM pg_namespace WHERE nspname LIKE 'hyperferry%'")
