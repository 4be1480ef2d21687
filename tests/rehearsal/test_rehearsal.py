"""The job on an empty clone: what passes, what would fail, what could not be rehearsed; and that the real server is only read."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from rehearsal_support import Rehearse, rehearsals, steps, text

import servers
from hyperferry import engine, sandbox
from hyperferry.errors import Failed, Interrupted, Refused
from hyperferry.model.plan import BatchBy, Plan, Strategy
from hyperferry.model.plan_options import PlanOptions
from hyperferry.rehearsal import RehearsalOptions, furnish, place, rehearse
from hyperferry.rehearsal.place import SANDBOX
from hyperferry.rehearsal.surroundings import Extension
from kit import tables
from servers import Database

WEIRD = '''
CREATE SCHEMA "my.schema";
CREATE TYPE "my.schema"."Mood ""x""" AS ENUM ('so, so', 'it''s "fine"');
CREATE DOMAIN "my.schema"."short text" AS varchar(5) CHECK (VALUE <> 'row 1');
CREATE TABLE "my.schema"."grand parent" (n integer PRIMARY KEY, kind text NOT NULL CHECK (kind IN ('a kind', 'b kind')));
CREATE TABLE "my.schema"."Par.ent %s" (n integer PRIMARY KEY, up integer NOT NULL REFERENCES "my.schema"."grand parent");
CREATE TABLE "my.schema".audit (at timestamptz DEFAULT now(), what text);
CREATE TABLE "my.schema"."Weird ""Näme"" {0} %" (
    "the id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "when (UTC)" timestamptz NOT NULL CHECK ("when (UTC)" > '2020-01-01'),
    "Par.ent" integer NOT NULL REFERENCES "my.schema"."Par.ent %s" ON DELETE CASCADE,
    mood "my.schema"."Mood ""x""" NOT NULL,
    short "my.schema"."short text" NOT NULL,
    code text NOT NULL CHECK (length(code) = 7),
    level integer NOT NULL CHECK (level BETWEEN 100 AND 110),
    doc jsonb, tags text[] NOT NULL, period tstzrange NOT NULL, amount numeric(6, 2) NOT NULL,
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED
);
INSERT INTO "my.schema"."grand parent" VALUES (7, 'a kind');
INSERT INTO "my.schema"."Par.ent %s" VALUES (3, 7);
INSERT INTO "my.schema"."Weird ""Näme"" {0} %" ("when (UTC)", "Par.ent", mood, short, code, level, tags, period, amount)
SELECT timestamptz '2024-01-01' + i * interval '1 day', 3, 'so, so', 'abc', 'secret!', 105, '{secret}', 'empty', 5
FROM generate_series(1, 60) AS i;
CREATE INDEX "an ""index"" {} %" ON "my.schema"."Weird ""Näme"" {0} %" ("when (UTC)" DESC) WHERE level > 3;
CREATE VIEW "my.schema"."a.view" WITH (security_barrier) AS SELECT "when (UTC)", mood, level FROM "my.schema"."Weird ""Näme"" {0} %";
CREATE VIEW "my.schema"."on ""it" AS SELECT mood, count(*) FROM "my.schema"."a.view" GROUP BY mood;
CREATE FUNCTION "my.schema"."fun ction"() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO "my.schema".audit (what) VALUES (TG_OP); RETURN NULL; END';
CREATE TRIGGER "Trig ""ger" AFTER INSERT OR UPDATE OR DELETE ON "my.schema"."Weird ""Näme"" {0} %"
    FOR EACH ROW EXECUTE FUNCTION "my.schema"."fun ction"();
CREATE STATISTICS "my.schema"."sta tistics" ON mood, level FROM "my.schema"."Weird ""Näme"" {0} %";
ALTER TABLE "my.schema"."Weird ""Näme"" {0} %" ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE "my.schema"."Weird ""Näme"" {0} %" IS 'a comment; -- with signs';
'''
WEIRD_NAME = '"my.schema"."Weird ""Näme"" {0} %"'

PASSED = [
    "preflight", "clone", "rows", "plan", "start", "abort", "start again", "verify", "cutover", "application on the hypertable",
    "rollback", "application after the rollback", "second cutover", "finish",
]  # fmt: skip


def test_a_table_with_everything_on_it_passes_in_a_sandbox(db: Database, rehearsed: Rehearse) -> None:
    db.execute(WEIRD)
    owner = db.make_role("owner")
    reader = db.make_role("reader")
    db.execute(f"""
        GRANT CREATE ON DATABASE "{db.name}" TO {owner}; GRANT ALL ON SCHEMA "my.schema" TO {owner};
        GRANT USAGE ON SCHEMA "my.schema" TO {reader};
        GRANT SELECT ON {WEIRD_NAME} TO {reader}; GRANT SELECT ON "my.schema"."a.view" TO {reader};
        CREATE POLICY "po licy" ON {WEIRD_NAME} FOR SELECT TO {reader} USING (level > 3);
        ALTER TABLE {WEIRD_NAME} OWNER TO {owner};
        ALTER TABLE "my.schema"."grand parent" OWNER TO {owner}; ALTER TABLE "my.schema"."Par.ent %s" OWNER TO {owner};
        ALTER TABLE "my.schema".audit OWNER TO {owner}; ALTER STATISTICS "my.schema"."sta tistics" OWNER TO {owner};
        ALTER VIEW "my.schema"."a.view" OWNER TO {owner}; ALTER VIEW "my.schema"."on ""it" OWNER TO {owner};
        ALTER DATABASE "{db.name}" SET search_path = "my.schema", public;
    """)
    report = rehearsed(
        WEIRD_NAME,
        "when (UTC)",
        role=owner,
        given=None,
        accept=frozenset({"widened-key", "snapshot-transactions"}),
    )
    assert steps(report) == dict.fromkeys(PASSED, "passed"), text(report)
    assert report.passed
    assert report.warnings == []
    assert report.rows == report.chunks > 5
    assert report.accepts_needed == ("snapshot-transactions", "widened-key")
    assert report.not_accepted == ()
    assert "secret" not in str(report.as_json())
    major = "17" if db.release == "stable" else "18"
    assert f"PostgreSQL {major}" in report.rehearsed_on
    assert [each.name for each in sandbox.status() if each.name.startswith(f"{SANDBOX}-{os.getpid()}-")] == []


def test_a_view_that_groups_by_the_old_key_is_named(db: Database, rehearsed: Rehearse) -> None:
    db.execute("""
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, v text);
        CREATE VIEW "grouped by key" AS SELECT id, v FROM t GROUP BY id;
    """)
    report = rehearsed()
    assert not report.passed
    assert steps(report)["preflight"] == "refused"
    assert steps(report)["finish"] == "skipped"
    refused = next(step for step in report.steps if step.name == "preflight")
    assert "view-groups-by-key" in refused.message
    assert "grouped by key" in refused.details[0]
    assert "GROUP BY" in (refused.remedy or "")


def test_a_trigger_that_breaks_on_a_hypertable_is_named(db: Database, rehearsed: Rehearse) -> None:
    db.execute("""
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, v integer);
        CREATE FUNCTION only_for_t() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF TG_TABLE_NAME <> 't' THEN RAISE 'this is %, not t', TG_TABLE_NAME; END IF; RETURN NEW; END $$;
        CREATE TRIGGER only_for_t BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION only_for_t();
    """)
    report = rehearsed()
    failed = [step for step in report.steps if step.status == "failed"]
    assert [step.name for step in failed] == ["application on the hypertable"], text(report)
    assert "UPDATE" in failed[0].message
    assert "INSERT" not in failed[0].message
    assert "only_for_t()" in failed[0].details[0]
    # The rest of the job was tried all the same.
    assert steps(report)["rollback"] == steps(report)["finish"] == "passed"
    assert not report.passed


def test_what_reaches_out_is_left_out_and_said(db: Database, rehearsed: Rehearse) -> None:
    db.execute("""
        CREATE EXTENSION dblink;
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, v integer);
        CREATE FUNCTION far() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT a FROM dblink('host=x', 'y') AS d(a integer); END;
        CREATE VIEW with_far AS SELECT t.*, far() AS far FROM t;
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM dblink_exec('host=192.0.2.1', 'DELETE FROM real'); RETURN NULL; END $$;
        CREATE TRIGGER tell AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();
    """)
    report = rehearsed()
    said = "\n".join(report.warnings)
    assert "extension dblink reaches beyond its database" in said
    assert "dependent view public.with_far is missing" in said
    assert "FUNCTION far()" in said or "FUNCTION public far()" in said
    assert "No row could be made up" in said
    assert "dblink_exec" in said
    assert report.passed, text(report)


def test_roles_and_what_the_role_may_not_read(db: Database, rehearsed: Rehearse) -> None:
    owner = db.make_role("owner")
    db.execute(f"""
        CREATE SCHEMA closed; CREATE TABLE closed."se cret" (n integer); CREATE TABLE unseen (n integer);
        GRANT CREATE ON DATABASE "{db.name}" TO {owner}; GRANT ALL ON SCHEMA public TO {owner};
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL);
        ALTER TABLE t OWNER TO {owner};
    """)
    report = rehearsed(role=owner)
    assert report.passed, text(report)
    assert any(
        "2 tables" in each and 'closed."se cret"' in each and "unseen" in each for each in report.warnings
    )


def test_a_table_that_may_not_be_read_says_what_to_grant(db: Database, rehearsed: Rehearse) -> None:
    stranger = db.make_role("stranger")
    db.execute("CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL)")
    with pytest.raises(Failed) as failed:
        rehearsed(role=stranger, scan=False)
    assert "permission denied for table t" in str(failed.value)
    assert "GRANT SELECT" in str(failed.value.remedy)
    assert rehearsals(db) == []


def test_a_server_on_which_no_database_may_be_made(db: Database, rehearsed: Rehearse) -> None:
    guest = db.make_role("guest")
    db.execute("CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL)")
    with pytest.raises(Refused) as refused:
        rehearsed(given=db.dsn_as(guest))
    assert "CREATEDB" in str(refused.value.remedy)


def test_interrupted_it_leaves_nothing(db: Database, rehearsed: Rehearse) -> None:
    db.execute("CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL)")
    for word in ("Reading", "Making", "rows:", "start:", "cutover:"):
        stop = threading.Event()

        def say(line: str, word: str = word, stop: threading.Event = stop) -> None:
            if line.startswith(word):
                stop.set()

        with pytest.raises(Interrupted):
            rehearse(RehearsalOptions(db.dsn, "t", "at", given=db.server.dsn), say=say, stop=stop)
    with pytest.raises(Failed):
        rehearsed(role=db.make_role("stranger"), scan=False)
    assert db.execute("SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'hyperferry')") == [(0,)]


def test_a_plan_is_rehearsed_as_it_is(db: Database, rehearsed: Rehearse) -> None:
    with db.connect() as conn:
        made = tables.integer_time(conn, 500)
    plan = engine.make_plan(db.dsn, made.quoted, made.time, PlanOptions(chunk_interval="100"))
    report = rehearsed(plan=plan, chunks=2)
    assert report.passed, text(report)
    assert next(s.message for s in report.steps if s.name == "plan").startswith("chunks of 100;")
    assert (report.rows, report.chunks) == (2, 2)


def test_a_plan_by_the_key_is_rehearsed_by_the_key(db: Database, rehearsed: Rehearse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The few rows of a rehearsal lie in any order."""
    with db.connect() as conn:
        made = tables.integer_time(conn, 500)
    plan = replace(engine.make_plan(db.dsn, made.quoted, made.time, PlanOptions(chunk_interval="100")), batch_by=BatchBy.KEY)
    start, seen = engine.start, []

    def noted(dsn: str, table: str | None, plan: Plan, **more: Any) -> Any:
        seen.append(plan.batch_by)
        return start(dsn, table, plan, **more)

    monkeypatch.setattr(engine, "start", noted)
    assert rehearsed(plan=plan, chunks=2).passed
    assert set(seen) == {BatchBy.KEY}


def test_the_real_server_sees_no_transaction_that_writes() -> None:
    """Not even a transaction id is used up there: nothing was written, by us or by pg_dump."""
    name = f"test-{os.environ[servers.RUN]}-rehearsed"
    quiet = {"autovacuum": "off", "timescaledb.max_background_workers": "0"}
    real = sandbox.up(name, release="stable", fast=True, settings=quiet)
    try:
        with psycopg.connect(real.dsn, autocommit=True) as conn:
            conn.execute("CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL)")
            conn.execute(
                "INSERT INTO t (at) SELECT now() - i * interval '1 day' FROM generate_series(1, 50) AS i"
            )
            conn.execute("CREATE VIEW v AS SELECT id FROM t")
            before = conn.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchone()
            report = rehearse(RehearsalOptions(real.dsn, "t", "at"))
            assert report.passed, text(report)
            assert conn.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchone() == before
    finally:
        sandbox.down(name)


def test_another_major_version_is_said_and_what_it_lacks_is_named(db: Database, rehearsed: Rehearse) -> None:
    other = servers.server_of("testing" if db.release == "stable" else "stable")
    db.execute("CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL)")
    report = rehearsed(given=other.dsn)
    assert report.passed, text(report)
    assert any(each.startswith("PostgreSQL is ") for each in report.warnings)
    assert any(each.startswith("TimescaleDB is ") for each in report.warnings)
    if db.release == "testing":
        db.execute("ALTER TABLE t ADD v integer GENERATED ALWAYS AS (3) VIRTUAL")
        with pytest.raises(Failed) as failed:
            rehearsed(given=other.dsn)
        assert "TABLE t" in str(failed.value)


def test_what_the_server_of_the_rehearsal_lacks_is_said(db: Database, rehearsed: Rehearse) -> None:
    """By a role that may make databases and nothing else: no roles, no owners."""
    far = servers.make_database(servers.server_of("testing" if db.release == "stable" else "stable"))
    try:
        missing, guest = db.make_role("missing"), far.make_role("guest")
        far.execute(f"ALTER ROLE {guest} CREATEDB")
        db.execute(
            f"CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL); GRANT SELECT ON t TO {missing}"
        )
        report = rehearsed(given=far.dsn_as(guest))
        said = "\n".join(report.warnings)
        assert f"The role {missing} is not there and could not be made" in said
        assert "The job could not be rehearsed as" in said
        assert f"grant SELECT to {missing} is missing" in said
        assert report.passed, text(report)
        assert report.accepts_needed == ("widened-key",)
        assert rehearsals(far) == []
    finally:
        servers.drop_database(far)


def test_what_a_killed_one_left_on_a_server_is_named(
    db: Database, rehearsed: Rehearse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Databases, and the roles that were made for them."""
    far = servers.make_database(servers.server_of("testing" if db.release == "stable" else "stable"))
    removed, kept = place._remove, []
    monkeypatch.setattr(place, "_remove", lambda made, say: kept.append((made, say)))
    try:
        absent = db.make_role("absent")
        db.execute(
            f"CREATE TABLE t (id bigserial, at timestamptz NOT NULL, PRIMARY KEY (id, at)); GRANT SELECT ON t TO {absent}"
        )
        first = rehearsed(given=far.dsn)
        assert not any("killed" in each for each in first.warnings if absent in each)
        left = kept[0][0].database
        assert absent in kept[0][0].roles
        second = rehearsed(given=far.dsn)
        assert any(each.endswith(f"DROP DATABASE {left} WITH (FORCE);") for each in second.warnings)
        assert f'A rehearsal that was killed left the role {absent}. DROP ROLE "{absent}";' in second.warnings
    finally:
        for made, say in kept:
            removed(made, say)
        servers.drop_database(far)


def test_an_extension_that_is_not_there_is_said(db: Database) -> None:
    with db.connect() as conn:
        said = furnish._extensions(
            conn, (Extension("no_such", "public", "1.2"), Extension("plpgsql", "pg_catalog", "0.1"))
        )
    assert said[0].startswith("The extension no_such 1.2 is not on the server of the rehearsal")
    assert said[1].startswith("The extension plpgsql is 0.1 on the real server")


def test_what_the_job_leaves_behind_is_named(db: Database, rehearsed: Rehearse) -> None:
    """Here an event trigger of the user's keeps a note of what is dropped: giving up leaves the database another one."""
    db.execute("""
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL);
        CREATE FUNCTION note_drop() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE 'CREATE SCHEMA IF NOT EXISTS "notes of drops"'; END $$;
        CREATE EVENT TRIGGER note_drop ON sql_drop WHEN TAG IN ('DROP SCHEMA') EXECUTE FUNCTION note_drop();
    """)
    report = rehearsed()
    failed = next(step for step in report.steps if step.name == "abort")
    assert failed.status == "failed"
    assert failed.details == ("change 1: left behind: schema notes of drops",)
    assert not report.passed


def test_what_the_user_gives_up_is_given_up_in_the_rehearsal_too(db: Database, rehearsed: Rehearse) -> None:
    db.execute("""
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL);
        CREATE TABLE child (t_id bigint CONSTRAINT child_t REFERENCES t ON DELETE CASCADE);
        CREATE PUBLICATION pub FOR TABLE t;
    """)
    refused = rehearsed(scan=False)
    assert {each.partition(":")[0] for each in refused.steps[0].details} == {"inbound-foreign-keys", "publications"}
    given_up = PlanOptions(drop_inbound_fks=("child_t",), drop_from_publications=("pub",))
    report = rehearsed(plan_options=given_up)
    assert report.passed, text(report)
    # The rehearsal of a plan that was kept does the same.
    plan = engine.make_plan(db.dsn, "t", "at", given_up)
    assert rehearsed(plan=plan).passed


def test_what_is_given_up_comes_back_as_it_was(db: Database, rehearsed: Rehearse) -> None:
    """Odd names, a key of two columns, deferrable; a publication of some columns and rows: after the way back the schema is the same."""
    long = "k" * 63
    db.execute(f"""
        CREATE SCHEMA "my.schema";
        CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, "part %" integer NOT NULL, v text, UNIQUE (id, "part %"));
        CREATE TABLE "my.schema"."Chi ""ld" (t_id bigint, "t, part" integer, CONSTRAINT "{long}" FOREIGN KEY (t_id, "t, part")
            REFERENCES t (id, "part %") ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED);
        CREATE PUBLICATION "some, of it" FOR TABLE t (id, at, "part %") WHERE ("part %" > 3) WITH (publish = 'insert, update');
        CREATE PUBLICATION other FOR TABLE "my.schema"."Chi ""ld";
        INSERT INTO t (at, "part %") SELECT timestamptz '2024-01-01' + i * interval '3 days', 1 FROM generate_series(1, 20) AS i;
        ALTER TABLE t REPLICA IDENTITY FULL;
    """)
    given_up = PlanOptions(drop_inbound_fks=(long,), drop_from_publications=("some, of it",))
    report = rehearsed(plan_options=given_up)
    assert report.passed, text(report)
    assert steps(report)["rollback"] == steps(report)["second cutover"] == "passed"
    assert not [each for each in report.warnings if "missing" in each or "another" in each]


def test_in_place(db: Database, rehearsed: Rehearse) -> None:
    db.execute("CREATE TABLE t (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at))")
    report = rehearsed(plan_options=PlanOptions(strategy=Strategy.IN_PLACE))
    assert report.passed, text(report)
    assert [*steps(report)] == [
        "preflight",
        "clone",
        "rows",
        "plan",
        "start",
        "application on the hypertable",
    ]


@pytest.mark.parametrize("kind", ["rich", "keyless", "awkward", "composite"])
def test_rows_are_made_up_for_tables_of_every_kind(db: Database, rehearsed: Rehearse, kind: str) -> None:
    with db.connect() as conn:
        made = tables.BUILDERS[kind](conn)
    assert made is not None
    report = rehearsed(made.quoted, made.time, chunks=3)
    assert report.passed, text(report)
    assert report.rows == 3
    assert not any("No row" in each or "fails on" in each for each in report.warnings)
