"""Definitions are extended where they should be, whatever names stand in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from hyperferry.model.definitions import (
    append_key_column,
    has_word,
    insert_clause,
    key_elements,
    statistics_body,
    storage_clause,
    tokens,
)
from hyperferry.model.names import quote_ident
from servers import Database

# Characters that have broken quoting somewhere.
awkward = st.text(alphabet="ab\"'(),[] .\\$WHERE-é{}%;", min_size=1, max_size=12)
plain = st.sampled_from(["id", "player_id", "lower", "ts"])
names = st.one_of(plain, awkward.map(quote_ident))
strings = awkward.map(
    lambda text: (
        "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
        if "\\" in text
        else "'" + text.replace("'", "''") + "'"
    )
)
expressions = st.recursive(
    st.one_of(names, strings.map(lambda s: f"{s}::text"), st.just("1")),
    lambda inner: st.one_of(
        st.tuples(names, st.lists(inner, max_size=3)).map(lambda p: f"{p[0]}({', '.join(p[1])})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]} || {p[1]})"),
        st.lists(inner, max_size=3).map(lambda p: f"ARRAY[{', '.join(p)}]"),
    ),
    max_leaves=6,
)
elements = st.tuples(
    expressions,
    st.sampled_from(["", " DESC", " NULLS FIRST", ' COLLATE "C"', " text_pattern_ops", " WITH ="]),
).map("".join)


@given(
    head=st.sampled_from(
        ["PRIMARY KEY ", "UNIQUE ", "UNIQUE NULLS NOT DISTINCT ", "USING btree ", "EXCLUDE USING gist "]
    ),
    keys=st.lists(elements, min_size=1, max_size=4),
    included=st.lists(names, max_size=2),
    predicate=st.none() | expressions,
    added=names,
)
def test_the_column_is_added_to_the_key_and_nowhere_else(
    head: str, keys: list[str], included: list[str], predicate: str | None, added: str
) -> None:
    tail = (f" INCLUDE ({', '.join(included)})" if included else "") + (
        f" WHERE ({predicate})" if predicate else ""
    )
    definition = f"{head}({', '.join(keys)}){tail}"
    assert key_elements(definition) == [k.strip() for k in keys]
    widened = append_key_column(definition, added)
    assert key_elements(widened) == [*(k.strip() for k in keys), added]
    assert widened == f"{head}({', '.join(keys)}, {added}){tail}"
    assert "".join(token.text for token in tokens(widened)) == widened


@pytest.mark.parametrize(
    ("definition", "widened"),
    [
        ("PRIMARY KEY (id)", 'PRIMARY KEY (id, "ts")'),
        (
            "UNIQUE (a, b) INCLUDE (c) DEFERRABLE INITIALLY DEFERRED",
            'UNIQUE (a, b, "ts") INCLUDE (c) DEFERRABLE INITIALLY DEFERRED',
        ),
        ('PRIMARY KEY ("a)b", "c""(d")', 'PRIMARY KEY ("a)b", "c""(d", "ts")'),
        (
            "USING btree (lower((name || ')'::text)) DESC) INCLUDE (x) NULLS NOT DISTINCT WITH "
            "(fillfactor='70') WHERE (a > 0)",
            "USING btree (lower((name || ')'::text)) DESC, \"ts\") INCLUDE (x) NULLS NOT DISTINCT WITH "
            "(fillfactor='70') WHERE (a > 0)",
        ),
        (r"USING btree ((x || E'\\)'::text))", r"""USING btree ((x || E'\\)'::text), "ts")"""),
    ],
)
def test_examples(definition: str, widened: str) -> None:
    assert append_key_column(definition, '"ts"') == widened


@pytest.mark.parametrize(
    ("definition", "clause", "result"),
    [
        ("USING btree (a)", "TABLESPACE x", "USING btree (a) TABLESPACE x"),
        (
            "USING btree (a) NULLS NOT DISTINCT",
            "TABLESPACE x",
            "USING btree (a) NULLS NOT DISTINCT TABLESPACE x",
        ),
        (
            'USING btree (" WHERE ") WHERE (a)',
            "TABLESPACE x",
            'USING btree (" WHERE ") TABLESPACE x WHERE (a)',
        ),
        (
            "UNIQUE (a) INCLUDE (b) DEFERRABLE",
            "WITH (f='1')",
            "UNIQUE (a) INCLUDE (b) WITH (f='1') DEFERRABLE",
        ),
        ("PRIMARY KEY (a)", "", "PRIMARY KEY (a)"),
    ],
)
def test_clauses_stand_where_the_grammar_wants_them(definition: str, clause: str, result: str) -> None:
    assert insert_clause(definition, clause) == result


def test_parts_are_found_outside_of_names_only() -> None:
    tail = """USING btree ("WITH (x)") WITH (fillfactor='70') WHERE ("WHERE" = 'WITH (')"""
    assert storage_clause(tail) == "WITH (fillfactor='70')"
    assert storage_clause("USING btree (a)") == ""
    assert has_word("UNIQUE (a) DEFERRABLE", "DEFERRABLE")
    assert not has_word('UNIQUE ("DEFERRABLE")', "DEFERRABLE")
    assert (
        statistics_body('CREATE STATISTICS "a b".s (mcv) ON x, (substr(y, 1)) FROM "t FROM u"')
        == "(mcv) ON x, (substr(y, 1))"
    )
    assert statistics_body("CREATE STATISTICS public.s ON x, y FROM public.t") == "ON x, y"


@pytest.mark.parametrize("broken", ["PRIMARY KEY", "PRIMARY KEY (a", "PRIMARY KEY a)"])
def test_what_is_no_definition_is_an_error(broken: str) -> None:
    with pytest.raises(ValueError, match=r"parenthesis|list of columns"):
        append_key_column(broken, '"ts"')


def test_the_server_takes_what_we_made_of_what_it_printed(db: Database) -> None:
    odd = ['a)b"(', "it's, (\\)", 'WHERE " (', "E'", "é{}%s"]
    with db.connect() as conn:
        columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(n)) for n in odd)
        conn.execute(sql.SQL("CREATE TABLE t (ts timestamptz, {})").format(columns))
        for name in odd:
            conn.execute(
                sql.SQL("CREATE UNIQUE INDEX i ON t (({} || {}), {} DESC) WHERE {} <> {}").format(
                    sql.Identifier(name),
                    sql.Literal(f"\\ {name}"),
                    *[sql.Identifier(name)] * 2,
                    sql.Literal(name),
                )
            )
            before = conn.execute("SELECT pg_get_indexdef('i'::regclass)").fetchone()
            assert before is not None
            conn.execute("DROP INDEX i")
            conn.execute(append_key_column(before[0], '"ts"'))
            after = conn.execute("SELECT pg_get_indexdef('i'::regclass)").fetchone()
            assert after is not None
            assert after[0] == append_key_column(before[0], "ts")
            conn.execute("DROP INDEX i")
