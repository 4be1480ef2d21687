"""Names: of tables, and of everything that one rollout creates."""

from __future__ import annotations

import re
from dataclasses import dataclass

LEDGER_SCHEMA = "hyperferry"
NAME_BYTES = 63
"""The longest name that PostgreSQL keeps."""


def quote_ident(name: str) -> str:
    """The name as a quoted SQL identifier (always with quotes; for messages and for DDL text)."""
    return '"' + name.replace('"', '""') + '"'


def quoted_if_needed(name: str) -> str:
    """The name for people: in quotes where it would not be read as it stands."""
    return name if name.isidentifier() and name == name.lower() else quote_ident(name)


def identifier_pattern(name: str) -> str:
    """A regular expression for an identifier in a text of SQL, with or without quotes."""
    quoted = re.escape('"' + name.replace('"', '""') + '"')
    return rf"(?:{quoted}|(?<![\w\"]){re.escape(name)}(?![\w\"]))"


def name_parts(text: str) -> tuple[str, ...]:
    """A name as users write it: `public.Stats` -> ('public', 'stats'). Within double quotes every character stands for itself."""
    found = re.findall(r'"(?:[^"]|"")*"|[^".]+', text.strip())
    parts = (p[1:-1].replace('""', '"') if p.startswith('"') else p.strip().lower() for p in found)
    return tuple(parts) or (text,)


def chunk_index_name(chunk: str, root_index: str, number: int = 0) -> str:
    """The name that TimescaleDB gives to a chunk's index: `chunk_rootindex`, with a number where that is taken, cut
    to 63 bytes.

    As PostgreSQL's makeObjectName does it: the longer of the two is shortened first, and no character is cut in half.
    """
    label = f"_{number}" if number else ""
    room = NAME_BYTES - 1 - len(label)
    one, two = chunk.encode(), root_index.encode()
    first, second = len(one), len(two)
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    parts = (part[:length].decode(errors="ignore") for part, length in ((one, first), (two, second)))
    return "_".join(parts) + label


@dataclass(frozen=True, order=True)
class TableName:
    """A relation's schema and name, unquoted."""

    schema: str
    name: str

    @property
    def quoted(self) -> str:
        """`"schema"."name"`, safe to stand in SQL."""
        return f"{quote_ident(self.schema)}.{quote_ident(self.name)}"

    def __str__(self) -> str:
        """For people: quoted only where needed."""
        return ".".join(map(quoted_if_needed, (self.schema, self.name)))


@dataclass(frozen=True)
class Names:
    """Every name that rollout `n` of a table uses. The ledger's own tables carry the number, the
    shadow keeps the table's own name in a schema of its own (see design: Words)."""

    n: int
    table: TableName

    @property
    def new_schema(self) -> str:
        """The schema in which the shadow is built."""
        return f"hyperferry_new_{self.n}"

    @property
    def old_schema(self) -> str:
        """The schema into which the source goes at the cutover."""
        return f"hyperferry_old_{self.n}"

    @property
    def shadow(self) -> TableName:
        """The hypertable before the cutover."""
        return TableName(self.new_schema, self.table.name)

    @property
    def old(self) -> TableName:
        """The plain table after the cutover."""
        return TableName(self.old_schema, self.table.name)

    def of_ledger(self, kind: str) -> TableName:
        """A relation or function of this rollout in the ledger's schema, e.g. `forward_log_7`."""
        return TableName(LEDGER_SCHEMA, f"{kind}_{self.n}")
