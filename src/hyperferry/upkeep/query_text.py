"""A continuous aggregate's query taken apart: its columns, its groups, and the call that makes a bucket of a time. Pure.

The text is pg_get_viewdef's, so that every expression stands in GROUP BY as it stands in the select list, perhaps in
parentheses.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model.definitions import Token, tokens


@dataclass(frozen=True)
class Bucketing:
    """A call of time_bucket, cut at its second argument, the time. `width` is its first."""

    before: str
    time: str
    after: str
    width: str

    def of(self, expression: str) -> str:
        """The bucket of an SQL expression, as SQL."""
        return f"{self.before}{expression}{self.after}"


@dataclass(frozen=True)
class Query:
    """The select list (name -> expression), and the names of the columns that the rows are grouped by. `keyed`: each
    group is a row's key, because every expression of GROUP BY is among the columns."""

    columns: dict[str, str]
    keys: tuple[str, ...]
    keyed: bool


def parse(definition: str) -> Query:
    """A query of the form SELECT ... FROM ... GROUP BY .... Raises ValueError for another."""
    text = definition.strip().rstrip(";")
    outer = [token for token in tokens(text) if token.depth == 0 and not token.text.isspace()]
    words = [token.text.upper() for token in outer]
    if words[0] != "SELECT" or "FROM" not in words or "GROUP" not in words:
        raise ValueError("no SELECT ... FROM ... GROUP BY ...")
    source = outer[words.index("FROM")].start
    columns = dict(_named(part) for part in _parts(text[outer[0].start + 6 : source]))
    at = words.index("GROUP")
    end = next(
        (t.start for t, w in zip(outer[at:], words[at:], strict=True) if w in ("HAVING", "ORDER", "WINDOW")),
        len(text),
    )
    groups = [_bare(part) for part in _parts(text[outer[at + 1].start + 2 : end])]
    named = {_bare(expression): name for name, expression in columns.items()}
    keys = tuple(named[group] for group in groups if group in named)
    return Query(columns, keys, len(keys) == len(groups))


def restricted(definition: str, condition: str) -> str:
    """The query with one more condition on the rows that it reads. Raises ValueError as `parse` does."""
    text = definition.strip().rstrip(";")
    outer = [token for token in tokens(text) if token.depth == 0]
    group = next((token.start for token in outer if token.text.upper() == "GROUP"), None)
    if group is None:
        raise ValueError("no GROUP BY")
    where = next(
        (token.start for token in outer if token.text.upper() == "WHERE" and token.start < group), None
    )
    if where is None:
        return f"{text[:group]}WHERE ({condition}) {text[group:]}"
    return f"{text[:where]}WHERE ({condition}) AND ({text[where + 5 : group].strip()}) {text[group:]}"


def bucketing(expression: str) -> Bucketing:
    """The call of time_bucket that an expression is. Raises ValueError where it is none."""
    text = _bare(expression)
    found = tokens(text)
    opening = next((token for token in found if token.text == "(" and token.depth == 0), None)
    if opening is None or "time_bucket" not in text[: opening.start] or not text.endswith(")"):
        raise ValueError(f"no call of time_bucket: {expression}")
    inner = text[opening.start + 1 : -1]
    parts = _cuts(inner)
    if len(parts) < 2:
        raise ValueError(f"no time in {expression}")
    (first, last), width = parts[1], inner[parts[0][0] : parts[0][1]].strip()
    offset = opening.start + 1
    return Bucketing(text[: offset + first] + " ", inner[first:last].strip(), text[offset + last :], width)


def _cuts(text: str) -> list[tuple[int, int]]:
    """Where the parts between commas outside of parentheses begin and end."""
    commas = [token.start for token in tokens(text) if token.depth == 0 and token.text == ","]
    return list(zip([0, *(at + 1 for at in commas)], [*commas, len(text)], strict=True))


def _parts(text: str) -> list[str]:
    return [text[first:last].strip() for first, last in _cuts(text)]


def _named(item: str) -> tuple[str, str]:
    """Name and expression of an item of a select list."""
    found: list[Token] = [token for token in tokens(item) if token.depth == 0 and not token.text.isspace()]
    name = found[-1].text
    if len(found) > 2 and found[-2].text.upper() == "AS":
        return _unquoted(name), item[: found[-2].start].strip()
    return _unquoted(name), item


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _bare(expression: str) -> str:
    """Without the parentheses around all of it."""
    text = expression.strip()
    while text.startswith("(") and text.endswith(")"):
        found = [token for token in tokens(text) if token.depth == 0 and token.text == ")"]
        if len(found) != 1:
            break
        text = text[1:-1].strip()
    return text
