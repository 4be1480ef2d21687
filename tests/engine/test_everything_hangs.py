"""Everything that hangs on a table, by all that the catalogs say of the whole database: after the cutover it differs by a short list, each
entry of which is meant; after the rollback, and after abort, by nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from job import Job

from hyperferry import engine, planner
from hyperferry.errors import Refused, Usage
from hyperferry.model.plan_options import PlanOptions
from kit.catalogs import differences_of, everything, sequence_values
from kit.oracle import schema_dump
from kit.tables import described
from servers import Database

SCRIPT = Path(__file__).with_name("everything.sql")
TABLESPACE = "hang ts %"
GIVEN_UP = PlanOptions(
    chunk_interval="7 days",
    workers=1,
    drop_inbound_fks=('"go.es"', '"my.schema"."Weird ""Näme"."to itself"'),
    drop_from_publications=("pub %s {0}", "feed"),
)
KEPT_NOWHERE = replace(
    GIVEN_UP, drop_inbound_fks=(*GIVEN_UP.drop_inbound_fks, '"keeps {0}"', '"keeps unchecked"')
)
"""Before TimescaleDB 2.21.1 a hypertable can keep no foreign key that points at it."""
ROLES = ("hang_owner", "hang_reader", "hang_clerk", "hang_nobody")

T = '"my.schema"."Weird ""Näme"'
CHILD = '"my.schema"."child {0}"'
INDEX = r'(index "my.schema"."(the ""key|once %)"|table constraint "the ""key")'
GONE = "foreign keys that were given up are gone"
BLOCKER = "TimescaleDB up to 2.19 has a trigger of its own"
BENEATH = "foreign keys to the hypertable have one to each chunk beneath"
MEANT = {
    "keys without the time are widened": rf"[-+] (pg_index|pg_constraint): (indexrelid|oid)={INDEX}"
    rf"|\+ pg_attribute: attrelid={INDEX}, .*attname=When \$1,.*|\+ pg_depend: objid={INDEX}[^,]*, deptype=a, refobjid=table column {re.escape(T)}\.\"When \$1\"",
    GONE: r'- pg_(constraint|depend|trigger|description): \w+=(trigger \S+ of )?table constraint "(go\.es|to itself)" on ',
    "so are publications": rf"- (pg_publication_rel|pg_depend): \w+=publication relation {re.escape(T)} in publication (feed|pub %s \{{0\}}),",
    "capture is another": rf"(- pg_(trigger|depend): \w+=trigger hyperferry_forward|\+ pg_(trigger|depend): \w+=trigger hyperferry_reverse)_\w+ on {re.escape(T)},",
    BLOCKER: r"\+ pg_(trigger|depend): \w+=trigger ts_insert_blocker on ",
    BENEATH: rf"\+ pg_(constraint|depend|trigger): \w+=(trigger \S+ of )?table constraint "
    rf'"child \{{0\}}_Id%_When \$1_fkey\d*" on {re.escape(CHILD)}',
}
"""All that differs after a cutover, and why."""


def prepare(db: Database, script: str) -> None:
    """Roles and a tablespace, which are the server's, where they are missing; then the table with all that hangs on it."""
    with db.connect() as conn:
        for role in ROLES:
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                conn.execute(f"CREATE ROLE {role}")
        conn.execute("SET allow_in_place_tablespaces = on")
        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            conn.execute(f"CREATE TABLESPACE \"{TABLESPACE}\" LOCATION ''")
        with suppress(psycopg.errors.InternalError_):  # another test does the same at this moment
            conn.execute(f'GRANT CREATE ON TABLESPACE "{TABLESPACE}" TO hang_owner')
        conn.execute(script.replace("{ts}", f'"{TABLESPACE}"'))  # type: ignore[call-overload]


@pytest.fixture
def job(db: Database) -> Iterator[Job]:
    prepare(db, SCRIPT.read_text("utf-8"))
    with db.connect() as conn:
        table = described(conn, "my.schema", 'Weird "Näme', "When $1", "Id%")
    made = Job(db, table, GIVEN_UP if db.release == "testing" else KEPT_NOWHERE)
    yield made
    made.close()


def said(job: Job) -> Counter[str]:
    """All that the catalogs say now."""
    with job.db.connect() as conn:
        found = everything(conn)
    # Which of two unique keys with the same columns a foreign key leans on is the server's choice.
    either = re.compile(r'"my\.schema"\."(the ""key|with time)"')
    return Counter(either.sub("KEY", line) if '"keeps ' in line else line for line in found.elements())


def dumped(job: Job) -> str:
    return schema_dump(job.db.dsn, job.db.server.program("pg_dump"))


def values(job: Job) -> dict[str, int | None]:
    with job.db.connect() as conn:
        return sequence_values(conn)


def test_it_all_moves_and_comes_back(job: Job) -> None:
    """The whole way and back twice, with views, rules, policies, SQL bodies, foreign keys both ways, publications, grants by others, under
    names that break whatever pastes names together."""
    before, dump, numbers = said(job), dumped(job), values(job)
    assert sum(before.values()) > 400
    job.start()
    synced = said(job)
    assert values(job) == numbers
    assert all("hyperferry" in line for line in differences_of(before, synced))
    job.cutover()
    moved = differences_of(synced, said(job))
    meant = dict(MEANT)
    if job.db.release == "stable":
        meant["the same of those that 2.19 cannot keep"] = MEANT[GONE].replace(
            "(go", "(keeps \\{0\\}|keeps unchecked|go"
        )
    reasons = Counter(
        next((why for why, what in meant.items() if re.match(what, line)), line) for line in moved
    )
    assert reasons.keys() - meant.keys() == set()
    assert meant.keys() - reasons.keys() == {BENEATH if job.db.release == "stable" else BLOCKER}
    now = values(job)
    ahead = {name for name in numbers if now[name] != numbers[name]}
    assert ahead == {'"my.schema"."auto ""seq"', '"my.schema"."Weird ""Näme_down_seq"'}, "identities alone"
    job.rollback()
    assert differences_of(synced, said(job)) == []
    assert values(job).keys() == numbers.keys()
    job.cutover()
    assert sorted(differences_of(synced, said(job))) == sorted(moved), "the second time as the first"
    job.rollback()
    job.abort()
    assert differences_of(before, said(job)) == []
    assert dumped(job) == dump


def test_it_all_works_on_the_hypertable_and_stays_after_finish(job: Job) -> None:
    """Not only as it is written: what is bound to the table reads and writes the one that serves, in each phase."""
    # Whom row security does not filter.
    job.db.execute('ALTER FUNCTION "my.schema"."reads %s" OWNER TO CURRENT_USER')
    job.db.execute('ALTER VIEW "my.schema"."bar ""rier" OWNER TO CURRENT_USER')
    job.db.execute('ALTER TABLE "other %s"."the {other}" OWNER TO CURRENT_USER')
    job.start()
    job.cutover()
    for way in (job.rollback, job.cutover, job.finish):
        way()
        db = job.db
        (count,) = db.execute(f"SELECT count(*) FROM {T}")[0]
        (total,) = db.execute(f"SELECT sum(v) FROM {T} WHERE v > 2.5 AND note <> '{{0}} %s'")[0]
        db.execute(f"INSERT INTO {T} (\"When $1\", v, note) VALUES ('2024-01-03', 50, 'new')")
        assert db.execute('SELECT "my.schema"."reads %s"()')[0][0] == total + 50
        db.execute('INSERT INTO "my.schema"."ruled {table}" (note) VALUES (\'by rule\')')
        assert db.execute(f"SELECT count(*) FROM {T} WHERE note = 'BY RULE%S'")[0][0] >= 1
        assert db.execute(f"SELECT count(*) FROM {T}")[0][0] == count + 2
        db.execute('REFRESH MATERIALIZED VIEW "my.schema".through')
        assert db.execute('SELECT count(*) FROM "my.schema".through') == db.execute(
            f'SELECT count(*) FROM {T} WHERE "n:n" < 5.5'
        )
        (new,) = db.execute(f'SELECT max("Id%") FROM {T}')[0]
        db.execute(f'INSERT INTO "other %s"."the {{other}}" VALUES ({new}, 1)')
        db.execute('UPDATE "other %s"."the {other}" SET n = 3')
        assert db.execute(f'SELECT note FROM {T} WHERE "Id%" = {new}') == [("ruled",)]
        assert db.execute('SELECT last_value FROM "my.schema".of_sequence') == db.execute(
            'SELECT last_value FROM "my.schema"."auto ""seq"'
        )
        if db.release == "testing" or way == job.rollback:
            with pytest.raises(psycopg.errors.ForeignKeyViolation, match="keeps"):
                db.execute(f"INSERT INTO {CHILD} (id, at) VALUES (-1, '2024-01-01')")
        db.execute(f'INSERT INTO {CHILD} (id, at) SELECT "Id%", "When $1" FROM {T} WHERE "Id%" = {new}')
    assert not db.execute("SELECT FROM pg_namespace WHERE nspname LIKE 'hyperferry\\_%'")


def test_a_key_that_was_given_up_comes_back_unvalidated_where_rows_violate_it_by_then(job: Job) -> None:
    """Nothing keeps the child from pointing nowhere while the hypertable serves; the rollback says which rows do, and goes on."""
    job.start()
    job.cutover()
    job.db.execute(f"INSERT INTO {CHILD} (only_id) VALUES (-7)")
    job.said.clear()
    job.rollback()
    told = [line for line in job.said if "go.es" in line]
    assert len(told) == 1
    assert (
        "NOT VALID" in told[0],
        "(only_id)=(-7)" in told[0],
        'VALIDATE CONSTRAINT "go.es"' in told[0],
    ) == (True, True, True)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        job.db.execute(f"INSERT INTO {CHILD} (only_id) VALUES (-8)")
    job.cutover()
    job.db.execute(f"DELETE FROM {CHILD} WHERE only_id = -7")
    job.rollback()
    (valid,) = job.db.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'go.es'")[0]
    assert valid


def test_what_is_given_up_must_be_there_and_be_planned(job: Job) -> None:
    with pytest.raises(Usage, match="gone") as caught:
        Job(job.db, job.table, PlanOptions(drop_inbound_fks=("gone",))).plan  # noqa: B018
    assert '"go.es"' in str(caught.value)
    with pytest.raises(Usage, match="no publication"):
        Job(job.db, job.table, PlanOptions(drop_from_publications=("Feed%",))).plan  # noqa: B018
    job.start()
    with pytest.raises(Refused, match="more"):
        job.cutover(drop_inbound_fks=(*GIVEN_UP.drop_inbound_fks, "more"))
    with pytest.raises(Refused, match="nowhere"):
        job.cutover(drop_from_publications=("nowhere",))
    job.cutover(
        drop_inbound_fks=GIVEN_UP.drop_inbound_fks, drop_from_publications=GIVEN_UP.drop_from_publications
    )


CHUNK = """
    SELECT c.relname::text, c.reloptions, (SELECT reloptions FROM pg_class WHERE oid = c.reltoastrelid), c.relpersistence::text,
           (SELECT spcname::text FROM pg_tablespace WHERE oid = c.reltablespace), pg_get_userbyid(c.relowner)::text,
           ARRAY(SELECT concat_ws(' ', a.attname, a.attstorage, a.attcompression, a.attstattarget,
                           ARRAY(SELECT o FROM unnest(a.attoptions) AS o WHERE NOT starts_with(o, 'pg_')), a.attnotnull)
                 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
    FROM pg_class c WHERE c.oid = {} OR c.oid = (SELECT min(inhrelid) FROM pg_inherits WHERE inhparent = {}) ORDER BY c.oid
"""


def test_chunks_are_as_the_table_is(job: Job) -> None:
    """Storage parameters, tablespaces, storage, compression and statistics of columns are where the rows are, too."""
    job.start()
    shadow = """'hyperferry_new_1."Weird ""Näme"'::regclass"""
    root, chunk = job.db.execute(CHUNK.format(shadow, shadow))
    assert (root[2], chunk[2]) == (["autovacuum_enabled=false"], None), (
        "as preflight warns: TimescaleDB takes no TOAST options along"
    )
    assert chunk[1:2] + chunk[3:] == root[1:2] + root[3:]


TO_THE_OWNER = """
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER %s %s OWNER TO hang_owner', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, c.oid::regclass)
        FROM pg_class c WHERE c.relnamespace::regnamespace::text IN ('"my.schema"', '"other %s"') AND c.relkind IN ('r', 'v', 'm')
          AND c.relowner = current_user::regrole
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO hang_clerk', p.oid::regprocedure) FROM pg_proc p
        WHERE p.pronamespace::regnamespace::text IN ('"my.schema"', '"other %s"') AND p.proowner = current_user::regrole
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO hang_owner', '"my.schema".mood')
        UNION ALL
        SELECT format('ALTER PUBLICATION %I OWNER TO hang_clerk', pubname) FROM pg_publication
    LOOP
        EXECUTE statement;
    END LOOP;
END $$;
ALTER FUNCTION "other %s"."rows"() NOT LEAKPROOF;
GRANT REFERENCES ON "my.schema"."Weird ""Näme" TO hang_owner;
"""


def test_it_all_moves_without_a_superuser(job: Job) -> None:
    """What `roles --sql` prints is enough for all of it; things of four owners are as they were afterwards."""
    db = job.db
    db.execute('GRANT CREATE ON DATABASE "' + db.name + '" TO hang_clerk; ' + TO_THE_OWNER)
    role = db.make_role("mover")
    db.execute(f'ALTER ROLE "{role}" BYPASSRLS; GRANT CONNECT ON DATABASE "{db.name}" TO "{role}"')
    script = planner.grants_script(engine.rights(db.dsn, job.table.quoted, role=role))
    for line in script.splitlines():
        if line.startswith("GRANT"):
            db.execute(line.partition(";  -- ")[0])
    moved = Job(db, job.table, job.options, role)
    before = said(moved)
    moved.start()
    moved.cutover()
    moved.rollback()
    moved.cutover()
    moved.rollback()
    moved.abort()
    moved.close()
    assert [line for line in differences_of(before, said(moved)) if "hyperferry" not in line] == []
