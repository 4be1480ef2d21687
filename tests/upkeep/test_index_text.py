"""The text of an index, and the names of chunks' indexes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperferry.errors import Usage
from hyperferry.model.declared import DeclaredIndex
from hyperferry.model.definitions import MOST_FORMS, printed_forms
from hyperferry.model.names import chunk_index_name
from hyperferry.upkeep.index_text import clause, tail_of


def test_every_part_stands_where_postgresql_wants_it() -> None:
    index = DeclaredIndex("i", ("lower(a)", "b DESC"), ("c", 'Odd "Name"'), "d > 0", method="btree")
    assert clause(index, {"fillfactor": "70"}) == (
        "USING \"btree\" (lower(a), b DESC) INCLUDE (\"c\", \"Odd \"\"Name\"\"\") WITH (\"fillfactor\" = '70') WHERE d > 0"
    )


@pytest.mark.parametrize("part", ["a); DROP TABLE t; --", "a;b", "(a", "a)", "a -- b", "a /* b */", " "])
def test_a_part_cannot_be_more_than_a_part(part: str) -> None:
    with pytest.raises(Usage):
        clause(DeclaredIndex("i", (part,)))
    with pytest.raises(Usage):
        clause(DeclaredIndex("i", ("a",), where=part))


def test_signs_within_quotes_are_themselves() -> None:
    assert "';--('" in clause(DeclaredIndex("i", ("a",), where="b <> ';--('"))


def test_the_tail_begins_behind_the_tables_name() -> None:
    assert tail_of('CREATE INDEX "USING" ON public."a USING (b" USING gin (c) WHERE (d > 0)') == "USING gin (c) WHERE (d > 0)"


def test_printed_forms_end_where_a_text_comes_again() -> None:
    again = {"a": "b", "b": "c", "c": "b", "d": "d"}
    assert printed_forms("a", again.__getitem__) == ("a", "b", "c")
    assert printed_forms("d", again.__getitem__) == ("d",)
    assert len(printed_forms("x", lambda text: text + "x")) == MOST_FORMS + 1


@given(st.text(min_size=1, max_size=63), st.text(min_size=1, max_size=63), st.integers(0, 30))
def test_a_name_never_has_more_than_63_bytes(chunk: str, index: str, number: int) -> None:
    name = chunk_index_name(chunk, index, number)
    assert len(name.encode()) <= 63
    assert number == 0 or name.endswith(f"_{number}")


def test_the_longer_part_is_cut() -> None:
    assert chunk_index_name("_hyper_1_1_chunk", "by_player") == "_hyper_1_1_chunk_by_player"
    assert chunk_index_name("_hyper_1_1_chunk", "x" * 63) == "_hyper_1_1_chunk_" + "x" * 46
