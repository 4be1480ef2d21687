"""The Apache edition: what it cannot do is refused with what can be done instead; chunk interval and indexes work."""

from __future__ import annotations

import threading

import pytest

from hyperferry.errors import Failed, Refused
from hyperferry.upkeep import index_state, indexes
from servers import Database

from .life import TABLE, WHOLE, applied, difference, keys, owned, rules

pytestmark = pytest.mark.timeout(900)

OURS = """
chunk_interval = "14 days"
[[index]]
name = "player_stats_value_idx"
columns = ["player_id", "game_date DESC", "lower(stat_type)"]
include = ["value"]
where = "value > 0"
"""


def test_what_the_edition_has_is_done_and_the_rest_refused(db: Database) -> None:
    dsn = owned(db)
    found = difference(dsn, WHOLE)
    assert rules(found) == {"apache-edition"}
    assert [each.key for each in found.refusals] == [
        "compression",
        "retention-policy",
        "reorder-policy",
        "aggregate:player_weekly",
        "aggregate:player_daily",
    ]
    said = " ".join(each.remedy for each in found.refusals)
    assert (
        "SELECT public.drop_chunks('\"public\".\"player_stats\"', older_than => INTERVAL '2 years')" in said
    )
    with pytest.raises(Refused, match="5 refusals"):
        applied(dsn, WHOLE)
    assert keys(difference(dsn, OURS)) == ["chunk_interval", "index:player_stats_value_idx"]
    report = applied(dsn, OURS)
    assert len(report.done) == 2
    assert difference(dsn, OURS).empty
    assert not applied(dsn, OURS).done
    assert db.execute(
        "SELECT time_interval = interval '14 days' FROM timescaledb_information.dimensions"
    ) == [(True,)]
    assert db.execute(
        "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE pg_get_indexdef(indexrelid) LIKE '%lower(stat_type)%'"
    ) == [(1 + db.execute("SELECT count(*) FROM timescaledb_information.chunks")[0][0], True)]
    assert rules(difference(dsn, OURS.replace("lower(stat_type)", "stat_type"))) == {"index-not-buildable"}
    assert keys(
        difference(dsn, "chunk_interval = '14 days'", "player_stats", "index:player_stats_value_idx")
    ) == ["index:player_stats_value_idx"]
    applied(dsn, "chunk_interval = '14 days'", "player_stats", "index:player_stats_value_idx")
    assert db.execute("SELECT count(*) FROM pg_class WHERE relname LIKE '%value_idx'") == [(0,)]


def test_a_role_without_rights_changes_nothing(db: Database) -> None:
    owned(db)
    stranger = db.make_role("stranger")
    db.execute(f'GRANT SELECT ON player_stats TO "{stranger}"')
    assert rules(difference(db.dsn_as(stranger), OURS)) == {"missing-rights"}
    with pytest.raises(Refused):
        applied(db.dsn_as(stranger), OURS)


def test_writers_go_on_while_it_is_applied(db: Database) -> None:
    dsn = owned(db)
    with db.connect() as writer:
        writer.autocommit = False
        writer.execute(
            "INSERT INTO player_stats (player_id, stat_type, value, game_date) VALUES (1, 's', 1, now())"
        )
        applied(dsn, "chunk_interval = '1 day'")
        writer.commit()
    assert difference(dsn, "chunk_interval = '1 day'").empty


def test_a_chunk_that_is_held_for_a_while_is_waited_for(db: Database) -> None:
    """As by a policy that compresses it, or by VACUUM FULL, whenever `apply` looks."""
    dsn = owned(db)
    [(chunk,)] = db.execute("SELECT show_chunks('player_stats')::text LIMIT 1")
    with db.connect(autocommit=False) as holder:
        holder.execute(f"LOCK TABLE {chunk} IN ACCESS EXCLUSIVE MODE")
        release = threading.Timer(1.5, holder.rollback)
        release.start()
        applied(dsn, OURS)
        release.join()
    with db.connect(autocommit=False) as holder:
        timers: list[threading.Timer] = []

        def hold(text: str) -> None:
            if not timers:
                holder.execute(f"LOCK TABLE {chunk} IN ACCESS EXCLUSIVE MODE")
                timers.append(threading.Timer(1.5, holder.rollback))
                timers[0].start()

        applied(dsn, OURS.replace("14 days", "21 days"), say=hold)
        timers[0].join()
    assert difference(dsn, OURS.replace("14 days", "21 days")).empty


@pytest.mark.parametrize("name", ["", 'name = "by_status"'])
def test_an_index_whose_words_postgresql_changes_is_built_once(db: Database, name: str) -> None:
    dsn = owned(db)
    db.execute('ALTER TABLE player_stats ADD COLUMN status varchar(20), ADD COLUMN "Odd Name" int')
    text = f"""
[[index]]
{name}
columns = ["player_id"]
include = ['"Odd Name"']
where = "status IN ('a', 'b')"
"""
    assert len(applied(dsn, text).done) == 1
    assert difference(dsn, text).empty
    assert not applied(dsn, text).done
    count = "SELECT count(*) FROM pg_index WHERE indrelid = 'player_stats'::regclass AND indpred IS NOT NULL"
    assert db.execute(count) == [(1,)]


def test_an_index_that_is_not_recognised_is_not_built_again_and_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: one wish is one index in a run."""
    if db.release != "testing":
        pytest.skip("TimescaleDB's own way before 2.22 fails at the first")
    db.execute(TABLE)
    for module in (index_state, indexes):
        monkeypatch.setattr(module, "root_equals", lambda *arguments: [])
    with pytest.raises(Failed, match="still the database is otherwise"):
        applied(db.dsn, '[[index]]\ncolumns = ["player_id"]')
    assert db.execute(
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'player_stats_player_id_idx%' AND relnamespace = 'public'::regnamespace"
    ) == [(1,)]
