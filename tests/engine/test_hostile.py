"""Somebody who may create things in public tries to have us run them, or to have our triggers write elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from job import Job, Make
from swap_support import WEEKS

import hyperferry
from hyperferry import engine
from hyperferry.errors import Refused
from hyperferry.model.finding import Level
from kit.tables import described
from servers import Database

HOME = Path(hyperferry.__file__).parent

TRAP = """
CREATE TABLE public.trap (who text, what text);
GRANT ALL ON public.trap TO PUBLIC;
"""

KEYED = """
CREATE TABLE public.t (id integer PRIMARY KEY, at timestamptz NOT NULL, v numeric, note text);
CREATE INDEX ON public.t (at); CREATE VIEW public.seen AS SELECT id, note FROM public.t;
INSERT INTO public.t SELECT i, timestamptz '2024-01-01' + i * interval '4 hours', i, 'n' || i FROM generate_series(1, 200) AS i;
"""
KEYLESS = """
CREATE TABLE public.t (at timestamptz NOT NULL, v numeric, note text, many numeric[]);
CREATE INDEX ON public.t (at);
INSERT INTO public.t SELECT timestamptz '2024-01-01' + i * interval '4 hours', i %% 9, 'n' || i %% 5, ARRAY[i] FROM generate_series(1, 200) AS i;
""".replace("%%", "%")

OPERATORS = ("=", "<>", "<", ">", "<=", ">=", "||", "+", "-", "/", "*", "->", "->>", "~", "~~", "!~~", "&")
TYPES = ("bool", "int2", "int4", "int8", "oid", "text", "name", "timestamptz", "timestamp", "numeric", "jsonb", '"char"', "regclass")


def called() -> set[str]:
    """Every word in our sources that is followed by a parenthesis: what of it is a function is made anew by `booby_trap`."""
    texts = [path.read_text("utf-8") for pattern in ("*.py", "*.sql") for path in HOME.rglob(pattern)]
    return {word.lower() for text in texts for word in re.findall(r"\b([A-Za-z_][A-Za-z_0-9]+)\(", text)}


def booby_trap(db: Database, mallory: str, schema: str = "public") -> int:
    """Makes in `schema`, as `mallory`, functions and operators with the names and arguments of all of pg_catalog's that we use,
    and types with the names of common ones. Each notes who ran it. Gives the number of functions."""
    made = 0
    with db.connect(mallory) as conn:
        found = conn.execute(
            "SELECT p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid) "
            "FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a', 'w') "
            "AND p.proname = ANY (%s) AND NOT p.proretset AND p.prorettype <> 'internal'::regtype",
            [sorted(called())],
        ).fetchall()
        for name, arguments, result in found:
            body = f"BEGIN INSERT INTO public.trap VALUES (current_user, ''{name}''); RETURN NULL; END"
            statement = f'CREATE FUNCTION {schema}."{name}"({arguments.replace("ORDER BY", ",")}) RETURNS {result} LANGUAGE plpgsql SET search_path = pg_catalog AS \'{body}\''
            try:
                conn.execute(statement.encode())
                made += 1
            except psycopg.Error:
                continue
        for kind in TYPES:
            for symbol in OPERATORS:
                result = "boolean" if symbol in "<>=!~" else kind
                conn.execute(
                    f"CREATE FUNCTION {schema}.trapped({kind}, {kind}) RETURNS {result} LANGUAGE plpgsql SET search_path = pg_catalog AS "
                    f"'BEGIN INSERT INTO public.trap VALUES (current_user, ''operator''); RETURN NULL; END'".encode()
                    if symbol == "="
                    else b"SELECT 1"
                )
                try:
                    conn.execute(
                        f"CREATE OPERATOR {schema}.{symbol} (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = {schema}.trapped)".encode()
                    )
                except psycopg.Error:
                    continue
        for kind in ("text", "regclass", "bigint", "timestamptz", "name", "jsonb"):
            conn.execute(f'CREATE DOMAIN {schema}."{kind}" AS pg_catalog.text CHECK (VALUE = \'nothing else\')'.encode())
        for relation in ("pg_class", "pg_namespace", "pg_attribute", "pg_trigger", "pg_locks", "pg_stat_activity", "pg_settings", "pg_roles"):
            conn.execute(f"CREATE TABLE {schema}.{relation} (x integer)".encode())
    return made


def the_job(db: Database, text: str) -> tuple[Job, str, str]:
    """A table of `owner`, the job in the name of a role whose path begins with public, and a writer of the application's."""
    owner, tool, mallory = db.make_role("owner"), db.make_role("tool"), db.make_role("mallory")
    db.execute(f'GRANT CREATE ON SCHEMA public TO "{owner}", "{mallory}"; GRANT CREATE ON DATABASE "{db.name}" TO "{tool}"')
    db.execute(TRAP + text)
    db.execute(f'ALTER TABLE public.t OWNER TO "{owner}"; GRANT "{owner}" TO "{tool}"; GRANT ALL ON public.t TO "{mallory}"')
    if "VIEW" in text:
        db.execute(f'ALTER VIEW public.seen OWNER TO "{owner}"')
    with db.connect() as conn:
        table = described(conn, "public", "t", "at", *(("id",) if "PRIMARY" in text else ()))
    return Job(db, table, WEEKS, tool), tool, mallory


def hostile_writes(db: Database, mallory: str, log: str, key: bool) -> None:
    """Writes of a session whose path begins with the traps, beside temporary tables named like ours."""
    with db.connect(mallory) as conn:
        for name in (log, "old_rows", "new_rows", "pg_class", "t"):
            conn.execute(f"CREATE TEMP TABLE {name} (op text, k1 integer, t timestamp, id integer, at text, v text, note text)".encode())
        for setting in ("search_path = public, pg_temp, pg_catalog", "datestyle = 'SQL, DMY'", "standard_conforming_strings = off", "array_nulls = off"):
            conn.execute(f"SET {setting}".encode())
        columns, values = ("id, at, note", "9001, '2024-03-03', 'x'") if key else ("at, note", "'2024-03-03', 'x'")
        conn.execute(f"INSERT INTO public.t ({columns}) VALUES ({values})".encode())
        conn.execute("UPDATE public.t SET note = 'changed' WHERE v OPERATOR(pg_catalog.=) 4")
        conn.execute("DELETE FROM public.t WHERE v OPERATOR(pg_catalog.=) 5")
        conn.execute("DELETE FROM public.t WHERE note OPERATOR(pg_catalog.=) 'x'")
        conn.execute("SELECT clock_timestamp()")


@pytest.mark.parametrize("text", [KEYED, KEYLESS], ids=["keyed", "keyless"])
def test_nothing_that_stands_in_public_is_run_in_our_name(db: Database, text: str) -> None:
    job, tool, mallory = the_job(db, text)
    made = booby_trap(db, mallory)
    assert made > 80, made
    for where in (f'ROLE "{tool}"', f'DATABASE "{db.name}"', f'ROLE "{tool}" IN DATABASE "{db.name}"'):
        db.execute(f"ALTER {where} SET search_path = public, pg_temp, pg_catalog")
    _, findings = engine.preflight(job.dsn, "t", "at", options=WEEKS)
    assert [each for each in findings if each.level is Level.BLOCKER and each.rule != "extension-overloads"] == []
    job.start()
    hostile_writes(db, mallory, f"forward_log_{job.rollout.id}", text is KEYED)
    job.verify()
    job.cutover()
    hostile_writes(db, mallory, f"reverse_log_{job.rollout.id}", text is KEYED)
    engine.status(job.dsn, "t")
    engine.rights(job.dsn, "t")
    job.sync()
    job.assert_equal()
    job.rollback()
    job.assert_equal()
    job.abort()
    job.close()
    db.execute(f'ALTER DATABASE "{db.name}" RESET search_path')  # the test's own sessions have no role that would be trapped
    ran = db.execute("SELECT DISTINCT who, what FROM public.trap WHERE who <> ALL (%s)", [mallory, "postgres"])
    assert ran == [], "these ran in the name of somebody else than their maker"
    assert db.execute("SELECT count(*) > 0 FROM public.trap WHERE who = %s", mallory) == [(True,)], "the writer's own path is hostile"


def test_the_traps_do_catch(db: Database) -> None:
    """The same traps, and a session that does not look after its path: the test above can fail."""
    db.execute(TRAP)
    mallory = db.make_role("mallory")
    db.execute(f'GRANT CREATE ON SCHEMA public TO "{mallory}"')
    booby_trap(db, mallory)
    with db.connect() as conn:
        conn.execute("SET search_path = public, pg_catalog")
        conn.execute("SELECT clock_timestamp(), 1 = 1")
    assert db.execute("SELECT DISTINCT what FROM public.trap WHERE who = 'postgres' ORDER BY 1") == [("clock_timestamp",), ("operator",)]


def test_a_schema_of_the_ledgers_name_that_somebody_made_is_not_used(db: Database) -> None:
    job, _tool, mallory = the_job(db, KEYED)
    db.execute(f'GRANT CREATE ON DATABASE "{db.name}" TO "{mallory}"')
    with db.connect(mallory) as conn:
        conn.execute(
            "CREATE SCHEMA hyperferry; COMMENT ON SCHEMA hyperferry IS 'hyperferry, ledger version 1';"
            "CREATE FUNCTION hyperferry.bite() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO public.trap VALUES (current_user, ''bite''); RETURN NEW; END';"
            "CREATE FUNCTION hyperferry.bite_too() RETURNS bigint LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO public.trap VALUES (current_user, ''bite too''); RETURN 1; END';"
            "CREATE VIEW hyperferry.rollout AS SELECT hyperferry.bite_too() AS id, 'public'::text AS source_schema, 't'::text AS source_name, "
            "0::oid AS source_oid, 0::oid AS hypertable_oid, 'blue-green'::text AS strategy, 'synced'::text AS phase, 'run'::text AS control, "
            "'{}'::text AS plan, now() AS created_at, now() AS updated_at;"
            "GRANT ALL ON SCHEMA hyperferry TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA hyperferry TO PUBLIC"
        )
    for dsn in (job.dsn, db.dsn):
        _, findings = engine.preflight(dsn, "t", "at", options=WEEKS)
        assert any(f.rule == "missing-rights" and "ledger" in f.message and mallory in f.message for f in findings)
        for command in (lambda dsn=dsn: engine.status(dsn), lambda dsn=dsn: engine.abort(dsn, "t"), lambda dsn=dsn: engine.start(dsn, None, job.plan)):
            with pytest.raises(Refused):
                command()
    assert db.execute("SELECT * FROM public.trap") == []
    job.close()


def test_a_function_beside_create_hypertable_is_not_called(db: Database) -> None:
    """Arguments that suit our call better than TimescaleDB's own win: it would run in our name."""
    job, _tool, mallory = the_job(db, KEYED)
    plan = job.plan
    schema = db.execute("SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'timescaledb'")[0][0]
    with db.connect(mallory) as conn:
        conn.execute(
            f"CREATE FUNCTION {schema}.create_hypertable(relation regclass, col text, chunk_time_interval interval, create_default_indexes boolean) "
            "RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.trap VALUES (current_user, ''create_hypertable''); RETURN NULL; END'".encode()
        )
    _, findings = engine.preflight(job.dsn, "t", "at", options=WEEKS)
    (finding,) = [each for each in findings if each.rule == "extension-overloads"]
    assert finding.level is Level.BLOCKER
    assert mallory in finding.message
    with pytest.raises(Refused):
        engine.start(job.dsn, None, plan)
    with pytest.raises(Refused, match="create_hypertable"):
        job.capture()  # as if it had been made after the last look
    assert db.execute("SELECT * FROM public.trap") == []
    assert db.execute("SELECT count(*) FROM timescaledb_information.hypertables") == [(0,)]
    job.close()


RIGHTS = """
SELECT 'schema', n.nspname::text, a.grantee::regrole::text FROM pg_namespace n, aclexplode(n.nspacl) a
WHERE n.nspname ~ '^hyperferry' AND a.grantee <> n.nspowner
UNION ALL
SELECT 'relation', c.relname::text, a.grantee::regrole::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
WHERE n.nspname = 'hyperferry' AND a.grantee <> c.relowner
UNION ALL
SELECT 'function', p.proname::text, a.grantee::regrole::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
     aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a
WHERE n.nspname = 'hyperferry' AND a.grantee <> p.proowner
"""


def test_default_privileges_give_nobody_a_right_on_what_is_ours(db: Database) -> None:
    job, tool, mallory = the_job(db, KEYED)
    owner = job.plan.inspection.table.owner
    for what in ("TABLES", "SEQUENCES", "FUNCTIONS", "SCHEMAS"):
        db.execute(f'ALTER DEFAULT PRIVILEGES FOR ROLE "{tool}" GRANT ALL ON {what} TO PUBLIC, "{mallory}"')
    job.start()
    job.cutover()
    found = db.execute(RIGHTS)
    # TimescaleDB puts triggers on new chunks in the owner's name, in the middle of an INSERT.
    assert {row for row in found if row[2] != owner} == set()
    assert {row[0] for row in found} == {"schema", "function"}
    assert {row[1] for row in found if row[0] == "function"} == {f"reverse_{event}_1" for event in ("write", "moved", "truncate")}
    for statement in ("SELECT FROM hyperferry.rollout", "DELETE FROM hyperferry.reverse_log_1", "CREATE TABLE hyperferry_old_1.x ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            job.run(statement, role=mallory)
    job.close()


def test_what_is_printed_for_a_dba_keeps_names_in_their_place(db: Database) -> None:
    """A name with a line feed stands in a comment of `plan --sql`: the rest of it must not become a statement."""
    evil = "x\nDROP TABLE public.trap; --"
    db.execute(TRAP + KEYED)
    for statement in (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        f'CREATE TRIGGER "{evil}" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()',
        f'CREATE INDEX "{evil}i" ON t (v)',
        f'ALTER TABLE t ADD CONSTRAINT "{evil}c" CHECK (v > -1)',
    ):
        db.execute(statement)
    statements = engine.preview(engine.make_plan(db.dsn, "t", "at", WEEKS))
    assert [each for each in statements if "\n" in each.comment]
    for each in statements:
        comment, _, rest = str(each).partition("\n")
        assert comment.startswith("-- ")
        assert rest == each.text + ";"


def test_a_key_of_an_extensions_type_is_compared_by_its_own_operator(job: Make) -> None:
    """citext stands in public, where somebody made operators that suit as well; and a NULL-like trap among them."""
    try:
        made: Job = job(
            "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext;"
            "CREATE TABLE t (name ext.citext PRIMARY KEY, at timestamptz NOT NULL, more ext.hstore, tags ext.citext[]);"
            "CREATE INDEX ON t (at);"
            "INSERT INTO t SELECT 'Row ' || i, timestamptz '2024-01-01' + i * interval '2 hours', ext.hstore('a', i::text), "
            "ARRAY['x' || i]::ext.citext[] FROM generate_series(1, 200) AS i;" + TRAP,
            options=WEEKS,
        )
    except psycopg.errors.FeatureNotSupported as error:
        pytest.skip(f"this server has no citext or hstore: {error}")
    mallory = made.db.make_role("mallory")
    made.db.execute(f'GRANT ALL ON SCHEMA ext TO "{mallory}"; GRANT ALL ON t TO "{mallory}"')
    with made.db.connect(mallory) as conn:
        conn.execute(
            "CREATE FUNCTION ext.trapped(ext.citext, text) RETURNS boolean LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO public.trap VALUES (current_user, ''citext''); RETURN false; END';"
            "CREATE OPERATOR ext.= (LEFTARG = ext.citext, RIGHTARG = text, FUNCTION = ext.trapped);"
            "CREATE FUNCTION ext.trapped(text, ext.citext) RETURNS boolean LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO public.trap VALUES (current_user, ''citext''); RETURN false; END';"
            "CREATE OPERATOR ext.= (LEFTARG = text, RIGHTARG = ext.citext, FUNCTION = ext.trapped)"
        )
    made.start()
    change = (
        "UPDATE t SET more = more || 'b=>1'::ext.hstore WHERE at < '2024-01-05'",
        "UPDATE t SET name = upper(name::text)::ext.citext WHERE at > '2024-01-12'",
        "DELETE FROM t WHERE at BETWEEN '2024-01-06' AND '2024-01-07'",
    )
    with made.db.connect() as conn:
        conn.execute("SET search_path = public, ext")
        for statement in change:
            conn.execute(statement.encode())
    made.sync()
    made.assert_equal()
    made.cutover()
    with made.db.connect() as conn:
        conn.execute("SET search_path = public, ext")
        for statement in change:
            conn.execute(statement.encode())
    made.rollback()
    made.assert_equal()
    assert made.run("SELECT * FROM public.trap") == []
