"""The text of an index's statements. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Usage
from ..model.declared import DeclaredIndex
from ..model.definitions import tokens
from ..model.names import quote_ident


def clause(index: DeclaredIndex, storage: Mapping[str, str] | None = None) -> str:
    """What stands behind the table's name in CREATE INDEX, as the user wrote it. `include` are the columns' own names.
    Raises Usage for text that cannot be part of one."""
    for text in (*index.columns, *filter(None, (index.where,))):
        _refuse_more_than_a_part(text)
    if not index.columns:
        raise Usage("An index without columns.", remedy="name one column or expression at least.")
    parts = [f"USING {quote_ident(index.method)} ({', '.join(index.columns)})"]
    if index.include:
        parts.append(f"INCLUDE ({', '.join(map(quote_ident, index.include))})")
    if storage:
        options = ", ".join(f"{quote_ident(name)} = '{_doubled(value)}'" for name, value in storage.items())
        parts.append(f"WITH ({options})")
    if index.where:
        parts.append(f"WHERE {index.where}")
    return " ".join(parts)


def _doubled(value: str) -> str:
    return value.replace("'", "''")


def _refuse_more_than_a_part(text: str) -> None:
    """A part of an index must not end the statement: parentheses match, and neither `;` nor a comment stands outside
    of quotes."""
    try:
        found = [token.text for token in tokens(text)]
    except ValueError:
        found = [";"]
    outside = "".join(token if token in "-/*" else " " for token in found)
    if not text.strip() or ";" in found or "--" in outside or "/*" in outside:
        raise Usage(
            f"{text!r} is no part of an index.",
            remedy="write a column or an expression as it stands in CREATE INDEX, with its parentheses closed.",
        )


def tail_of(definition: str) -> str:
    """What stands behind the table's name in a definition that PostgreSQL printed: from USING on."""
    start = next(token.start for token in tokens(definition) if token.depth == 0 and token.text == "USING")
    return definition[start:]
