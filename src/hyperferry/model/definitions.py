"""Reading and extending definitions that PostgreSQL printed (pg_get_indexdef, pg_get_constraintdef and their
kin).

A definition is never taken apart by searching for a parenthesis or a word: names may contain either. It is
cut into tokens (quoted names, strings, words, punctuation), and only what stands outside of all parentheses
and brackets is looked at. The rules of quoting are those of PostgreSQL's ruleutils.c, which prints no
comments and no dollar quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MOST_FORMS = 8
"""How often a text is read again at most; two times are enough for whatever was met."""

_TOKEN = re.compile(
    r"""
      "(?:[^"]|"")*"            # a quoted name
    | [eE]'(?:[^'\\]|''|\\.)*'  # a string with escapes
    | '(?:[^']|'')*'            # a string
    | [^\W\d][\w$]*             # a word
    | \s+
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A token, its offset, and how many parentheses and brackets it stands in (its own not counted)."""

    text: str
    start: int
    depth: int


def tokens(definition: str) -> list[Token]:
    """The tokens of a definition. Raises ValueError where parentheses do not match."""
    found: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(definition):
        text = match[0]
        if text in (")", "]"):
            depth -= 1
        if depth < 0:
            raise ValueError(f"a parenthesis too many in {definition!r}")
        found.append(Token(text, match.start(), depth))
        if text in ("(", "["):
            depth += 1
    if depth:
        raise ValueError(f"a parenthesis is not closed in {definition!r}")
    return found


def printed_forms(printed: str, again: Callable[[str], str]) -> tuple[str, ...]:
    """The text, what PostgreSQL prints when it has read it (`again`), and so on, until a text comes again. They mean the
    same, and the last one stays as it is.

    `status IN ('a', 'b')` of a varchar is printed as `ANY ((ARRAY['a'::varchar, ...])::text[])`, and that, read and
    printed once more, as `ANY (ARRAY[('a'::varchar)::text, ...])`.
    """
    found = [printed]
    for _ in range(MOST_FORMS):
        text = again(found[-1])
        if text in found:
            break
        found.append(text)
    return tuple(found)


def _key_list(definition: str) -> tuple[int, int]:
    """Offsets of the first parenthesis outside of everything and of the one that closes it."""
    outer = [token for token in tokens(definition) if token.depth == 0]
    opening = next((token for token in outer if token.text == "("), None)
    if opening is None:
        raise ValueError(f"no list of columns in {definition!r}")
    closing = next(token for token in outer if token.text == ")" and token.start > opening.start)
    return opening.start, closing.start


def append_key_column(definition: str, quoted_name: str) -> str:
    """The definition of a key or index with one more key column at the end of its key list.

    Takes `PRIMARY KEY (a)`, `UNIQUE NULLS NOT DISTINCT (a, b) INCLUDE (c) DEFERRABLE` or an index's tail,
    `USING btree (lower(a)) WITH (fillfactor='70') WHERE (b > 0)`. Everything else stays as it stands.
    """
    _, closing = _key_list(definition)
    return f"{definition[:closing]}, {quoted_name}{definition[closing:]}"


def key_elements(definition: str) -> list[str]:
    """The elements of the key list as they stand: `lower(a)`, `b DESC`, `c WITH =`."""
    opening, closing = _key_list(definition)
    elements: list[str] = []
    start = opening + 1
    for token in tokens(definition):
        if opening < token.start < closing and token.depth == 1 and token.text == ",":
            elements.append(definition[start : token.start].strip())
            start = token.start + 1
    elements.append(definition[start:closing].strip())
    return elements


def has_word(definition: str, word: str) -> bool:
    """True when the upper-case keyword stands outside of all parentheses and quotes."""
    return any(token.depth == 0 and token.text == word for token in tokens(definition))


def storage_clause(tail: str) -> str:
    """The `WITH (...)` of an index's tail, '' where there is none."""
    outer = [token for token in tokens(tail) if token.depth == 0]
    for position, token in enumerate(outer):
        if token.text == "WITH":
            closing = next(t for t in outer[position:] if t.text == ")")
            return tail[token.start : closing.start + 1]
    return ""


def insert_clause(definition: str, clause: str) -> str:
    """The definition with `clause` (storage parameters, a tablespace) where PostgreSQL's grammar wants it:
    behind the last list or WITH, before WHERE and before DEFERRABLE. An empty clause changes nothing."""
    if not clause:
        return definition
    outer = [token for token in tokens(definition) if token.depth == 0]
    where = next((token.start for token in outer if token.text == "WHERE"), None)
    if where is not None:
        return f"{definition[:where]}{clause} {definition[where:]}"
    last = max(token.start for token in outer if token.text == ")") + 1
    # NULLS NOT DISTINCT stands behind the lists in an index's definition.
    for position, token in enumerate(outer):
        if token.text == "DISTINCT" and token.start > last and outer[position - 2].text == "NOT":
            last = token.start + len(token.text)
    return f"{definition[:last]} {clause}{definition[last:]}"


def with_table(statement: str, table: str) -> str:
    """The statement with the table's (quoted) name for its `{table}`: the first brace outside of quotes, since a name may
    hold braces."""
    brace = next(token.start for token in tokens(statement) if token.text == "{")
    return f"{statement[:brace]}{table}{statement[brace + len('{table}') :]}"


def statistics_body(definition: str) -> str:
    """What stands between the name and FROM in a CREATE STATISTICS: `(ndistinct) ON a, b`."""
    outer = [token for token in tokens(definition) if token.depth == 0 and not token.text.isspace()]
    position = 3  # CREATE STATISTICS name
    while outer[position].text == ".":
        position += 2
    start = outer[position].start
    end = max(token.start for token in outer if token.text == "FROM")
    return definition[start:end].strip()
