"""Each rule finds what it is for, on a real table that has it; a clean table has none of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hyperferry.model.given_up import unknown_keys
from hyperferry.model.options import PreflightOptions
from hyperferry.model.plan import Strategy
from hyperferry.preflight import RULES, run

from .conftest import Place

ALWAYS = {"disk-space", "edition", "statements-unseen"}
"""What a clean table on a plain server of the Apache edition shows: notes only."""

FUNCTION = "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "


@dataclass(frozen=True)
class Case:
    """What is done to `s.t`, the rule that must see it, at which level, and words of message or remedy."""

    rule: str
    level: str
    sql: str
    words: tuple[str, ...] = ()
    table: str = "s.t"
    time: str = "ts"
    release: str | None = None


def other(ddl: str) -> str:
    """Another table in place of s.t."""
    return f"DROP TABLE s.t CASCADE; {ddl}"


CASES = [
    Case("relation-kind", "blocker", "CREATE VIEW s.v AS SELECT * FROM s.t", ("view",), table="s.v"),
    Case(
        "relation-kind",
        "blocker",
        "CREATE MATERIALIZED VIEW s.v AS SELECT * FROM s.t",
        ("materialized view",),
        table="s.v",
    ),
    Case(
        "relation-kind",
        "blocker",
        other("CREATE TABLE s.t (ts timestamptz) PARTITION BY RANGE (ts)"),
        ("partitioned table",),
    ),
    Case(
        "relation-kind",
        "blocker",
        other(
            "CREATE TABLE s.p (ts timestamptz) PARTITION BY RANGE (ts); CREATE TABLE s.t PARTITION OF s.p "
            "DEFAULT"
        ),
        ("partition", "DETACH"),
    ),
    Case(
        "relation-kind",
        "blocker",
        "CREATE TABLE s.child () INHERITS (s.t)",
        ("inherited", "NO INHERIT"),
        table="s.child",
    ),
    Case("relation-kind", "blocker", "CREATE TABLE s.child () INHERITS (s.t)", ("inheritance parent",)),
    Case(
        "relation-kind",
        "blocker",
        "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER fs FOREIGN DATA WRAPPER file_fdw; "
        "CREATE FOREIGN TABLE s.far (ts timestamptz) SERVER fs OPTIONS (filename '/dev/null'); ",
        ("foreign table",),
        table="s.far",
    ),
    Case(
        "relation-kind",
        "blocker",
        other("CREATE TABLE s.t (ts timestamptz NOT NULL); SELECT create_hypertable('s.t', 'ts')"),
        ("hypertable",),
    ),
    Case(
        "unlogged-table", "blocker", "ALTER TABLE s.t SET UNLOGGED", ("2.23", "SET LOGGED"), release="stable"
    ),
    Case(
        "typed-table",
        "blocker",
        other("CREATE TYPE s.ty AS (ts timestamptz); CREATE TABLE s.t OF s.ty"),
        ("s.ty", "NOT OF"),
    ),
    Case(
        "rewrite-rules",
        "blocker",
        "CREATE RULE quiet AS ON DELETE TO s.t DO ALSO NOTHING",
        ("quiet", 'DROP RULE "quiet" ON "s"."t"'),
    ),
    Case("time-column-missing", "blocker", "", ("nope", "ts timestamp with time zone"), time="nope"),
    Case("time-column-type", "blocker", "", ("text", "TYPE timestamp with time zone"), time="note"),
    Case(
        "time-column-type",
        "blocker",
        "CREATE DOMAIN s.d AS timestamptz; ALTER TABLE s.t ALTER ts TYPE s.d",
        ("domain", "s.d"),
    ),
    Case(
        "time-column-type",
        "blocker",
        "ALTER TABLE s.t ADD u uuid DEFAULT gen_random_uuid()",
        ("2.22",),
        time="u",
        release="stable",
    ),
    Case(
        "time-column-type",
        "blocker",
        "ALTER TABLE s.t ADD u uuid DEFAULT gen_random_uuid()",
        ("2,000", "UUIDv7"),
        time="u",
        release="testing",
    ),
    Case(
        "null-times",
        "blocker",
        "ALTER TABLE s.t ADD at date; UPDATE s.t SET at = ts WHERE id > 3",
        ("3 rows of 2,000",),
        time="at",
    ),
    Case(
        "null-times",
        "warning",
        "ALTER TABLE s.t ADD at date DEFAULT '2024-01-01'",
        ("SET NOT NULL",),
        time="at",
    ),
    Case(
        "infinite-times",
        "blocker",
        "INSERT INTO s.t VALUES (1, 'infinity'), (1, '-infinity')",
        ("2 rows of 2,002", "isfinite"),
    ),
    Case(
        "outlying-times",
        "warning",
        "INSERT INTO s.t VALUES (1, '9999-12-31'), (1, '0204-01-01')",
        ("2 rows", "0204-01-01", "9999-12-31"),
    ),
    Case("outlying-times", "blocker", "INSERT INTO s.t VALUES (1, '294276-12-31')", ("294247",)),
    Case(
        "outlying-times",
        "blocker",
        "ALTER TABLE s.t ADD at date NOT NULL DEFAULT '2024-01-01'; INSERT INTO s.t (id, ts, at) VALUES (1, '2031-01-01', '300000-01-01')",
        ("at goes up to 300000-01-01",),
        time="at",
    ),
    Case(
        "generated-time-column",
        "blocker",
        "ALTER TABLE s.t ADD day date GENERATED ALWAYS AS ((ts AT TIME ZONE 'UTC')::date) STORED",
        ("DROP EXPRESSION",),
        time="day",
    ),
    Case(
        "generated-time-column",
        "blocker",
        "ALTER TABLE s.t ADD day date GENERATED ALWAYS AS ((ts AT TIME ZONE 'UTC')::date) VIRTUAL",
        ("not stored",),
        time="day",
        release="testing",
    ),
    Case("timestamp-without-time-zone", "note", "ALTER TABLE s.t ALTER ts TYPE timestamp", ("UTC",)),
    Case("integer-time", "note", "", ("bigint", "1000000 units"), time="id"),
    Case("integer-time", "note", "UPDATE s.t SET id = 1700000000000 + id", ("604800000 units",), time="id"),
    Case("widened-key", "warning", "CREATE UNIQUE INDEX one ON s.t (id) WHERE v > 0", ("one", "(id, ts)")),
    Case(
        "widened-key",
        "warning",
        other("CREATE TABLE s.t (id int PRIMARY KEY, ts timestamptz NOT NULL)"),
        ("primary key", "(id, ts)"),
    ),
    Case(
        "no-usable-key",
        "blocker",
        "ALTER TABLE s.t DROP CONSTRAINT t_pkey",
        ('CREATE INDEX CONCURRENTLY ON "s"."t" ("ts")',),
    ),
    Case(
        "no-usable-key",
        "note",
        "ALTER TABLE s.t DROP CONSTRAINT t_pkey; CREATE INDEX by_time ON s.t (ts)",
        ("by_time",),
    ),
    Case(
        "exclusion-constraints",
        "blocker",
        "ALTER TABLE s.t ADD r int4range, ADD CONSTRAINT apart EXCLUDE USING gist (r WITH &&)",
        ("apart",),
    ),
    Case(
        "inbound-foreign-keys",
        "note",
        "CREATE TABLE s.c (id bigint, ts timestamptz, CONSTRAINT up FOREIGN KEY (id, ts) REFERENCES s.t)",
        ("s.c", "NOT VALID", "--drop-inbound-fk s.c.up"),
        release="testing",
    ),
    Case(
        "inbound-foreign-keys",
        "blocker",
        "CREATE TABLE s.c (id bigint, ts timestamptz, CONSTRAINT up FOREIGN KEY (id, ts) REFERENCES s.t)",
        ("s.c", "2.21.1", "--drop-inbound-fk s.c.up"),
        release="stable",
    ),
    Case(
        "inbound-foreign-keys",
        "blocker",
        'ALTER TABLE s.t ADD UNIQUE (id); CREATE TABLE s."C d" (p bigint CONSTRAINT "u p" REFERENCES s.t (id))',
        ("without ts", """--drop-inbound-fk 's."C d"."u p"'""", 'DROP CONSTRAINT "u p"'),
    ),
    Case(
        "inbound-foreign-keys",
        "blocker",
        "ALTER TABLE s.t ADD p bigint, ADD q timestamptz, ADD CONSTRAINT own FOREIGN KEY (p, q) REFERENCES s.t",
        ("own", "itself", "--drop-inbound-fk s.t.own"),
    ),
    Case(
        "inbound-foreign-keys",
        "blocker",
        "CREATE TABLE s.c (n int, id bigint, ts timestamptz NOT NULL, CONSTRAINT up FOREIGN KEY (id, ts) REFERENCES s.t);"
        "SELECT create_hypertable('s.c', 'ts'); INSERT INTO s.c SELECT 1, id, ts FROM s.t",
        ("one hypertable cannot", "--drop-inbound-fk s.c.up"),
    ),
    Case(
        "inbound-foreign-keys",
        "blocker",
        "CREATE TABLE s.c (n int, id bigint, ts timestamptz, CONSTRAINT up FOREIGN KEY (id, ts) REFERENCES s.t) PARTITION BY LIST (n)",
        ("partitioned", "18"),
        release="stable",
    ),
    Case(
        "inbound-foreign-keys",
        "blocker",
        "CREATE TABLE s.c (id bigint, ts timestamptz, CONSTRAINT up FOREIGN KEY (id, ts) REFERENCES s.t); ALTER TABLE s.c DISABLE TRIGGER ALL",
        ("not enabled in the ordinary way",),
    ),
    Case(
        "outbound-foreign-keys",
        "note",
        "CREATE TABLE s.o (id bigint PRIMARY KEY); ALTER TABLE s.t ADD o bigint CONSTRAINT out REFERENCES "
        "s.o",
        ("out",),
    ),
    Case(
        "outbound-foreign-keys",
        "blocker",
        "CREATE TABLE s.h (id bigint, ts timestamptz, PRIMARY KEY (id, ts)); SELECT "
        "create_hypertable('s.h', 'ts'); "
        "DELETE FROM s.t; ALTER TABLE s.t ADD CONSTRAINT out FOREIGN KEY (id, ts) REFERENCES s.h",
        ("s.h", 'DROP CONSTRAINT "out"'),
    ),
    Case(
        "not-valid-checks",
        "blocker",
        "ALTER TABLE s.t ADD CONSTRAINT small CHECK (v < 1999) NOT VALID",
        ("2 rows", "small"),
    ),
    Case(
        "not-valid-checks",
        "note",
        "ALTER TABLE s.t ADD CONSTRAINT small CHECK (v < 9999) NOT VALID",
        ("VALIDATE CONSTRAINT",),
    ),
    Case(
        "not-valid-checks",
        "blocker",
        "UPDATE s.t SET note = NULL WHERE id = 7; ALTER TABLE s.t ADD CONSTRAINT there NOT NULL note NOT "
        "VALID",
        ("1 row;", "there"),
        release="testing",
    ),
    Case(
        "not-enforced-checks",
        "blocker",
        "ALTER TABLE s.t ADD CONSTRAINT lax CHECK (v < 0) NOT ENFORCED",
        ("lax",),
        release="testing",
    ),
    Case(
        "no-inherit-checks",
        "blocker",
        "ALTER TABLE s.t ADD CONSTRAINT own CHECK (v > 0) NO INHERIT",
        ("own", "ADD CONSTRAINT"),
    ),
    Case(
        "user-triggers",
        "note",
        FUNCTION + "CREATE TRIGGER a AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()",
        ("a (s.f())",),
    ),
    Case(
        "unsupported-triggers",
        "blocker",
        FUNCTION
        + "CREATE TRIGGER a AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f(); ALTER TABLE s.t "
        "DISABLE TRIGGER a",
        ("disabled",),
    ),
    Case(
        "unsupported-triggers",
        "blocker",
        FUNCTION
        + "CREATE TRIGGER a AFTER INSERT ON s.t REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION "
        "s.f()",
        ("transition",),
    ),
    Case(
        "unsupported-triggers",
        "blocker",
        FUNCTION + "CREATE CONSTRAINT TRIGGER a AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()",
        ("constraint trigger",),
    ),
    Case(
        "event-triggers",
        "warning",
        "CREATE FUNCTION s.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; "
        "CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION s.e()",
        ("watch",),
    ),
    Case(
        "row-security",
        "note",
        "ALTER TABLE s.t ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON s.t USING (v > 0)",
        ("mine",),
    ),
    Case("publications", "blocker", "CREATE PUBLICATION feed FOR TABLE s.t", ("feed", "DROP TABLE")),
    Case(
        "publications",
        "blocker",
        "CREATE PUBLICATION feed FOR TABLES IN SCHEMA s",
        ("feed", "DROP TABLES IN SCHEMA"),
    ),
    Case(
        "publications-for-all-tables",
        "blocker",
        "CREATE PUBLICATION feed FOR ALL TABLES",
        ("feed", "FOR ALL TABLES"),
    ),
    Case(
        "odd-parts",
        "blocker",
        "CREATE EXTENSION IF NOT EXISTS hstore; CREATE INDEX i ON s.t (v); ALTER INDEX s.i DEPENDS ON EXTENSION hstore",
        ("s.i depends on the extension hstore",),
    ),
    Case("odd-parts", "blocker", "COMMENT ON TYPE s.t IS 'rows'", ("row type has a comment",)),
    Case("odd-parts", "blocker", "REVOKE USAGE ON TYPE s.t FROM PUBLIC", ("row type has privileges",)),
    Case(
        "odd-parts",
        "blocker",
        "CREATE TABLE s.o (id bigint PRIMARY KEY); ALTER TABLE s.t ADD o bigint CONSTRAINT out REFERENCES s.o; ALTER TABLE s.t DISABLE TRIGGER ALL",
        ("constraint out", "ENABLE TRIGGER ALL"),
    ),
    Case(
        "toast-options",
        "warning",
        "ALTER TABLE s.t SET (toast.autovacuum_enabled = false)",
        ("toast.autovacuum_enabled=false",),
    ),
    Case("replica-identity", "note", "ALTER TABLE s.t REPLICA IDENTITY FULL", ("FULL",)),
    Case("row-type-dependents", "blocker", "CREATE VIEW s.v AS SELECT t FROM s.t", ("s.v",)),
    Case(
        "row-type-dependents",
        "blocker",
        "CREATE FUNCTION s.g(s.t) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ("s.g(s.t)",),
    ),
    Case(
        "row-type-dependents",
        "blocker",
        "CREATE FUNCTION s.g() RETURNS SETOF s.t LANGUAGE sql AS 'SELECT * FROM s.t'",
        ("s.g()",),
    ),
    Case("row-type-dependents", "blocker", "CREATE TABLE s.c (r s.t[])", ("s.c",)),
    Case("row-type-dependents", "blocker", "CREATE DOMAIN s.dom AS s.t", ("s.dom",)),
    Case(
        "materialized-views",
        "blocker",
        "CREATE MATERIALIZED VIEW s.m WITH (fillfactor = 70) AS SELECT v, note || '  two  ' AS n FROM s.t",
        ("s.m", 'CREATE VIEW "s"."m_rows" AS', "'  two  '", "WITH (fillfactor=70) AS SELECT * FROM"),
    ),
    Case(
        "function-bodies",
        "note",
        "CREATE FUNCTION s.g() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM s.t; END",
        ("s.g()",),
    ),
    *(
        Case(
            "function-bodies",
            "blocker",
            f"CREATE PROCEDURE s.g() LANGUAGE sql BEGIN ATOMIC SELECT 1; {body}; END",
            ("s.g()", "writes"),
        )
        for body in (
            "INSERT INTO s.t VALUES (1, now())",
            "UPDATE s.t SET v = 1",
            "DELETE FROM s.t",
            "WITH gone AS (DELETE FROM s.t RETURNING 1) SELECT * FROM gone",
            "SELECT v FROM s.t FOR UPDATE",
            "MERGE INTO s.t USING (VALUES (1)) AS n (id) ON t.id = n.id WHEN MATCHED THEN DO NOTHING",
        )
    ),
    Case(
        "other-dependents",
        "blocker",
        "ALTER TABLE s.t ADD n bigint GENERATED ALWAYS AS IDENTITY; CREATE TABLE s.c (id bigint DEFAULT nextval('s.t_n_seq'))",
        ("default value for s.c.id", "through the sequence of an identity"),
    ),
    Case(
        "other-dependents",
        "blocker",
        "CREATE TABLE s.c (o oid CONSTRAINT other CHECK (o <> 's.t'::regclass))",
        ("constraint other on s.c",),
    ),
    Case(
        "other-dependents",
        "blocker",
        FUNCTION + "CREATE TABLE s.c (o oid); CREATE TRIGGER a AFTER UPDATE ON s.c FOR EACH ROW WHEN (NEW.o = 's.t'::regclass) "
        "EXECUTE FUNCTION s.f()",
        ("trigger a on s.c",),
    ),
    Case(
        "dependent-views",
        "note",
        "CREATE TABLE s.c (id int); CREATE POLICY seen ON s.c USING (EXISTS (SELECT FROM s.t WHERE t.id = c.id))",
        ("policy seen on s.c",),
    ),
    Case(
        "dependent-views",
        "note",
        "CREATE TABLE s.c (id int); CREATE RULE r AS ON DELETE TO s.c DO ALSO DELETE FROM s.t",
        ("rule r on s.c",),
    ),
    Case("dependent-views", "note", "CREATE VIEW s.v AS SELECT v FROM s.t", ("s.v",)),
    Case(
        "view-groups-by-key",
        "blocker",
        "ALTER TABLE s.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id); CREATE VIEW s.v AS SELECT id, v "
        "FROM s.t GROUP BY id",
        ("s.v", "GROUP BY"),
    ),
    Case(
        "view-groups-by-key",
        "blocker",
        "ALTER TABLE s.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id); CREATE FUNCTION s.g() RETURNS SETOF bigint LANGUAGE sql "
        "BEGIN ATOMIC SELECT v::bigint FROM s.t GROUP BY id; END",
        ("s.g()", "GROUP BY"),
    ),
    Case(
        "identity-and-serial-columns",
        "note",
        "ALTER TABLE s.t ADD n int GENERATED ALWAYS AS IDENTITY",
        ("an identity", "s.t_n_seq"),
    ),
    Case("identity-and-serial-columns", "note", "ALTER TABLE s.t ADD n serial", ("a serial", "s.t_n_seq")),
    Case(
        "unanalyzed-table",
        "note",
        other("CREATE TABLE s.t (ts timestamptz PRIMARY KEY)"),
        ('ANALYZE "s"."t"',),
    ),
    Case(
        "leftovers",
        "blocker",
        "CREATE SCHEMA hyperferry_new_3; CREATE TABLE hyperferry_new_3.t ()",
        ("DROP SCHEMA hyperferry_new_3",),
    ),
    Case(
        "leftovers",
        "blocker",
        FUNCTION + "CREATE TRIGGER hyperferry_log AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()",
        ("DROP TRIGGER hyperferry_log on s.t",),
    ),
    Case(
        "open-rollout",
        "note",
        "CREATE SCHEMA hyperferry; CREATE TABLE hyperferry.rollout AS "
        "SELECT 3::bigint AS id, 's' AS source_schema, 't' AS source_name, 1::oid AS source_oid, "
        "'copying' AS phase; "
        "CREATE SCHEMA hyperferry_new_3; CREATE TABLE hyperferry_new_3.t ()",
        ("copying", "hyperferry start"),
    ),
    Case(
        "cross-chunk-updates",
        "warning",
        "CREATE PROCEDURE s.late() LANGUAGE sql AS 'UPDATE s.t SET v = 1, ts = now() WHERE id = 1'",
        ("s.late()",),
    ),
    Case(
        "only-the-table",
        "blocker",
        "CREATE VIEW s.v AS SELECT o.id FROM ONLY s.t AS o",
        ("s.v", "find none"),
    ),
    Case(
        "only-the-table",
        "blocker",
        "CREATE TABLE s.other (id bigint); CREATE POLICY known ON s.other USING (id IN (SELECT id FROM ONLY s.t))",
        ("known on s.other",),
    ),
    Case(
        "only-the-table",
        "warning",
        "CREATE PROCEDURE s.export() LANGUAGE plpgsql AS 'BEGIN COPY s.t (id, ts) TO PROGRAM ''cat''; END'",
        ("s.export()", "COPY (SELECT * FROM s.t) TO"),
    ),
    Case(
        "only-the-table",
        "warning",
        "CREATE PROCEDURE s.clear() LANGUAGE plpgsql AS 'BEGIN DELETE FROM ONLY \"t\" WHERE id = 1; END'",
        ("s.clear()",),
    ),
    Case(
        "on-conflict-key",
        "warning",
        "CREATE UNIQUE INDEX one ON s.t (id); CREATE VIEW s.v AS SELECT id FROM s.t; CREATE RULE up AS ON INSERT TO s.v DO INSTEAD INSERT INTO s.t "
        "VALUES (new.id, now()) ON CONFLICT (id) DO NOTHING",
        ("rule up on s.v",),
    ),
    Case(
        "on-conflict-key",
        "warning",
        "CREATE UNIQUE INDEX one ON s.t (id); CREATE PROCEDURE s.up() LANGUAGE sql AS 'INSERT INTO s.t "
        "VALUES (1, now()) ON CONFLICT (id) DO NOTHING'",
        ("s.up()",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.level}")
def test_a_table_that_has_it(place: Place, case: Case) -> None:
    if case.release not in (None, place.release):
        pytest.skip(f"only on {case.release}")
    if case.sql:
        place.execute(case.sql)
    found = [
        finding for finding in place.found(case.rule, case.table, case.time) if finding.level == case.level
    ]
    assert found, [f"{finding.rule}: {finding.message}" for finding in place.findings(case.table, case.time)]
    text = " ".join(finding.message + " " + finding.remedy for finding in found)
    for word in case.words:
        assert word in text


def test_what_is_given_up_by_name_is_told_and_no_longer_refused(place: Place) -> None:
    place.execute(
        "ALTER TABLE s.t ADD UNIQUE (id); CREATE TABLE s.c (p bigint CONSTRAINT up REFERENCES s.t (id)); CREATE PUBLICATION feed FOR TABLE s.t"
    )
    for name in ("up", "c.up", "s.C.up", '"s".c."up"'):
        options = PreflightOptions(drop_inbound_fks=(name,), drop_from_publications=("feed",))
        found = {f.rule: f.level.value for f in run(place.inspect(), options)}
        assert found["inbound-foreign-keys"] == found["publications"] == "warning"
    for name in ("u", "d.up", "s.up", "x.c.up"):
        assert unknown_keys(place.inspect(), [name]) == [name]
        found = {f.rule: f.level.value for f in run(place.inspect(), PreflightOptions(drop_inbound_fks=(name,)))}
        assert found["inbound-foreign-keys"] == found["publications"] == "blocker"
    in_place = PreflightOptions(Strategy.IN_PLACE, drop_inbound_fks=("up",), drop_from_publications=("feed",))
    found = {f.rule: f.level.value for f in run(place.inspect(), in_place)}
    assert found["inbound-foreign-keys"] == found["publications"] == "blocker"


@pytest.mark.parametrize("type_sql", ["timestamptz", "timestamp", "date", "bigint", "uuid"])
def test_the_statement_that_shows_outlying_times_finds_them_in_every_time_zone(place: Place, type_sql: str) -> None:
    """The examples are as a session in UTC prints them, and whoever runs the statement may be elsewhere."""
    milliseconds = "(extract(epoch FROM ts) * 1000)::bigint"
    values = {
        "bigint": milliseconds,
        "uuid": f"concat(lpad(to_hex({milliseconds}), 12, '0'), '70008000', lpad(to_hex(id), 12, '0'))::uuid",
    }
    if type_sql == "uuid" and place.release == "stable":
        pytest.skip("uuid as the time needs a later TimescaleDB")
    place.execute(
        "INSERT INTO s.t VALUES (1, '9000-12-31 23:59:59.123+00'), (1, '8000-01-01 01:00+00');"
        f"ALTER TABLE s.t ADD at {type_sql}; SET timezone = 'UTC'; UPDATE s.t SET at = {values.get(type_sql, 'ts')};"
        "ALTER TABLE s.t ALTER at SET NOT NULL"
    )
    (finding,) = place.found("outlying-times", time="at")
    statement = finding.remedy.partition(": ")[2]
    with place.database.connect() as session:
        session.execute("SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'")
        assert session.execute(statement).rowcount == 2


def test_what_reads_the_table_through_a_view_is_no_hindrance(place: Place) -> None:
    """The view is pointed at the hypertable, and stays what it is for whatever is bound to it: its rows, its row type."""
    place.execute(
        "CREATE VIEW s.v AS SELECT id, v FROM s.t; CREATE MATERIALIZED VIEW s.m AS SELECT * FROM s.v;"
        "CREATE FUNCTION s.g() RETURNS SETOF s.v LANGUAGE sql BEGIN ATOMIC SELECT * FROM s.v; END;"
        "CREATE FUNCTION s.w(s.v) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW s.w AS SELECT v AS row FROM s.v;"
        "CREATE PROCEDURE s.add() LANGUAGE sql BEGIN ATOMIC INSERT INTO s.v VALUES (1, 1); END;"
        "CREATE TABLE s.c (id int); CREATE POLICY seen ON s.c USING (EXISTS (SELECT FROM s.v WHERE v.id = c.id))"
    )
    assert [finding.message for finding in place.findings() if finding.level != "note"] == []


def test_a_clean_table_has_none_of_it(place: Place) -> None:
    assert {finding.rule for finding in place.findings()} == ALWAYS
    assert {finding.level.value for finding in place.findings()} == {"note"}


def test_every_rule_is_seen_both_ways() -> None:
    """A rule without a test here has one of its own in the other files."""
    from . import test_sessions, test_states

    elsewhere = {"extension-overloads"}  # tests/engine/test_hostile.py
    tested = {case.rule for case in CASES} | test_states.TESTED | test_sessions.TESTED | elsewhere
    assert tested == set(RULES)


def test_what_a_hypertable_bears_is_not_refused(place: Place) -> None:
    """Views by columns, views of views, upserts on a key with the time, INSTEAD OF triggers, own policies."""
    place.execute(
        "CREATE VIEW s.a AS SELECT id, ts, to_jsonb(t) AS doc FROM s.t; CREATE VIEW s.b AS SELECT * FROM s.a;"
        "CREATE VIEW s.c AS SELECT id, ts, v FROM s.t GROUP BY id, ts;"
        "CREATE PROCEDURE s.up() LANGUAGE sql AS"
        " 'INSERT INTO s.t VALUES (1, now()) ON CONFLICT (id, ts) DO UPDATE SET v = 2 WHERE t.ts = now()';"
        "CREATE POLICY own ON s.t USING (EXISTS (SELECT FROM s.t AS x WHERE x.id = t.id));"
        "ALTER TABLE s.t ADD CONSTRAINT whole CHECK (v IS NULL OR v > 0) NOT VALID;"
    )
    assert [finding.message for finding in place.findings() if finding.level != "note"] == []
