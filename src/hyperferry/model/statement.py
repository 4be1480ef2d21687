"""A statement that will be run, together with what a DBA should know of it."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql


class Fragment(sql.SQL):
    """SQL text in which a percent sign is itself and never begins a placeholder (`db.execute` sees to that)."""


def fragment(text: str) -> sql.SQL:
    """SQL text that PostgreSQL printed itself (a type, a default, a definition), to be composed as it is.

    Never for names or values that a user gave: those are `sql.Identifier` and `sql.Literal`.
    """
    return Fragment(text)


def analyze_statement(table: sql.Composable, version_num: int, *, skip_locked: bool = False) -> sql.Composed:
    """ANALYZE of a hypertable: its chunks (`skip_locked`: not those that somebody has locked), and of all of them together.

    TimescaleDB adds the chunks to the statement, and so does PostgreSQL from 18 on, for any table with children: each chunk
    would be read twice. ONLY keeps PostgreSQL from it, and TimescaleDB does not heed it.
    """
    options = sql.SQL("(SKIP_LOCKED) " if skip_locked else "")
    return sql.SQL("ANALYZE {}ONLY {}" if version_num >= 180000 else "ANALYZE {}{}").format(options, table)


@dataclass(frozen=True)
class Statement:
    """One statement of a plan. `step` is a word that groups statements (table, hypertable, key, index, ...);
    `comment` says in one line what it does, for the preview."""

    step: str
    comment: str
    sql: sql.Composed | sql.SQL

    @property
    def text(self) -> str:
        """The statement as text, without a semicolon at its end."""
        return self.sql.as_string(None)

    def __str__(self) -> str:
        """For `plan --sql`: the comment in one line, whatever is in a name, then the statement with its semicolon."""
        return f"-- {' '.join(self.comment.split())}\n{self.text};"
