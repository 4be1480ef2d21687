"""Where the value of a parameter may come from, read off the text around it: what pg_stat_statements shows has none. Pure.

Only what is plain is inferred; everything else is left out with a reason, for the user to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..model.names import TableName, quote_ident
from .options import Value
from .statements import chains, loud, places, qualifiers, with_names
from .tokens import Kind, Token

_LOWER = frozenset({">", ">="})
_UPPER = frozenset({"<", "<="})
_COMPARISONS = _LOWER | _UPPER | {"=", "<>", "!=", "~", "~*", "~~", "~~*", "!~", "!~*"}
_LIKE = frozenset({"like", "ilike"})
_MIRROR = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_BEFORE_A_COLUMN = frozenset({"where", "and", "or", "on", "not", "when", "having", "between", "if"})
LIMIT = "100"
_SQUASHED = "/*, ... */"
"""What pg_stat_statements writes for the rest of a list from PostgreSQL 18 on."""


@dataclass(frozen=True)
class Column:
    """A column as inference needs it."""

    name: str
    width: str | None = None
    """For the time column: what to add for the end of a range, as SQL ("interval '7 days'")."""


@dataclass(frozen=True)
class Compared:
    """A column of the table (as SQL) that a parameter is compared with, and how."""

    column: Column
    sql: str
    operator: str


class Unknown(Exception):
    """Why a value cannot be inferred."""


def infer(
    sql: str, tables: Sequence[TableName], columns: Sequence[Column], database: str = ""
) -> tuple[dict[int, Value], dict[int, str]]:
    """Values by parameter, and reasons by parameter for those that have none."""
    own = qualifiers(sql, tables, database)
    words = loud(sql)
    scopes = _scopes(words)
    foreign = _foreign(words, scopes, tables, database)
    reader = _Reader(
        words,
        {column.name: column for column in columns},
        own,
        squashed=_SQUASHED in sql,
        foreign=[scope in foreign for scope in scopes],
    )
    values: dict[int, Value] = {}
    reasons: dict[int, str] = {}
    compared: dict[int, Compared] = {}
    for at, token in enumerate(reader.words):
        if token.kind is not Kind.PARAM:
            continue
        number = int(token.text[1:])
        try:
            found = reader.value(at)
        except Unknown as why:
            reasons.setdefault(number, str(why))
            continue
        values.setdefault(number, found if isinstance(found, Value) else Value(found.sql, assumed=""))
        if isinstance(found, Compared):
            compared.setdefault(number, found)
    _ranges(values, reasons, compared)
    values = {number: replace(value, inferred=True) for number, value in values.items()}
    return values, {number: why for number, why in reasons.items() if number not in values}


def _ranges(values: dict[int, Value], reasons: dict[int, str], compared: Mapping[int, Compared]) -> None:
    """The end of a range lies behind its beginning: by the time column's width. How wide another is only its author knows; with
    both ends from one row it would be empty."""
    for number, end in compared.items():
        if end.operator not in _UPPER:
            continue
        begun = any(other.operator in _LOWER and other.column == end.column for other in compared.values())
        if begun and end.column.width is not None:
            values[number] = Value(
                f"{end.sql} + {end.column.width}", assumed=f"assumed: a range as wide as {end.column.width}"
            )
        elif begun:
            values.pop(number, None)
            reasons[number] = f"it ends a range of {end.sql}, and nothing says how wide (of the time column --time would)"


_SET_OPERATIONS = frozenset({"union", "intersect", "except"})
_SELECTS = frozenset({"select", "with", "values", "table"})
_AFTER_FROM = frozenset({"where", "group", "having", "order", "limit", "offset", "window", "fetch", "for"})
_FROM_INSIDE = frozenset({"extract", "substring", "trim", "overlay"})
"""Functions with a FROM among their arguments."""


def _scopes(words: Sequence[Token]) -> list[int]:
    """For each token the number of the SELECT that it stands in, the innermost."""
    found: list[int] = []
    stack, last = [0], 0
    for at, token in enumerate(words):
        if token.text == "(":
            found.append(stack[-1])
            begins = words[at + 1].word in _SELECTS if at + 1 < len(words) else False
            last += begins
            stack.append(last if begins else stack[-1])
            continue
        if token.text == ")" and len(stack) > 1:
            stack.pop()
        elif token.word in _SET_OPERATIONS:
            last += 1
            stack[-1] = last
        found.append(stack[-1])
    return found


def _foreign(words: Sequence[Token], scopes: Sequence[int], tables: Sequence[TableName], database: str) -> set[int]:
    """The SELECTs that read some relation by name and none of `tables`: a bare name in them means a column of that where it has
    one. Where both are read, the server itself takes no name that both have."""
    ours = {scopes[chain.first] for chain in places(words, tables, database)}
    defined = with_names(words)
    begins = {chain.first: chain for chain in chains(words)}
    found: set[int] = set()
    reading: set[int] = set()
    for at, token in enumerate(words):
        scope, before = scopes[at], words[at - 1] if at else None
        if token.word == "from" and not _no_from(words, at):
            reading.add(scope)
        elif token.word in _AFTER_FROM:
            reading.discard(scope)
        chain = begins.get(at)
        if chain is None or chain.called or before is None or scope not in reading:
            continue
        if (before.word in ("from", "join", "only") or before.text == ",") and chain.parts[-1] not in defined:
            found.add(scope)
    return found - ours


def _no_from(words: Sequence[Token], at: int) -> bool:
    """Whether this FROM names no relation: IS DISTINCT FROM, or one among a function's arguments."""
    if at > 1 and words[at - 1].word == "distinct" and words[at - 2].word in ("is", "not"):
        return True
    depth = 0
    for place in range(at - 1, 0, -1):
        depth += {")": 1, "(": -1}.get(words[place].text, 0)
        if depth < 0:
            return words[place - 1].word in _FROM_INSIDE
    return False


class _Reader:
    """A statement's tokens, and what its names mean."""

    def __init__(
        self, words: list[Token], columns: Mapping[str, Column], own: frozenset[str], *, squashed: bool = False,
        foreign: Sequence[bool] = (),
    ) -> None:  # fmt: skip
        self.words = words
        self._squashed = squashed
        self._columns = columns
        self._own = own
        self._foreign = foreign  # by token: whether a bare name there may be another relation's

    def value(self, at: int) -> Value | Compared:
        """What the parameter at this place stands for. Raises Unknown."""
        before = self._word(at - 1)
        if before in ("limit", "first", "next"):
            return Value(LIMIT, assumed=f"assumed: {LIMIT} rows")
        if before == "offset":
            return Value("0", assumed="assumed: no offset")
        call = self._argument_of(at)
        if call in ("date_trunc", "time_bucket"):
            day = "'day'" if call == "date_trunc" else "interval '1 day'"
            return Value(day, assumed=f"assumed: {call} by day")
        listed = self._in_list(at)
        if listed is not None:
            return listed
        any_of = self._any(at)
        if any_of is not None:
            return any_of
        between = self._between(at)
        if between is not None:
            return between
        return self._comparison(at)

    def _word(self, at: int) -> str:
        return self.words[at].word if 0 <= at < len(self.words) else ""

    def _text(self, at: int) -> str:
        return self.words[at].text if 0 <= at < len(self.words) else ""

    def _argument_of(self, at: int) -> str:
        """The function whose first argument this is."""
        return self._word(at - 2) if self._text(at - 1) == "(" else ""

    def _comparison(self, at: int) -> Compared:
        left, operator = self._text(at - 1), self._text(at - 1)
        if operator in _COMPARISONS or self._word(at - 1) in _LIKE:
            end = at - 3 if self._word(at - 2) == "not" else at - 2
            column = self._column_before(end)
            return Compared(column[0], column[1], operator)
        after = at + 1
        while self._text(after) == "::":
            after += 2
        operator = self._text(after)
        if operator in _COMPARISONS and self._stands_alone(at - 1):
            column = self._column_after(after + 1)
            return Compared(column[0], column[1], _MIRROR.get(operator, operator))
        raise Unknown(f"it is no value that a column is compared with (it stands behind {left or 'nothing'!r})")

    def _between(self, at: int) -> Compared | None:
        if self._word(at - 1) == "between":
            end = at - 2
            operator = ">="
        elif self._word(at - 1) == "and" and self._between_begins(at - 2) is not None:
            end = (self._between_begins(at - 2) or 0) - 1
            operator = "<="
        else:
            return None
        column = self._column_before(end - 1 if self._word(end) == "not" else end)
        return Compared(column[0], column[1], operator)

    def _between_begins(self, at: int) -> int | None:
        """Where BETWEEN stands whose lower value ends here: a parameter or a literal, perhaps cast."""
        while self._text(at - 1) == "::":
            at -= 2
        return at - 1 if self._word(at - 1) == "between" else None

    def _in_list(self, at: int) -> Value | None:
        first, row = at, 1
        while self._text(first - 1) == ",":
            first -= 2
            while self._text(first - 1) == "::":
                first -= 2
            row += 1
        if self._text(first - 1) != "(" or self._word(first - 2) != "in":
            return None
        end = first - 4 if self._word(first - 3) == "not" else first - 3
        column = self._column_before(end)[1]
        said = "assumed: a list of one value, since pg_stat_statements shows no more" if self._squashed else ""
        return Value(column, row, said)

    def _any(self, at: int) -> Value | None:
        if (
            self._text(at - 1) != "("
            or self._word(at - 2) not in ("any", "some")
            or self._text(at - 3) not in _COMPARISONS
        ):
            return None
        return Value(f"ARRAY[{self._column_before(at - 4)[1]}]", assumed="assumed: an array of one value")

    def _column_before(self, end: int) -> tuple[Column, str]:
        """The column (perhaps cast) that ends here, and stands alone."""
        cast = ""
        if self._text(end - 1) == "::" and self.words[end].name:
            cast, end = f"::{self.words[end].text}", end - 2
        first = end
        while first >= 2 and self._text(first - 1) == ".":
            first -= 2
        if not self._stands_alone(first - 1):
            raise Unknown("what it is compared with is no plain column")
        return self._column(first, end, cast)

    def _column_after(self, first: int) -> tuple[Column, str]:
        end = first
        while self._text(end + 1) == ".":
            end += 2
        if self._text(end + 1) == "(" or (self.words[end + 1 : end + 2] and self.words[end + 1].kind is Kind.OPERATOR):
            raise Unknown("what it is compared with is no plain column")
        return self._column(first, end, "")

    def _stands_alone(self, before: int) -> bool:
        return before < 0 or self._word(before) in _BEFORE_A_COLUMN or self._text(before) == "("

    def _column(self, first: int, end: int, cast: str) -> tuple[Column, str]:
        if not 0 <= first <= end < len(self.words) or not self.words[end].name:
            raise Unknown("what it is compared with is no plain column")
        name = self.words[end].name
        qualifier = self.words[end - 2].name if end > first else None
        shown = "".join(token.text for token in self.words[first : end + 1])
        if name not in self._columns or (qualifier is not None and qualifier not in self._own):
            raise Unknown(f"it is compared with {shown}, which is no column of the table")
        if qualifier is None and self._foreign and self._foreign[first]:
            raise Unknown(f"it is compared with {shown}, which may be a column of another relation; write it qualified")
        return self._columns[name], quote_ident(name) + cast
