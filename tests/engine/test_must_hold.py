"""The whole job on real data while writers run: zero differences after the cutover and after the rollback, judged by SQL of our
own (`EXCEPT ALL` over rows as text) and by what the writers themselves know to be committed."""

from __future__ import annotations

import time

import pytest
from psycopg import sql

from hyperferry import engine
from hyperferry.model.plan_options import PlanOptions
from hyperferry.model.rollout import Phase
from kit.oracle import assert_same_rows, schema_dump
from kit.tables import Table, player_stats, real_player_stats
from kit.writers import Fleet
from servers import Database

ALL = frozenset({"all"})
RATE = 600.0


def _real_or_skip(db: Database) -> Table:
    with db.connect() as owner:
        table = real_player_stats(owner)
    if table is None:
        pytest.skip("the folder with real player statistics is not beside this repository")
    return table


def _hang_things_on(db: Database, table: Table) -> str:
    """A view, a grant, a role that writes. Returns the role."""
    role = db.make_role()
    with db.connect() as owner:
        owner.execute(
            sql.SQL("CREATE VIEW by_player AS SELECT player_id, count(*) AS n, sum(value) AS total FROM {} GROUP BY 1").format(
                table.ident
            )
        )
        owner.execute(sql.SQL("GRANT SELECT ON by_player TO {}").format(sql.Identifier(role)))
        owner.execute(
            sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON {} TO {}").format(table.ident, sql.Identifier(role))
        )
        owner.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(role)))
        owner.execute(sql.SQL("ANALYZE {}").format(table.ident))
    return role


def _same(db: Database, table: Table, elsewhere: str) -> None:
    with db.connect() as owner:
        assert_same_rows(owner, table.ident, table.elsewhere(elsewhere).ident, table.columns)


def _caught_up(db: Database, table: Table) -> None:
    report = engine.sync(db.dsn, table.quoted, until_empty=True)
    assert report.backlog == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_real_rows_move_and_come_back_under_four_writers(db: Database) -> None:
    """1.1 M real rows, four writers with 500 statements a second together (on a busy machine: most of what they make alone), in READ COMMITTED and REPEATABLE READ."""
    table = _real_or_skip(db)
    role = _hang_things_on(db, table)
    plan = engine.make_plan(db.dsn, table.quoted, table.time, PlanOptions())
    fleet = Fleet(db.dsn_as(role), table, writers=4, rate=RATE)
    with db.connect() as owner:
        fleet.start(owner)
        with fleet:
            time.sleep(3)
            alone = fleet.statements / 3
            before, began = fleet.statements, time.monotonic()
            assert engine.start(db.dsn, None, plan).phase is Phase.SYNCED
            rate = (fleet.statements - before) / (time.monotonic() - began)
            fleet.forbid_across_chunks()
            copied = engine.status(db.dsn, table.quoted)[0]
            assert copied.rows_copied > 1_000_000

            assert engine.cutover(db.dsn, table.quoted, accept=ALL).phase is Phase.CUT_OVER
            time.sleep(3)
            fleet.between(lambda: _proved(db, table, "hyperferry_old_1"))

            assert engine.rollback(db.dsn, table.quoted).phase is Phase.ROLLED_BACK
            time.sleep(3)
            fleet.between(lambda: _proved(db, table, "hyperferry_new_1"))

            assert engine.cutover(db.dsn, table.quoted, accept=ALL).phase is Phase.CUT_OVER
            time.sleep(2)
        # A machine that has other work makes them slower, us or no us.
        assert rate >= min(500, 0.6 * alone), (
            f"the writers made {rate:.0f} statements a second, too few to prove anything; {alone:.0f} before we came"
        )
        _proved(db, table, "hyperferry_old_1")
        engine.finish(db.dsn, table.quoted)
        fleet.check(owner)
    _works_afterwards(db, table, role)


def _proved(db: Database, table: Table, elsewhere: str) -> None:
    """Nothing is under way: the backlog is applied, and both tables hold the same rows."""
    _caught_up(db, table)
    _same(db, table, elsewhere)


def _works_afterwards(db: Database, table: Table, role: str) -> None:
    with db.connect() as owner, db.connect(role) as app:
        before = owner.execute(sql.SQL("SELECT max(id) FROM {}").format(table.ident)).fetchone()
        assert before is not None
        row = app.execute(
            sql.SQL(
                "INSERT INTO {} (player_id, game_id, stat_type, value, game_date) VALUES (1, 1, 'goals', 2, now()) RETURNING id"
            ).format(table.ident)
        ).fetchone()
        assert row is not None
        assert row[0] > before[0], "the sequence goes on"
        seen = app.execute("SELECT n FROM by_player WHERE player_id = 1").fetchone()
        assert seen is not None, "the view reads the hypertable"
        assert seen[0] >= 1
        hypertables = owner.execute("SELECT hypertable_name FROM timescaledb_information.hypertables").fetchall()
        assert hypertables == [(table.name,)]
        owned = owner.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table.quoted]).fetchone()
        assert owned is not None
        assert owned[0] is not None, "the sequence belongs to the hypertable"
        assert not owner.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'hyperferry\\_%'").fetchall()


@pytest.mark.timeout(300)
def test_after_abort_the_schema_is_what_it_was(db: Database) -> None:
    """`pg_dump --schema-only` prints exactly what it printed before, the ledger's own schema apart."""
    with db.connect() as owner:
        table = player_stats(owner, 20_000)
    role = _hang_things_on(db, table)
    before = schema_dump(db.dsn, db.server.program("pg_dump"))
    plan = engine.make_plan(db.dsn, table.quoted, table.time, PlanOptions())
    fleet = Fleet(db.dsn_as(role), table, writers=2, rate=100)
    with db.connect() as owner:
        fleet.start(owner)
        with fleet:
            engine.start(db.dsn, None, plan)
            fleet.forbid_across_chunks()
            engine.cutover(db.dsn, table.quoted, accept=ALL)
            engine.rollback(db.dsn, table.quoted)
            assert engine.abort(db.dsn, table.quoted).phase is Phase.ABORTED
        fleet.check(owner)
    assert schema_dump(db.dsn, db.server.program("pg_dump")) == before
