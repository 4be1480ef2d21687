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
