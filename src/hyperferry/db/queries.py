"""Fixed SQL in `.sql` files: each statement starts with `-- name: word` and a sentence that says what it does."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from psycopg import sql

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


class Queries:
    """The statements of one file, by name."""

    def __init__(self, statements: dict[str, str]) -> None:
        self._statements = statements

    def __getitem__(self, name: str) -> sql.SQL:
        """The statement as `psycopg.sql.SQL`, so that identifiers can be formatted in. Raises KeyError."""
        return sql.SQL(self._statements[name])

    def names(self) -> list[str]:
        """The names of all statements in the file."""
        return list(self._statements)


def parse_queries(text: str) -> dict[str, str]:
    """Statements by name. Raises ValueError for a name that stands twice or a statement without a sentence."""
    parts = _NAME.split(text)
    statements: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in statements:
            raise ValueError(f"two statements are named {name!r}")
        if not body.lstrip().startswith("--"):
            raise ValueError(f"statement {name!r} has no sentence that says what it does")
        statements[name] = body.strip().rstrip(";")
    return statements


@cache
def load_queries(package: str, file: str) -> Queries:
    """The statements of `file` in `package` (as in `load_queries(__package__, "log.sql")`)."""
    return Queries(parse_queries(resources.files(package).joinpath(file).read_text(encoding="utf-8")))
