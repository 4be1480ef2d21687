"""An index onto a hypertable in use is what CREATE INDEX would have made, and the application goes on meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from hyperferry.errors import Conflict, Refused, Usage
from hyperferry.model.declared import DeclaredIndex
from hyperferry.model.names import TableName
from hyperferry.model.upkeep import BYTES_PER_SECOND, IndexMethod
from hyperferry.upkeep import index_methods, indexes
from hyperferry.upkeep.indexes import build, plan

from .conftest import Hypertable, holding, writers

DAYS = [f"2024-01-0{n} 12:00+00" for n in range(1, 5)]

SHAPES = {
    "a partial, covering one of expressions": (
        DeclaredIndex("by", ("lower(stat) text_pattern_ops", "value DESC NULLS LAST"), ("id",), "value > 0"),
        {"fillfactor": "80"},
    ),
    "brin": (DeclaredIndex("by", ("game_date",), method="brin"), {"pages_per_range": "8"}),
    "gin": (DeclaredIndex("by", ("tags",), method="gin"), {}),
    "a name of 63 bytes": (DeclaredIndex('by "ü" ' + "x" * 55, ('stat COLLATE "C"', "id NULLS FIRST")), {}),
}


def nothing() -> None:
    """Never stops."""


def said(messages: list[str] | None = None) -> object:
    return (messages if messages is not None else []).append


def text(index: DeclaredIndex, storage: dict[str, str]) -> str:
    """The index as a person would write it, behind the table's name."""
    options = ", ".join(f"{k} = {v}" for k, v in storage.items())
    return (
        f"USING {index.method} ({', '.join(index.columns)})"
        + (f" INCLUDE ({', '.join(index.include)})" if index.include else "")
        + (f" WITH ({options})" if options else "")
        + (f" WHERE {index.where}" if index.where else "")
    )


def ways(table: Hypertable) -> IndexMethod:
    """How a superuser's index comes onto the chunks."""
    return IndexMethod.CONCURRENT if table.db.release == "testing" else IndexMethod.PER_CHUNK


@pytest.mark.parametrize("role", ["owner", "superuser"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_what_create_index_makes(weird: Hypertable, shape: str, role: str) -> None:
    index, storage = SHAPES[shape]
    conn = weird.connect(role)
    name = index.name or ""
    report = build(conn, weird.name, index, say=said(), should_stop=nothing, storage=storage)
    assert report.method is (ways(weird) if role == "superuser" else IndexMethod.PER_CHUNK)
    assert (report.chunks, report.built) == (4, 4)
    made = weird.indexes("%by%")
    assert len(made) == 5
    weird.insert("2024-02-01")
    assert not weird.without("%by%")
    quoted = '"' + name.replace('"', '""') + '"'
    weird.db.execute(f'DROP INDEX "my.schema".{quoted}')
    assert weird.indexes("%by%") == []
    weird.db.execute(f"DELETE FROM {weird.ident} WHERE game_date > '2024-01-30'")
    weird.db.execute(f"SELECT drop_chunks('{weird.ident.replace(chr(39), chr(39) * 2)}', newer_than => timestamptz '2024-01-30')")
    weird.db.execute(f"CREATE INDEX {quoted} ON {weird.ident} {text(index, storage)}")
    assert weird.indexes("%by%") == made


def test_run_again_it_does_nothing(table: Hypertable) -> None:
    conn = table.connect()
    unnamed = DeclaredIndex(None, ("player_id", "game_date DESC"), where="value > 1.5")
    first = build(conn, table.name, unnamed, say=said(), should_stop=nothing)
    assert first.name == TableName("stats", "player_stats_player_id_game_date_idx")
    before = table.indexes("%")
    again = build(conn, table.name, unnamed, say=said(), should_stop=nothing)
    assert (again.name, again.built) == (first.name, 0)
    assert plan(conn, table.name, unnamed).there
    assert table.indexes("%") == before


@pytest.mark.parametrize("role", ["owner", "superuser"])
def test_writers_go_on_while_it_is_built(table: Hypertable, role: str) -> None:
    """No statement fails, and none waits for the whole of it: each chunk's build takes some milliseconds."""
    conn = table.connect(role)
    with writers(table, DAYS) as seen:
        before = seen["statements"]
        for number, columns in enumerate((("player_id", "value"), ("lower(stat)",), ("value", "id"))):
            index = DeclaredIndex(f"by_{number}", columns)
            build(conn, table.name, index, say=said(), should_stop=nothing)
    assert seen["errors"] == []
    assert seen["statements"] > before
    assert seen["longest"] < 10.0
    assert not table.without("%by_2")


def test_a_unique_one_serves_on_conflict_on_old_and_new_chunks(table: Hypertable) -> None:
    """As owner it blocks writers, and only when allowed; by whoever may index chunks it is built beside them."""
    index = DeclaredIndex("once", ("id", "game_date"), unique=True)
    owner, superuser = table.connect(), table.connect("superuser")
    if table.db.release == "testing":
        assert plan(superuser, table.name, index).method is IndexMethod.CONCURRENT
        with writers(table, DAYS) as seen:
            build(superuser, table.name, index, say=said(), should_stop=nothing)
        assert seen["errors"] == []
    else:
        with pytest.raises(Refused, match="every writer waiting"):
            build(owner, table.name, index, say=said(), should_stop=nothing)
        assert table.indexes("%once%") == []
        report = build(owner, table.name, index, say=said(), should_stop=nothing, may_block=True)
        assert report.method is IndexMethod.AT_ONCE
    for day in (DAYS[0], "2024-03-01"):
        table.insert(day, 99)
        upsert = "INSERT INTO {} VALUES (99, 7, %s, 5) ON CONFLICT (id, game_date) DO UPDATE SET value = 77 RETURNING value"
        with table.db.connect(table.owner) as app:
            row = app.execute(upsert.format(table.ident), [day]).fetchone()
        assert row == (77,)


def test_rows_that_stand_twice_are_named_and_nothing_is_left(table: Hypertable) -> None:
    table.insert(DAYS[0], 5)
    table.insert(DAYS[0], 5)
    index = DeclaredIndex("once", ("id", "game_date"), unique=True)
    with pytest.raises(Refused, match="not unique") as refused:
        build(table.connect("superuser"), table.name, index, say=said(), should_stop=nothing, may_block=True)
    assert "(5, 2024-01-01 12:00:00+00)" in str(refused.value)
    assert table.indexes("%once%") == []


def test_what_a_hypertable_cannot_have_is_refused_before_a_chunk_is_touched(table: Hypertable) -> None:
    conn = table.connect()
    build(conn, table.name, DeclaredIndex("by", ("player_id",)), say=said(), should_stop=nothing)
    before = table.indexes("%")
    refused = {
        "time": DeclaredIndex("once", ("id",), unique=True),
        "another name": DeclaredIndex("other", ("player_id",)),
        "another definition": DeclaredIndex("by", ("id",)),
        "taken": DeclaredIndex("player_stats", ("id",)),
    }
    for index in refused.values():
        with pytest.raises(Refused):
            build(conn, table.name, index, say=said(), should_stop=nothing, may_block=True)
    for columns in (("no_such_column",), ("lower(",), ("id; DROP TABLE stats.player_stats",)):
        with pytest.raises(Usage):
            build(conn, table.name, DeclaredIndex("bad", columns), say=said(), should_stop=nothing)
    assert table.indexes("%") == before


def test_what_is_no_hypertable_of_ours_is_refused(table: Hypertable) -> None:
    table.db.execute("CREATE TABLE stats.plain (id int); CREATE VIEW stats.seen AS SELECT 1 AS id")
    index = DeclaredIndex("by", ("id",))
    for name in ("plain", "seen", "nothing"):
        with pytest.raises(Usage, match="not a hypertable"):
            plan(table.connect(), TableName("stats", name), index)
    stranger = table.db.make_role("stranger")
    table.db.execute(f'GRANT USAGE ON SCHEMA stats TO "{stranger}"; GRANT SELECT ON stats.player_stats TO "{stranger}"')
    table.owner, owner = stranger, table.owner
    with pytest.raises(Refused, match="owner") as refused:
        plan(table.connect(), table.name, index)
    assert owner in str(refused.value)


def test_two_of_us_do_not_build_at_once(table: Hypertable) -> None:
    other = table.connect()
    other.execute("SELECT pg_advisory_lock(hashtextextended('hyperferry upkeep', %s::regclass::oid::bigint))", [table.ident])
    with pytest.raises(Conflict):
        build(table.connect(), table.name, DeclaredIndex("by", ("id",)), say=said(), should_stop=nothing)


def test_an_old_transaction_is_waited_for_before_anything_is_begun(table: Hypertable) -> None:
    """A build by TimescaleDB that met it half-way would lose its work."""
    messages: list[str] = []

    class EnoughError(Exception):
        pass

    def stop() -> None:
        if any("waits for" in each for each in messages):
            raise EnoughError

    with holding(table, table.chunks()[2]):
        table.db.execute("SELECT pg_sleep(1.2)")
        with pytest.raises(EnoughError):
            build(table.connect(), table.name, DeclaredIndex("by", ("id",)), say=said(messages), should_stop=stop)
    assert table.indexes("by") == []


def test_a_build_that_keeps_a_writer_waiting_for_long_has_to_be_allowed(table: Hypertable, monkeypatch: pytest.MonkeyPatch) -> None:
    index = DeclaredIndex("by", ("player_id",))
    monkeypatch.setattr(indexes, "UNASKED_SECONDS", 0.0)
    with pytest.raises(Refused, match="waiting") as refused:
        build(table.connect(), table.name, index, say=said(), should_stop=nothing)
    assert ("UPDATE and DELETE" in str(refused.value)) == (table.db.release == "stable")
    assert table.indexes("by") == []
    build(table.connect(), table.name, index, say=said(), should_stop=nothing, may_block=True)
    assert not table.without("%by")


def test_the_wait_that_is_said_is_that_of_the_locks(table: Hypertable) -> None:
    """Before TimescaleDB 2.29 an UPDATE locks every chunk, whatever time it names: it waits for the whole of a build."""
    made = plan(table.connect(), table.name, DeclaredIndex("by", ("player_id",)))
    with table.db.connect(table.owner, autocommit=False) as app:
        app.execute(f"UPDATE {table.ident} SET value = 1 WHERE id = 5 AND game_date = %s", [DAYS[0]])
        row = app.execute(
            "SELECT count(DISTINCT relation) FROM pg_locks WHERE pid = pg_backend_pid() AND relation IN "
            "(SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass)",
            [table.ident],
        ).fetchone()
        app.rollback()
    assert row == (4 if made.locks_all else 1,)
    assert made.longest_wait == (made.seconds if made.locks_all else made.largest / BYTES_PER_SECOND)


def test_a_unique_one_is_never_there_without_its_chunks(table: Hypertable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is made between the last build and the root's lock: ON CONFLICT would fail there until it has its index."""
    if table.db.release != "testing":
        pytest.skip("indexes of chunks are adopted from TimescaleDB 2.22 on")
    root_was_there: list[bool] = []
    build_one, give_way = index_methods._one_chunk, index_methods.cancel_autovacuum

    def one_chunk(*arguments: Any) -> None:
        root_was_there.append(bool(table.db.execute("SELECT 1 FROM pg_class WHERE relname = 'once'")))
        build_one(*arguments)

    def before_the_lock(*arguments: Any) -> None:
        table.insert("2024-03-05", len(root_was_there))
        give_way(*arguments)

    monkeypatch.setattr(index_methods, "_one_chunk", one_chunk)
    monkeypatch.setattr(index_methods, "cancel_autovacuum", before_the_lock)
    index = DeclaredIndex("once", ("id", "game_date"), unique=True)
    build(table.connect("superuser"), table.name, index, say=said(), should_stop=nothing)
    assert root_was_there == [False] * 5
    assert not table.without("%once%")


WRITTEN = "status IN ('a', 'b')"


@pytest.fixture
def with_status(table: Hypertable) -> Hypertable:
    """With a varchar, of which PostgreSQL reads a list otherwise when it has printed it once."""
    table.db.execute(f"ALTER TABLE {table.ident} ADD COLUMN status varchar(20)")
    return table


@pytest.mark.parametrize("role", ["owner", "superuser"])
@pytest.mark.parametrize("name", [None, "by_status"])
@pytest.mark.parametrize("part", ["where", "columns"])
def test_words_that_change_when_postgresql_reads_its_own_are_recognised(
    with_status: Hypertable, part: str, name: str | None, role: str
) -> None:
    conn = with_status.connect(role)
    index = DeclaredIndex(name, ("player_id",), where=WRITTEN) if part == "where" else DeclaredIndex(name, (f"({WRITTEN})",))
    assert build(conn, with_status.name, index, say=said(), should_stop=nothing).built == 4
    before = with_status.indexes("%")
    assert plan(conn, with_status.name, index).there
    assert build(conn, with_status.name, index, say=said(), should_stop=nothing).built == 0
    assert with_status.indexes("%") == before


def test_an_index_is_the_same_however_often_its_words_were_printed(with_status: Hypertable) -> None:
    """Made by hand, then from a dump; and the wish written by hand, or copied from what psql shows."""
    db, conn = with_status.db, with_status.connect()

    def make(words: str) -> str:
        db.execute(f"DROP INDEX IF EXISTS stats.by_hand; CREATE INDEX by_hand ON {with_status.ident} (player_id) WHERE {words}")
        [(printed,)] = db.execute("SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'stats.by_hand'::regclass")
        return str(printed)

    once = make(WRITTEN)
    twice = make(once)
    assert once != twice
    for made in (WRITTEN, once, twice):
        make(made)
        for wish in (WRITTEN, once, twice):
            for name in (None, "by_hand"):
                found = plan(conn, with_status.name, DeclaredIndex(name, ("player_id",), where=wish))
                assert (found.there, found.name.name) == (True, "by_hand"), (made, wish)
        for other in ("status IN ('a', 'c')", "status NOT IN ('a', 'b')"):
            with pytest.raises(Refused, match="of another definition"):
                plan(conn, with_status.name, DeclaredIndex("by_hand", ("player_id",), where=other))


def test_a_second_index_of_the_same_definition_is_no_obstacle(table: Hypertable) -> None:
    for name in ("by_one", "by_two"):
        table.db.execute(f"CREATE INDEX {name} ON {table.ident} (player_id)")
    for name in (None, "by_one", "by_two"):
        assert plan(table.connect(), table.name, DeclaredIndex(name, ("player_id",))).there
    with pytest.raises(Refused, match="under another name"):
        plan(table.connect(), table.name, DeclaredIndex("by_three", ("player_id",)))


@pytest.mark.parametrize("role", ["owner", "superuser"])
def test_included_columns_may_have_any_name(table: Hypertable, role: str) -> None:
    table.db.execute(f'ALTER TABLE {table.ident} ADD COLUMN "Value" int, ADD COLUMN "Odd ""Name" int')
    index = DeclaredIndex("by", ("player_id",), ("Value", 'Odd "Name', "value"))
    build(table.connect(role), table.name, index, say=said(), should_stop=nothing)
    made = table.indexes("%by")
    assert len(made) == 5
    assert all('INCLUDE ("Value", "Odd ""Name", value)' in definition for definition, _, _ in made)
    assert plan(table.connect(), table.name, index).there
