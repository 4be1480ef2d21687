"""The text of an index's statements, and the names that TimescaleDB gives to the indexes of chunks. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Usage
from ..model.declared import DeclaredIndex
from ..model.definitions import tokens
from ..model.names import quote_ident

NAME_BYTES = 63


def clause(index: DeclaredIndex, storage: Mapping[str, str] | None = None) -> str:
    """What stands behind the table's name in CREATE INDEX, as the user wrote it. Raises Usage for text that cannot be
    part of one."""
    for text in (*index.columns, *index.include, *filter(None, (index.where,))):
        _refuse_more_than_a_part(text)
    if not index.columns:
        raise Usage("An index without columns.", remedy="name one column or expression at least.")
    parts = [f"USING {quote_ident(index.method)} ({', '.join(index.columns)})"]
    if index.include:
        parts.append(f"INCLUDE ({', '.join(index.include)})")
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
