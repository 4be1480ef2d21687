"""What a statement's text says: whether it may be run, which names it has, and the same text for another table. Pure.

A table that has another schema but the same name (design: Words) needs little rewriting: unqualified names follow the
search_path, aliases and columns stay as they are, and only a schema that is written out is replaced. What the server then
really reads is looked up afterwards, in the locks that it takes (probe.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..model.names import TableName, quote_ident
from .tokens import Kind, Token, tokens

READING = frozenset({"select", "with", "values", "table"})
_WRITING = frozenset({"insert", "update", "delete", "merge"})
_TYPES = frozenset(
    {"interval", "date", "time", "timetz", "timestamp", "timestamptz", "numeric", "uuid", "inet", "json", "jsonb"}
    | {"bool", "boolean", "int", "integer", "bigint", "smallint", "int2", "int4", "int8", "real", "float4", "float8", "text"}
)
_NOT_AN_ALIAS = frozenset(
    {
        "on",
        "using",
        "where",
        "join",
        "inner",
        "left",
        "right",
        "full",
        "cross",
        "natural",
        "group",
        "order",
        "having",
        "limit",
    }
    | {
        "offset",
        "fetch",
        "for",
        "union",
        "intersect",
        "except",
        "window",
        "tablesample",
        "set",
        "returning",
        "as",
        "and",
        "or",
    }
    | {"not", "lateral", "when", "then", "else", "end", "select", "from"}
)


@dataclass(frozen=True)
class Chain:
    """Names joined by dots: `parts`, where the first and the last stand among the loud tokens, and whether `(` follows."""

    parts: tuple[str, ...]
    first: int
    last: int
    called: bool


def loud(text: str) -> list[Token]:
    """The tokens without comments and space. Raises ValueError as `tokens` does."""
    return [token for token in tokens(text) if not token.silent]


def split(text: str) -> list[str]:
    """The statements of a file, cut at semicolons outside parentheses (a BEGIN ATOMIC body is no query); empty ones left out."""
    parts: list[list[Token]] = [[]]
    for token in tokens(text):
        if token.text == ";":
            parts.append([])
        else:
            parts[-1].append(token)
    return ["".join(t.text for t in part).strip() for part in parts if any(not t.silent for t in part)]


def refusal(text: str) -> str | None:
    """Why the text is not one reading statement; None where it is one."""
    try:
        parts = split(text)
        words = loud(text)
    except ValueError as error:
        return str(error)
    if not parts:
        return "it is empty"
    if len(parts) > 1:
        return f"it is {len(parts)} statements"
    if any(token.kind is Kind.QUOTED and not token.name for token in words):
        return 'it writes a name with escapes (U&"..."), which hyperferry does not read'
    first = next((token for token in words if token.text != "("), words[0])
    if first.word not in READING:
        return f"it begins with {first.text.upper()}: only statements that read are run"
    for before, token in pairwise(words):
        if token.word in _WRITING and before.text == "(" and first.word == "with":
            return f"it has {token.text.upper()} in it: only statements that read are run"
        if token.word in ("update", "share") and before.word in ("for", "key"):
            return "it locks rows (FOR UPDATE, FOR SHARE): only statements that read are run"
    return None


def chains(words: Sequence[Token]) -> Iterator[Chain]:
    """Every run of names joined by dots, in order."""
    at = 0
    while at < len(words):
        if not words[at].name:
            at += 1
            continue
        first, parts = at, [words[at].name]
        while at + 2 < len(words) and words[at + 1].text == "." and words[at + 2].name:
            at += 2
            parts.append(words[at].name)
        yield Chain(tuple(parts), first, at, at + 1 < len(words) and words[at + 1].text == "(")
        at += 1


def _schema_at(chain: Chain, table: TableName, database: str) -> int | None:
    """Which part of the chain is the table's schema, with the table's name behind it."""
    for index in (0, 1):
        if chain.parts[index : index + 2] == (table.schema, table.name) and (index == 0 or chain.parts[0] == database):
            calls = chain.called and len(chain.parts) == index + 2
            return None if calls else index
    return None


def retarget(text: str, table: TableName, schema: str, database: str = "") -> str:
    """The statement with the table's schema, wherever it is written out, replaced. Raises ValueError as `tokens` does."""
    return _with_schema(text, table, quote_ident(schema), database)


def unqualify(text: str, table: TableName, database: str = "") -> str:
    """The statement with the relation's schema left out wherever it is written. Raises ValueError as `tokens` does."""
    return _with_schema(text, table, "", database)


def _with_schema(text: str, table: TableName, schema: str, database: str) -> str:
    everything = tokens(text)
    places = [index for index, token in enumerate(everything) if not token.silent]
    words = [everything[place] for place in places]
    nothing = Token(Kind.SPACE, "")
    for chain in chains(words):
        part = _schema_at(chain, table, database)
        if part is None:
            continue
        at = chain.first + 2 * part
        if schema:
            everything[places[at]] = Token(Kind.QUOTED, schema)
            continue
        for place in places[chain.first : at + 2]:
            everything[place] = nothing
    return "".join(token.text for token in everything)


def names_one(text: str, tables: Collection[TableName], database: str = "") -> bool:
    """Whether the text seems to read one of the relations: its name stands where a relation's may. Never raises."""
    try:
        words = loud(text)
    except ValueError:
        return False
    return any(_relation(chain, words, table, database) for chain in chains(words) for table in tables)


def places(words: Sequence[Token], tables: Collection[TableName], database: str = "") -> Iterator[Chain]:
    """Where one of the relations stands, by its name, in order."""
    return (chain for chain in chains(words) if any(_relation(chain, words, table, database) for table in tables))


def _relation(chain: Chain, words: Sequence[Token], table: TableName, database: str) -> bool:
    if chain.called:
        return False
    parts = chain.parts[1:] if len(chain.parts) == 3 and chain.parts[0] == database else chain.parts
    if parts not in ((table.name,), (table.schema, table.name)):
        return False
    before = words[chain.first - 1] if chain.first else None
    return before is not None and (
        before.word in ("from", "join", "only", "table", "into", "update", "using") or before.text in (",", "(")
    )


def qualifiers(text: str, tables: Collection[TableName], database: str = "") -> frozenset[str]:
    """The names by which columns of these relations may be qualified: aliases, or their own names where they have none."""
    words = loud(text)
    found = set()
    for chain in chains(words):
        table = next((each for each in tables if _relation(chain, words, each, database)), None)
        if table is None:
            continue
        after = words[chain.last + 1 : chain.last + 3]
        if after and after[0].text == "*":
            after = after[1:]
        if after and after[0].word == "as":
            after = after[1:]
        alias = after[0] if after and after[0].name and after[0].word not in _NOT_AN_ALIAS else None
        found.add(alias.name if alias is not None else table.name)
    return frozenset(found)


def with_names(words: Sequence[Token]) -> frozenset[str]:
    """The names that WITH gives, at any depth: `name (columns) AS [NOT] [MATERIALIZED] (`."""
    found = set()
    for at, token in enumerate(words):
        if not token.name or not at or (words[at - 1].word not in ("with", "recursive") and words[at - 1].text != ","):
            continue
        after = at + 1
        if after < len(words) and words[after].text == "(":
            after = next((n for n in range(after, len(words)) if words[n].text == ")"), len(words)) + 1
        following = [each.word or each.text for each in words[after : after + 4]]
        if following[:1] == ["as"] and [each for each in following[1:] if each not in ("not", "materialized")][:1] == ["("]:
            found.add(token.name)
    return frozenset(found)


def called(text: str) -> frozenset[tuple[str | None, str]]:
    """Schema (None: not written) and name of everything that looks like a function call."""
    words = loud(text)
    return frozenset(
        (chain.parts[-2] if len(chain.parts) > 1 else None, chain.parts[-1]) for chain in chains(words) if chain.called
    )


def parameters(text: str) -> list[int]:
    """The numbers of the parameters, ascending, each once."""
    return sorted({int(token.text[1:]) for token in tokens(text) if token.kind is Kind.PARAM})


def _typed_from(words: Sequence[Token], at: int) -> int | None:
    """Where the type begins that stands before the literal at this place, as in `interval(3) '1 day'`; None where none does."""
    end = at - 1
    if [token.word for token in words[max(0, at - 3) : at]] in (["with", "time", "zone"], ["without", "time", "zone"]):
        end = at - 4
    if [token.text for token in words[max(0, end - 2) : end + 1 : 2]] == ["(", ")"]:
        end -= 3
    if end < 0:
        return None
    if words[end].word == "precision" and end and words[end - 1].word == "double":
        return end - 1
    return end if words[end].word in _TYPES and (end == 0 or words[end - 1].text != ".") else None


def preparable(text: str) -> str:
    """The statement as PREPARE takes it: `interval $1`, which pg_stat_statements makes of `interval '1 day'`, is no SQL."""
    everything = tokens(text)
    places = [index for index, token in enumerate(everything) if not token.silent]
    words = [everything[place] for place in places]
    for at, param in enumerate(words):
        first = _typed_from(words, at) if param.kind is Kind.PARAM else None
        if first is None:
            continue
        kind = " ".join(token.text for token in words[first:at])
        for place in places[first:at]:
            everything[place] = Token(Kind.SPACE, " ")
        everything[places[at]] = Token(Kind.PARAM, f"({param.text}::{kind})")
    return "".join(token.text for token in everything).strip().rstrip(";").rstrip()
