"""What needs no server: descriptions compared, pg_restore's words, connections without a password in sight, rows."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from hyperferry.errors import Refused
from hyperferry.rehearsal.clone import parse_failures
from hyperferry.rehearsal.compare import changes, objects
from hyperferry.rehearsal.programs import connection

DUMP = """--
-- PostgreSQL database dump
--

\\restrict abc

SET statement_timeout = 0;

--
-- Name: t; Type: TABLE; Schema: public; Owner: an owner
--

CREATE TABLE public.t (
    id integer
);


ALTER TABLE public.t OWNER TO "an owner";

--
-- Name: t hyperferry_forward_7; Type: TRIGGER; Schema: public; Owner: an owner
--

CREATE TRIGGER hyperferry_forward_7 AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION hyperferry.f();

--
-- Name: app; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA app;


--
-- PostgreSQL database dump complete
--

\\unrestrict abc
"""


def test_a_dump_is_read_as_objects() -> None:
    found = objects(DUMP)
    assert set(found) == {"table t in public", "schema app"}
    assert found["schema app"] == "CREATE SCHEMA app;"
    assert found == objects(DUMP.replace(" abc", " xyz"))


def test_what_changed_is_named() -> None:
    before = objects(DUMP)
    assert changes(before, before) == []
    after = objects(
        DUMP.replace("id integer", "id bigint")
        .replace("SCHEMA app", "SCHEMA other")
        .replace("Name: app", "Name: other")
    )
    assert changes(before, after) == [
        "gone: schema app",
        "left behind: schema other",
        "changed: table t in public: id integer -> id bigint",
    ]


def test_failures_of_pg_restore_are_named() -> None:
    text = """pg_restore: connecting to database for restore
pg_restore: creating SCHEMA "my.schema"
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 7; 2615 1 SCHEMA - my.schema owner
pg_restore: error: could not execute query: ERROR:  schema "my.schema" already exists
Command was: CREATE SCHEMA "my.schema";
pg_restore: from TOC entry 217; 1255 16387 FUNCTION f() owner
pg_restore: error: could not execute query: ERROR:  language "plperl" does not exist
HINT:  Use CREATE EXTENSION to load the language into the database.
Command was: CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE plperl
    AS $$ return 1; $$;
pg_restore: warning: errors ignored on restore: 2
"""
    assert [str(each) for each in parse_failures(text)] == [
        'FUNCTION f() owner: language "plperl" does not exist'
    ]


def test_no_password_is_among_the_arguments() -> None:
    values, at = connection(
        "postgresql://me:topsecret@db.example:5433/app?keepalives_idle=7&sslmode=require",
        options="-c default_transaction_read_only=on",
    )
    assert values["PGPASSWORD"] == "topsecret"
    assert conninfo_to_dict(at) == {
        "user": "me",
        "host": "db.example",
        "port": "5433",
        "dbname": "app",
        "sslmode": "require",
        "keepalives_idle": "7",
        "options": "-c default_transaction_read_only=on",
    }
    with pytest.raises(Refused, match="sslpassword"):
        connection("host=h sslpassword=topsecret")


def test_options_of_the_connection_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c a.b=1")
    assert conninfo_to_dict(connection("host=h", options="-c c.d=2")[1])["options"] == "-c a.b=1 -c c.d=2"
    assert conninfo_to_dict(connection("host=h options='-c e.f=3'", options="-c c.d=2")[1])["options"] == "-c e.f=3 -c c.d=2"
