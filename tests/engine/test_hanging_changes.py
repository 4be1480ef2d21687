"""What is added to the table after a cutover, and who waits while what hangs on it changes hands."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest
from job import Job, aside, eventually
from swap_support import (
    SMALL,
    VIEWED,
    WEEKS,
    Ready,
    after_swap_message,
    ready_fixture,  # noqa: F401
    same_after_sync,
    templates_fixture,  # noqa: F401
)

from hyperferry.errors import Refused, SchemaChanged
from hyperferry.model.plan_options import PlanOptions
from servers import Server

ADDED = {
    "index added is new": "CREATE INDEX added ON t (note)",
    "constraint small is new": "ALTER TABLE t ADD CONSTRAINT small CHECK (n < 1000)",
    "trigger more is new": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    "CREATE TRIGGER more AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    'policy "{table}" is new': 'CREATE POLICY "{table}" ON t USING (n > 0)',
    "statistics public.st is new": "CREATE STATISTICS st ON n, v FROM t",
    "dependent public.added_view is new": "CREATE VIEW added_view AS SELECT n FROM t",
    "dependent public.outer_view is new": "CREATE VIEW outer_view AS SELECT n FROM added_view",
    "dependent public.g() is new": "CREATE FUNCTION g() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM t; END",
    "grant SELECT to PUBLIC is new": "GRANT SELECT ON t TO PUBLIC",
    "grant UPDATE (note) to PUBLIC is new": "GRANT UPDATE (note) ON t TO PUBLIC",
    "comment was None, is 'new'": "COMMENT ON TABLE t IS 'new'",
    "column note changed: comment was None, is 'its'": "COMMENT ON COLUMN t.note IS 'its'",
}
"""What the refusal says of it: how it was added."""


def test_a_rollback_names_all_that_was_added_since_the_cutover_and_says_how_to_go_on(ready: Ready) -> None:
    """The old table has none of it. What is printed takes it off, with the definitions by which it can be made again."""
    job = ready()
    job.cutover()
    for statement in ADDED.values():
        job.db.execute(statement)
    with pytest.raises(SchemaChanged, match="since the cutover") as caught:
        job.rollback()
    text = str(caught.value)
    for line in ADDED:
        assert line.replace('"{table}"', "{table}") in text, line
    assert "CREATE INDEX added ON public.t USING btree (note)" in text
    assert "CREATE TRIGGER more" in text
    undo = re.findall(
        r'; ((?:DROP|REVOKE|COMMENT|ALTER TABLE "public"."t" DROP)[^;]*);', str(caught.value.remedy)
    )
    assert len(undo) == len(ADDED)
    for statement in undo:
        job.db.execute(statement)
    job.rollback()
    job.assert_equal()


def test_what_is_changed_after_a_rollback_is_named_too(ready: Ready) -> None:
    """A swap there and back leaves views as they were written, but for their form; so the plan still holds."""
    job = ready(SMALL + "CREATE VIEW big AS SELECT id, v FROM t WHERE v > 2.5 AND note IN ('row 1', 'row 2')")
    job.cutover()
    job.rollback()
    job.db.execute("CREATE INDEX added ON t (note)")
    with pytest.raises(SchemaChanged, match="index added is new") as caught:
        job.cutover()
    assert 'DROP INDEX "public"."added"' in str(caught.value.remedy)
    job.db.execute("DROP INDEX added")
    job.cutover()


BOUND = (
    SMALL
    + """
CREATE VIEW shown AS SELECT id, at, note FROM t;
CREATE RULE "add" AS ON INSERT TO shown DO INSTEAD INSERT INTO t (at, note) VALUES (new.at, new.note);
CREATE VIEW updatable AS SELECT id, at, note FROM t WHERE v > 2.5;
CREATE TABLE other (id bigint, note text);
INSERT INTO other SELECT i, 'other' FROM generate_series(1, 9) AS i;
CREATE RULE pass AS ON UPDATE TO other DO ALSO UPDATE t SET note = new.note WHERE id = new.id;
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM t; END;
"""
)

WAITING = {
    "a rule of a view": (
        "INSERT INTO shown (at, note) VALUES ('2024-01-20', 'waited')",
        "SELECT count(*) FROM t WHERE note = 'waited'",
    ),
    "an updatable view": (
        "UPDATE updatable SET note = 'waited' WHERE id = 3",
        "SELECT count(*) FROM t WHERE note = 'waited'",
    ),
    "a rule of another table": (
        "UPDATE other SET note = 'waited' WHERE id = 3",
        "SELECT count(*) FROM t WHERE note = 'waited'",
    ),
    "a body that reads": ("SELECT total()", "SELECT 1"),
}


@pytest.mark.parametrize("prepared", [False, True], ids=["", "prepared"])
@pytest.mark.parametrize("what", WAITING)
def test_who_waits_for_the_swap_goes_on_in_the_table_that_serves(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, what: str, prepared: bool
) -> None:
    """Whatever the way by which the statement came to the table, it does not go on in the old one."""
    job = ready(BOUND)
    write, seen = WAITING[what]
    for way in (job.cutover, job.rollback):
        with job.db.connect(autocommit=True) as app:
            if prepared:
                for _ in range(6):
                    app.execute("BEGIN")
                    app.execute(write, prepare=True)  # type: ignore[call-overload]
                    app.execute("ROLLBACK")
            waits: list[Future[Any]] = []

            def begin(
                conn: psycopg.Connection[tuple[object, ...]],
                app: psycopg.Connection[tuple[object, ...]] = app,
                waits: list[Future[Any]] = waits,
            ) -> None:
                waits.append(aside(lambda: app.execute(write, prepare=prepared)))  # type: ignore[call-overload]
                eventually(
                    "the application waits",
                    lambda: job.db.execute(
                        "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                        app.info.backend_pid,
                    ),
                )

            with monkeypatch.context() as patch:
                after_swap_message(patch, begin)
                way()
            done = waits[0].result(60)
            if what == "a body that reads":
                assert done.fetchall() == [(400,)]
        assert job.db.execute(seen) == [(1,)]
        same_after_sync(job)
        if "waited" in write:
            job.db.execute("UPDATE t SET note = 'again' WHERE note = 'waited'")
            job.db.execute("UPDATE other SET note = 'again'") if "other" in write else None
            job.db.execute("DELETE FROM t WHERE note = 'again' AND id > 400")


CHILDREN = (
    SMALL
    + """
ALTER TABLE t ADD CONSTRAINT timed UNIQUE (id, at);
CREATE TABLE child (n bigserial PRIMARY KEY, id bigint, at timestamptz, gone bigint,
    CONSTRAINT kept FOREIGN KEY (id, at) REFERENCES t (id, at) ON DELETE CASCADE,
    CONSTRAINT dropped FOREIGN KEY (gone) REFERENCES t (id) ON DELETE SET NULL);
"""
)


def given_up(server: Server) -> PlanOptions:
    """Before TimescaleDB 2.21.1 a hypertable can keep no foreign key that points at it."""
    names = ("child.dropped",) if server.release == "testing" else ("child.dropped", "kept")
    return PlanOptions(chunk_interval="7 days", workers=1, drop_inbound_fks=names)


@pytest.mark.peer(number=21)
def test_foreign_keys_of_children_hold_while_writers_of_both_tables_go_on(
    ready: Ready, server: Server
) -> None:
    """No writer sees an error, nobody is the victim of a deadlock; a parent takes its children along in every phase."""
    job, keeps = ready(CHILDREN, given_up(server)), server.release == "testing"
    errors: list[BaseException] = []
    stop = threading.Event()
    written = [0, 0, 0]

    def writer(number: int) -> None:
        try:
            with job.db.connect(autocommit=False) as app:
                while not stop.is_set():
                    rows = app.execute(
                        "INSERT INTO t (at, note) VALUES ('2024-02-01', 'w') RETURNING id, at"
                    ).fetchall()
                    app.execute(
                        "INSERT INTO child (id, at, gone) VALUES (%s, %s, %s)", [*rows[0], rows[0][0]]
                    )
                    app.commit()
                    if written[number] % 3 == 0:
                        app.execute("DELETE FROM t WHERE id = %s", [rows[0][0]])
                        app.commit()
                        left = app.execute(
                            "SELECT count(*) FROM child WHERE id = %s", [rows[0][0]]
                        ).fetchall()
                        assert left == [(0,)] or not keeps
                        app.commit()
                    written[number] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=writer, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for way in (job.cutover, job.rollback, job.cutover, job.rollback):
            before = list(written)
            way()
            eventually(
                "the writers go on",
                lambda before=before: errors or all(a > b for a, b in zip(written, before, strict=True)),
            )
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert errors == []
    same_after_sync(job)
    found = job.db.execute(
        "SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'child'::regclass AND contype = 'f' ORDER BY 1"
    )
    orphans = job.db.execute(
        "SELECT count(*) FROM child c WHERE NOT EXISTS (SELECT FROM t WHERE t.id = c.id AND t.at = c.at)"
    )
    if keeps:
        assert (found[1], orphans) == (("kept", True), [(0,)])
    else:
        assert [name for name, _ in found] == ["dropped", "kept"]


def test_a_child_that_is_held_delays_the_swap_and_not_the_application(ready: Ready, server: Server) -> None:
    """The swap gives way and names who is in the way; once that is over it happens."""
    from hyperferry.errors import LockUnavailable

    job = ready(CHILDREN, given_up(server))
    with job.application(application_name="report") as app:
        app.execute("INSERT INTO child (id) VALUES (NULL)")
        with pytest.raises(LockUnavailable, match="report"):
            job.cutover(attempts=2)
        began = time.monotonic()
        job.run("INSERT INTO t (at) VALUES ('2024-02-02')")
        job.run("INSERT INTO child (id) VALUES (NULL)")
        assert time.monotonic() - began < 10
        app.commit()
    job.cutover()


def test_a_body_that_writes_is_refused_because_it_would_write_into_the_old_table(ready: Ready) -> None:
    job = ready()
    job.abort()
    job.db.execute(
        "CREATE PROCEDURE late() LANGUAGE sql BEGIN ATOMIC INSERT INTO t (at) VALUES ('2024-01-20'); END"
    )
    with pytest.raises(Refused, match="function-bodies"):
        Job(job.db, job.table, WEEKS).start()


def test_a_temporary_view_on_the_table_is_named_before_the_cutover(ready: Ready) -> None:
    """Nobody but its session could point it at the hypertable; a superuser can drop it from any."""
    job = ready()
    with job.db.connect() as session:
        session.execute("CREATE TEMP VIEW near AS SELECT id FROM t")
        with pytest.raises(SchemaChanged, match=r"dependent pg_temp_\d+\.near is new") as caught:
            job.cutover()
        (drop,) = re.findall(r"(DROP VIEW [^;]*);", str(caught.value.remedy))
        job.db.execute(drop)
        job.cutover()


def test_a_temporary_view_on_a_view_goes_with_it_and_is_in_nobodys_way(ready: Ready) -> None:
    job = ready(VIEWED)
    with job.db.connect() as session, job.db.connect() as other:
        session.execute("CREATE TEMP VIEW far AS SELECT id FROM latest")
        job.verify()
        other.execute("CREATE TEMP VIEW farther AS SELECT id FROM outer_latest")
        session.execute("DROP VIEW far; CREATE TEMP VIEW far AS SELECT id FROM latest")
        job.cutover()
        job.db.execute("INSERT INTO t (id, at) VALUES (1000, '2024-03-01')")
        assert session.execute("SELECT count(*) FROM far WHERE id = 1000").fetchone() == (1,)
    job.rollback()
    job.assert_equal()


INHERITED = """
CREATE TABLE t (id bigint, at timestamptz NOT NULL, v text, PRIMARY KEY (id, at));
INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '3 hours', 'row ' || i FROM generate_series(1, 200) AS i;
CREATE TABLE orders (n int, id bigint, at timestamptz, CONSTRAINT up FOREIGN KEY (id, at) REFERENCES t);
CREATE TABLE orders_2023 (CONSTRAINT up FOREIGN KEY (id, at) REFERENCES t) INHERITS (orders);
INSERT INTO orders_2023 SELECT 1, id, at FROM t;
"""


def test_the_key_of_a_table_that_inherits_goes_along_as_its_parents_does(server: Server, ready: Ready) -> None:
    given = ("up",) if server.release == "stable" else ()  # whose TimescaleDB cannot keep it
    job = ready(INHERITED, PlanOptions(chunk_interval="7 days", workers=1, drop_inbound_fks=given))

    def keys() -> list[tuple[Any, ...]]:
        return job.db.execute(
            "SELECT conrelid::regclass::text, confrelid = 't'::regclass, convalidated FROM pg_constraint WHERE contype = 'f' "
            "AND conrelid IN ('orders'::regclass, 'orders_2023'::regclass) AND conparentid = 0 ORDER BY 1"
        )

    both = [("orders", True, True), ("orders_2023", True, True)]
    job.cutover()
    assert keys() == ([] if given else both)
    job.rollback()
    assert keys() == both
    job.assert_equal()


SEEN = """
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, v text);
INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '3 hours', 'row ' || i FROM generate_series(1, 200) AS i;
CREATE TABLE seen (at timestamptz NOT NULL, id bigint, CONSTRAINT up FOREIGN KEY (id) REFERENCES t (id));
SELECT create_hypertable('seen', 'at', chunk_time_interval => interval '7 days');
INSERT INTO seen SELECT at, id FROM t;
"""


def test_a_hypertable_that_points_at_the_table_grows_meanwhile(ready: Ready) -> None:
    """Each new chunk of it has the key as well, which is given up in the cutover with its hypertable's: no change of ours."""
    job = ready(SEEN, PlanOptions(chunk_interval="7 days", workers=1, drop_inbound_fks=("up",)))
    keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid = 't'::regclass"
    before = job.value(keys)
    job.db.execute("INSERT INTO seen VALUES ('2024-06-01', 1)")
    assert job.value(keys) == before + 1
    job.cutover()
    job.db.execute("INSERT INTO seen VALUES ('2024-08-01', 2)")
    job.rollback()
    assert job.value(keys) == before + 2
    job.db.execute("INSERT INTO seen VALUES ('2024-10-01', 3)")
    job.cutover()
    job.rollback()
    job.assert_equal()
