"""Each operation, online: what it does, done twice, and undone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from alembic.util import CommandError

from servers import Database

from .conftest import Act, Place

WIDE = ["id", "game_date"]


def made(op: Any) -> None:
    op.create_hypertable("player_stats", "game_date", chunk_interval="7 days", primary_key=WIDE)


def rows(db: Database) -> Any:
    return db.execute("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM player_stats AS t")


def test_a_table_becomes_a_hypertable_twice_over_and_a_plain_table_again(place: Place) -> None:
    plain, before = place.state(), rows(place.db)
    place.run(made)
    now = place.state()
    assert now[1] == place.db.execute(
        "SELECT 'public'::name, 'player_stats'::name, 'game_date'::name, interval '7 days', NULL::bigint"
    )
    assert rows(place.db) == before
    assert "PRIMARY KEY (id, game_date)" in now[0]
    place.run(made)
    assert place.state() == now
    place.run(lambda op: op.revert_hypertable("player_stats"))
    assert rows(place.db) == before
    assert place.state() == (
        plain[0].replace("PRIMARY KEY (id)", "PRIMARY KEY (id, game_date)"),
        [],
        plain[2],
    )
    place.run(lambda op: op.revert_hypertable("player_stats"))
    assert place.db.execute(
        "INSERT INTO player_stats (player_id, stat_type, game_date) VALUES (1, 'x', now()) RETURNING id"
    ) == [(2001,)]


def test_the_way_back_takes_along_what_hangs_on_the_table(place: Place) -> None:
    role = place.db.make_role()
    place.db.execute(
        "CREATE TABLE players (id int PRIMARY KEY); INSERT INTO players SELECT generate_series(0, 29);"
        "ALTER TABLE player_stats ADD FOREIGN KEY (player_id) REFERENCES players, ADD CHECK (value >= 0),"
        " ADD COLUMN doubled numeric GENERATED ALWAYS AS (value * 2) STORED, ADD COLUMN n int GENERATED ALWAYS AS IDENTITY;"
        "CREATE INDEX partial ON player_stats (stat_type) INCLUDE (value) WHERE value > 5;"
        f"GRANT SELECT, INSERT ON player_stats TO {role}; ALTER TABLE player_stats ALTER value SET STORAGE external;"
        "ALTER TABLE player_stats DROP CONSTRAINT player_stats_pkey, ADD CONSTRAINT player_stats_pkey PRIMARY KEY (id, game_date)"
    )
    plain, before = place.state(), rows(place.db)
    place.run(made)
    assert place.state()[1]
    place.run(lambda op: op.revert_hypertable("player_stats"))
    assert (place.state(), rows(place.db)) == (plain, before)
    assert place.db.execute(
        "INSERT INTO player_stats (player_id, stat_type, game_date) VALUES (1, 'x', now()) RETURNING n"
    ) == [(2001,)]


def test_the_way_back_gives_nobody_more_than_he_had(place: Place) -> None:
    """What the role's default privileges would give goes; what was set on the table and its parts comes back."""
    role, other = place.db.make_role(), place.db.make_role()
    place.db.execute(
        "ALTER TABLE player_stats ADD COLUMN n int GENERATED ALWAYS AS IDENTITY;"
        f"GRANT SELECT ON player_stats TO {role}; GRANT USAGE ON SEQUENCE player_stats_n_seq TO {role};"
        f"REVOKE DELETE ON player_stats FROM CURRENT_USER;"
        "ALTER TABLE player_stats DROP CONSTRAINT player_stats_pkey, ADD CONSTRAINT player_stats_pkey PRIMARY KEY (id, game_date);"
        "COMMENT ON CONSTRAINT player_stats_pkey ON player_stats IS 'the key'; COMMENT ON INDEX player_stats_player_idx IS 'by player';"
        "CREATE STATISTICS related ON player_id, stat_type FROM player_stats; COMMENT ON STATISTICS related IS 'they go together';"
        "ALTER TABLE player_stats ALTER stat_type SET STATISTICS 500, ALTER player_id SET (n_distinct = 30);"
        "ALTER TABLE player_stats CLUSTER ON player_stats_player_idx; ALTER TABLE player_stats ENABLE ROW LEVEL SECURITY;"
    )
    look = (
        "SELECT (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(c.relacl) AS a), c.relrowsecurity, c.relforcerowsecurity,"
        " (SELECT relacl FROM pg_class WHERE oid = 'player_stats_n_seq'::regclass),"
        " obj_description('player_stats_player_idx'::regclass, 'pg_class'),"
        " (SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'player_stats_pkey' AND conrelid = c.oid),"
        " (SELECT array_agg(pg_get_statisticsobjdef(oid) || obj_description(oid, 'pg_statistic_ext')) FROM pg_statistic_ext WHERE stxrelid = c.oid),"
        " (SELECT array_agg((attname, attstattarget, ARRAY(SELECT o FROM unnest(attoptions) AS o WHERE o NOT LIKE 'pg_attver=%'))::text "
        "ORDER BY attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),"
        " (SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = c.oid AND indisclustered)"
        " FROM pg_class AS c WHERE c.oid = 'player_stats'::regclass"
    )
    before = place.db.execute(look)
    place.run(made)
    place.db.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {other}; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    place.run(lambda op: op.revert_hypertable("player_stats"))
    assert place.state()[1] == []
    assert place.db.execute(look) == before


def test_triggers_do_not_fire_for_rows_that_only_move(place: Place) -> None:
    place.db.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'TRUNCATE' THEN RAISE 'no'; END IF; IF NEW.player_id = 1 THEN RETURN NULL; END IF; NEW.value := -1; RETURN NEW; END $$;"
        "CREATE TRIGGER spoils BEFORE INSERT ON player_stats FOR EACH ROW EXECUTE FUNCTION spoil();"
        "CREATE TRIGGER guards BEFORE TRUNCATE ON player_stats EXECUTE FUNCTION spoil();"
        "COMMENT ON TRIGGER spoils ON player_stats IS 'minus one'"
    )
    before = rows(place.db)
    place.run(made)
    assert place.state()[1]
    assert rows(place.db) == before
    assert place.db.execute(
        "INSERT INTO player_stats (player_id, stat_type, game_date) VALUES (2, 'x', now()) RETURNING value"
    ) == [(-1,)]
    assert place.db.execute(
        "SELECT tgname::text, obj_description(oid) FROM pg_trigger WHERE tgrelid = 'player_stats'::regclass "
        "AND tgname IN ('spoils', 'guards') ORDER BY 1"
    ) == [("guards", None), ("spoils", "minus one")]


def test_a_trigger_that_chunks_would_have_otherwise_is_refused(place: Place) -> None:
    place.db.execute(
        "CREATE TRIGGER quiet BEFORE UPDATE ON player_stats FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();"
        "ALTER TABLE player_stats DISABLE TRIGGER quiet"
    )
    before = place.state()
    with pytest.raises(CommandError, match="the trigger quiet of player_stats is not in its ordinary state"):
        place.run(made)
    assert place.state() == before


def test_rows_that_row_security_hides_are_not_lost(place: Place) -> None:
    """The owner under FORCE sees no row of a table without a policy, and would have copied none."""
    owner = place.db.make_role()
    place.run(made)
    place.db.execute(
        f"ALTER TABLE player_stats OWNER TO {owner}; ALTER TABLE player_stats ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        f"GRANT CREATE ON SCHEMA public TO {owner}"
    )
    before, many = place.state(), rows(place.db)
    with pytest.raises(CommandError, match="row security may hide rows from this role, which would be lost") as raised:
        place.run(lambda op: (op.execute(f"SET LOCAL ROLE {owner}"), op.revert_hypertable("player_stats")))
    assert "BYPASSRLS" in str(raised.value)
    assert (place.state(), rows(place.db)) == (before, many)
    place.run(lambda op: op.revert_hypertable("player_stats"))
    assert rows(place.db) == many
    with pytest.raises(CommandError, match="the rows of player_stats cannot be counted"):
        place.run(lambda op: (op.execute(f"SET LOCAL ROLE {owner}"), made(op)))
    assert place.db.execute("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'player_stats'::regclass") == [(True, True)]


def test_what_cannot_be_taken_back_is_named_and_nothing_is_done(place: Place) -> None:
    place.run(made)
    place.db.execute(
        "CREATE VIEW totals AS SELECT player_id, sum(value) FROM player_stats GROUP BY 1;"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER stamped BEFORE INSERT ON player_stats FOR EACH ROW EXECUTE FUNCTION f()"
    )
    before = place.state()
    with pytest.raises(CommandError, match="the trigger stamped, the view totals") as raised:
        place.run(lambda op: op.revert_hypertable("player_stats"))
    assert "Drop them in the same downgrade" in str(raised.value)
    assert place.state() == before


def test_the_guard(place: Place) -> None:
    """More rows than may be rewritten: refused, unless the environment or the database says so."""

    def small(op: Any) -> None:
        op.create_hypertable("player_stats", "game_date", primary_key=WIDE, max_rows=1_999)

    before = place.state()
    with pytest.raises(CommandError, match="player_stats has more than 1999 rows") as raised:
        place.run(small)
    for word in (
        "hyperferry start",
        "op.require_rollout",
        "FORCE_PLAYER_STATS_HT=1",
        "hyperferry flag on --name FORCE_PLAYER_STATS_HT",
    ):
        assert word in str(raised.value)
    with pytest.raises(CommandError, match="more than 1999 rows"):
        place.run(small, FORCE_PLAYER_STATS_HT="0", FORCE_OTHER_HT="1")
    assert place.state() == before
    place.run(small, FORCE_PLAYER_STATS_HT="1")
    assert place.state()[1]
    with pytest.raises(CommandError, match="more than 1999 rows"):
        place.run(lambda op: op.revert_hypertable("player_stats", max_rows=1_999))
    place.run(lambda op: op.revert_hypertable("player_stats"))
    from hyperferry.flag.setting import put

    put(place.db.dsn, "50%", name="FORCE_PLAYER_STATS_HT")
    with pytest.raises(CommandError, match="more than 1999 rows"):
        place.run(small)
    put(place.db.dsn, "on", name="FORCE_PLAYER_STATS_HT")
    place.run(small)
    assert place.state()[1]


def test_exactly_as_many_rows_as_may_be_are_rewritten(place: Place) -> None:
    place.run(lambda op: op.create_hypertable("player_stats", "game_date", primary_key=WIDE, max_rows=2_000))
    assert place.state()[1]


def test_what_is_wrong_is_said_in_a_line_and_nothing_is_done(place: Place) -> None:
    before = place.state()
    cases: list[tuple[Any, str]] = [
        (lambda op: op.create_hypertable("nowhere", "game_date"), 'there is no table "nowhere"'),
        (lambda op: op.create_hypertable("player_stats", "game_date", chunk_interval=0), "0 is no width"),
        (lambda op: op.require_rollout("player_stats", phase="done"), "'done' is no phase of a rollout"),
        (
            lambda op: op.require_rollout("player_stats"),
            "has to be cut_over before this revision; it has not begun",
        ),
        (lambda op: op.create_hypertable_index("i", "nowhere", ["x"]), 'there is no table "nowhere"'),
        (
            lambda op: op.create_hypertable_index("i", "player_stats", ["value"], per_chunk=True),
            "autocommit_block",
        ),
        (lambda op: op.apply_policies("player_stats", "nowhere.toml"), "There is no file nowhere.toml"),
    ]
    for act, words in cases:
        with pytest.raises(CommandError) as raised:
            place.run(act)
        assert words in str(raised.value)
    place.run(made)
    with pytest.raises(CommandError, match="is a hypertable by game_date already, not by id"):
        place.run(lambda op: op.create_hypertable("player_stats", "id"))
    place.run(lambda op: op.revert_hypertable("player_stats"))
    assert place.state()[1:] == before[1:]


def test_a_database_without_the_extension(place: Place) -> None:
    place.db.execute("DROP EXTENSION timescaledb CASCADE")
    with pytest.raises(CommandError, match="this database has no TimescaleDB"):
        place.run(made)


def test_who_waits_for_the_table_makes_everybody_wait_only_for_so_long(place: Place) -> None:
    import sqlalchemy.exc

    with place.db.connect(autocommit=False) as reader:
        reader.execute("SELECT count(*) FROM player_stats")
        with pytest.raises(sqlalchemy.exc.OperationalError, match="lock timeout"):
            place.run(
                lambda op: op.create_hypertable(
                    "player_stats", "game_date", primary_key=WIDE, lock_timeout="50ms"
                )
            )
    place.run(
        lambda op: (
            made(op),
            op.execute("CREATE TABLE waits AS SELECT current_setting('lock_timeout') AS is"),
        )
    )
    assert place.db.execute("SELECT * FROM waits") == [("0",)]


def test_the_way_back_wants_to_see_every_row(place: Place) -> None:
    """A snapshot from before its lock would leave out what was committed in between, which is dropped then."""
    place.run(made)
    before = place.state()
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        with pytest.raises(CommandError, match=f"is not copied in a transaction in {level}") as raised:
            place.run(
                lambda op, level=level: (
                    op.execute(f"SET TRANSACTION ISOLATION LEVEL {level}"),
                    op.revert_hypertable("player_stats"),
                )
            )
        assert "Run this revision in READ COMMITTED" in str(raised.value)
    assert place.state() == before


def test_a_hypertable_that_this_role_may_not_look_at_is_no_matter(place: Place) -> None:
    role = place.db.make_role()
    place.db.execute(
        "CREATE SCHEMA private; CREATE TABLE private.t (id int, at timestamptz NOT NULL);"
        "SELECT create_hypertable('private.t', 'at');"
        f'ALTER TABLE player_stats OWNER TO "{role}"; GRANT CREATE ON SCHEMA public TO "{role}"'
    )

    def as_role(op: Any) -> None:
        op.execute(f'SET LOCAL ROLE "{role}"')
        made(op)
        made(op)
        op.create_hypertable_index("by_value", "player_stats", ["value"])
        op.drop_hypertable_index("by_value", "player_stats")
        op.revert_hypertable("player_stats")

    place.run(as_role)
    assert [row[1] for row in place.state()[1]] == ["t"]


def test_a_name_that_something_else_has_is_no_index_of_ours(place: Place) -> None:
    place.run(made)
    place.db.execute("CREATE TABLE other (value int); CREATE INDEX by_value ON other (value)")

    def act(op: Any, per_chunk: bool) -> None:
        with op.get_context().autocommit_block():
            op.create_hypertable_index("by_value", "player_stats", ["value"], per_chunk=per_chunk)

    for per_chunk in (False, True):
        with pytest.raises(CommandError, match="another relation called by_value"):
            place.run(lambda op, per_chunk=per_chunk: act(op, per_chunk))


def test_no_operation_waits_for_a_lock_for_ever(place: Place) -> None:
    """Where the session says nothing of its own; what it says counts."""
    import sqlalchemy.exc

    place.run(made)
    place.run(lambda op: op.create_hypertable_index("by_value", "player_stats", ["value"]))

    def create(op: Any) -> None:
        op.create_hypertable_index("by_type", "player_stats", ["stat_type"])

    def seconds(act: Act, limit: str) -> float:
        """For which it waited."""
        began = time.monotonic()
        with pytest.raises(sqlalchemy.exc.OperationalError, match="lock timeout"):
            place.run(lambda op: (op.execute(f"SET LOCAL lock_timeout = '{limit}'"), act(op)))
        return time.monotonic() - began

    with place.db.connect(autocommit=False) as writer:
        writer.execute("UPDATE player_stats SET value = 0 WHERE id = 1")
        for act in (create, lambda op: op.drop_hypertable_index("by_value", "player_stats")):
            assert 2.5 <= seconds(act, "0") < 60
            assert min(seconds(act, "50ms") for _ in range(3)) < 2
    place.run(lambda op: (create(op), op.execute("CREATE TABLE waits AS SELECT current_setting('lock_timeout') AS is")))
    assert place.db.execute("SELECT * FROM waits") == [("0",)]


def test_chunk_interval(place: Place) -> None:
    place.run(made)
    place.run(lambda op: op.set_chunk_interval("player_stats", "14 days"))
    assert place.db.execute("SELECT time_interval = '14 days' FROM timescaledb_information.dimensions") == [
        (True,)
    ]


def test_indexes(place: Place) -> None:
    place.run(made)

    def good(op: Any) -> None:
        op.create_hypertable_index(
            "by type: all", "player_stats", ["stat_type", "lower(stat_type)", "game_date DESC"],
            include=["value"], where="stat_type LIKE 'stat%' AND stat_type <> 'a:b'",
        )  # fmt: skip

    place.run(good)
    (text,) = place.db.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'by type: all'")[0]
    assert text.partition(" ON ")[2] == (
        "public.player_stats USING btree (stat_type, lower(stat_type), game_date DESC) INCLUDE (value) "
        "WHERE ((stat_type ~~ 'stat%'::text) AND (stat_type <> 'a:b'::text))"
    )
    before = place.state()
    place.run(good)
    assert place.state() == before
    place.db.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"by type: all\"'::regclass")
    place.run(good)
    assert place.db.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = '\"by type: all\"'::regclass"
    ) == [(True,)]
    place.run(lambda op: op.drop_hypertable_index("by type: all", "player_stats"))
    place.run(lambda op: op.drop_hypertable_index("by type: all", "player_stats"))
    assert place.db.execute("SELECT count(*) FROM pg_indexes WHERE indexname = 'by type: all'") == [(0,)]


def test_an_index_chunk_by_chunk(place: Place) -> None:
    place.run(made)

    def act(op: Any) -> None:
        with op.get_context().autocommit_block():
            op.create_hypertable_index("slow", "player_stats", ["value"], per_chunk=True)

    place.run(act)
    place.run(act)
    assert place.db.execute(
        "SELECT count(DISTINCT indisvalid), bool_and(indisvalid) FROM pg_index WHERE indexrelid = 'slow'::regclass"
    ) == [(1, True)]


def test_a_script_for_an_index_chunk_by_chunk_says_where_it_cannot_run(place: Place) -> None:
    """Whoever writes the script has no connection that could be asked; so the script asks."""
    place.run(made)
    script = place.script(
        lambda op: op.create_hypertable_index("slow", "player_stats", ["value"], per_chunk=True)
    )
    done = place.psql(script)
    assert done.returncode == 3
    assert "hyperferry: the index slow is made chunk by chunk, which cannot be within a transaction" in done.stderr
    assert "with op.get_context().autocommit_block():" in done.stderr
    assert place.psql("COMMIT;\n" + script + "\nBEGIN;").returncode == 0
    assert place.db.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'slow'::regclass") == [(True,)]


def test_names_that_break_whatever_pastes_names_together(place: Place) -> None:
    schema, time, table = "my.schema", "When: $1 %", 'Weird "Näme" $hyperferry$ :x %s '
    table += "x" * (63 - len(table.encode()))
    quoted = ".".join('"' + name.replace('"', '""') + '"' for name in (schema, table))
    column = '"' + time + '"'
    place.db.execute(
        f'CREATE SCHEMA "my.schema"; CREATE TABLE {quoted} (id int, {column} timestamptz NOT NULL, "Id%" int, PRIMARY KEY (id))'
    )
    before = place.dump()

    def act(op: Any) -> None:
        op.create_hypertable(table, time, schema=schema, primary_key=["id", time], chunk_interval="1 day")
        op.create_hypertable_index('i: "%s"', table, ['"Id%"', f"{column} DESC"], schema=schema)
        op.set_chunk_interval(table, "2 days", schema=schema)

    place.run(act)
    after = place.state()
    place.run(act)
    assert place.state() == after
    assert after[1][0][:3] == (schema, table, time)
    place.run(
        lambda op: (
            op.drop_hypertable_index('i: "%s"', table, schema=schema),
            op.revert_hypertable(table, schema=schema),
        )
    )
    assert place.dump() == before.replace('_pkey" PRIMARY KEY (id)', f'_pkey" PRIMARY KEY (id, {column})')


def test_policies_on_the_apache_edition(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "hyperferry.toml"
    file.write_text(
        'table = "player_stats"\n[[continuous_aggregate]]\nname = "daily"\nquery = "SELECT 1"\n'
        'refresh = { start_offset = "30 days", end_offset = "1 day", schedule = "1 hour" }\n'
        'index = [ { name = "daily_idx", columns = ["day"] } ]\ncompression = { after = "60 days" }\nretention = { after = "5 years" }\n',
        "utf-8",
    )
    place.run(made)
    before = place.state()
    acts: list[tuple[Any, str]] = [
        (
            lambda op, **skip: op.add_compression(
                "player_stats", segment_by=["player_id"], after="30 days", **skip
            ),
            "compression",
        ),
        (lambda op, **skip: op.add_retention("player_stats", "2 years", **skip), "policies"),
        (
            lambda op, **skip: op.create_continuous_aggregate("daily", "SELECT 1", schedule="1 hour", **skip),
            "continuous aggregates",
        ),
        (lambda op, **skip: op.apply_policies("player_stats", str(file), **skip), "continuous aggregates"),
    ]
    for act, what in acts:
        with pytest.raises(
            CommandError, match=f"the Apache-2 edition of TimescaleDB has none: {what}"
        ) as raised:
            place.run(act)
        assert "skip_on_apache=True" in str(raised.value)
        place.run(lambda op, act=act: act(op, skip_on_apache=True))
    place.run(
        lambda op: (
            op.remove_compression("player_stats"),
            op.remove_retention("player_stats"),
            op.drop_continuous_aggregate("daily"),
        )
    )
    assert place.state() == before
