"""What a statement asks of the table: the columns it compares, groups and orders by, and its aggregates. Pure.

Read off the tokens, not parsed: what is written plainly is found, and a statement that is not understood says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..benchmark.statements import chains, loud, places, qualifiers
from ..benchmark.tokens import Kind, Token
from ..model.distribution import StatementUse
from ..model.names import TableName, quoted_if_needed
from .clauses import clauses_of, flat, meant, split, text_of, without_alias

AGGREGATES = frozenset(
    {
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "first",
        "last",
        "stddev",
        "stddev_samp",
        "stddev_pop",
        "variance",
        "var_samp",
    }
    | {"var_pop", "bool_and", "bool_or", "every", "bit_and", "bit_or", "histogram", "corr", "regr_slope"}
)
BUCKETS = frozenset({"time_bucket", "date_trunc", "date_bin"})
_UNIONS = frozenset({"union", "intersect", "except"})
_RANGES = frozenset({"<", ">", "<=", ">="})
_ENDS = frozenset({"and", "or", ")", ""})


@dataclass(frozen=True)
class Bucket:
    """A grouping by stretches of the time. `width` is as it was written ('1 day', 'month', '3600'); None: a parameter."""

    function: str
    width: str | None


@dataclass(frozen=True)
class Shape:
    """A statement. `selected` None: all columns. `simple`: it reads this table alone, with nothing nested, and no window."""

    use: StatementUse
    kind: str
    equal: tuple[str, ...] = ()
    ranged: tuple[str, ...] = ()
    null_tests: tuple[tuple[str, bool], ...] = ()  # column, whether it is NULL that is asked for
    flags: tuple[tuple[str, bool], ...] = ()
    grouped: tuple[str, ...] = ()
    bucket: Bucket | None = None
    aggregates: tuple[str, ...] = ()
    selected: tuple[str, ...] | None = ()
    ordered: tuple[tuple[str, bool], ...] = ()  # column, descending
    limited: bool = False
    simple: bool = True

    @property
    def weight(self) -> int:
        """How often it is called; 1 where that is not known."""
        return self.use.calls or 1


def shape_of(
    use: StatementUse, tables: Sequence[TableName], columns: Sequence[str], time: str
) -> Shape | None:
    """What the statement asks of the table; None where it is not understood, or does not name it."""
    try:
        words = loud(use.text)
        at = next(places(words, tables), None)
        if at is None:
            return None
        own = qualifiers(use.text, tables)
    except ValueError:
        return None
    while words and words[-1].text == ";":
        words.pop()
    return _Reader(words, frozenset(columns), own, time).read(use, at.first)


class _Reader:
    def __init__(self, words: list[Token], columns: frozenset[str], own: frozenset[str], time: str) -> None:
        self.words, self.columns, self.own, self.time = words, columns, own, time

    def read(self, use: StatementUse, at: int) -> Shape:
        body = self._level(at)
        kind = next(
            (token.word for token in body if token.word in ("select", "update", "delete", "insert")), "other"
        )
        clauses = clauses_of(body)
        if kind == "delete" or (kind == "update" and "set" in clauses):
            clauses.setdefault("select", [])
        where = [*clauses.get("where", []), *self._joins(clauses.get("from", []))]
        equal, ranged, nulls, flags = self._conditions(where)
        items = [without_alias(item) for item in split(clauses.get("select", []))]
        grouped, bucket = self._groups(clauses.get("group", [])[1:], items)
        return Shape(
            use,
            kind,
            equal=equal,
            ranged=ranged,
            null_tests=nulls,
            flags=flags,
            grouped=grouped,
            bucket=bucket,
            aggregates=tuple(
                dict.fromkeys(text_of(self._bare(item)) for item, _ in items if self._aggregate(item))
            ),
            selected=self._selected(items),
            ordered=self._order(clauses.get("order", [])[1:], items),
            limited="limit" in clauses or "fetch" in clauses,
            simple=self._simple(body, clauses),
        )

    def _level(self, at: int) -> list[Token]:
        """The SELECT (or UPDATE, DELETE) that the table stands in, without what is around it."""
        depth, first = 0, 0
        for index in range(at - 1, -1, -1):
            text = self.words[index].text
            depth += (text == ")") - (text == "(")
            if depth < 0 or (depth == 0 and self.words[index].word in _UNIONS):
                first = index + 1
                break
        depth, last = 0, len(self.words)
        for index in range(at, len(self.words)):
            text = self.words[index].text
            depth += (text == "(") - (text == ")")
            if depth < 0 or (depth == 0 and self.words[index].word in _UNIONS):
                last = index
                break
        return self.words[first:last]

    def _column(self, words: Sequence[Token], at: int) -> tuple[str, int] | None:
        """The table's column whose name begins here, and where it ends."""
        if not words[at].name or (at and words[at - 1].text == "."):
            return None
        end = at
        while end + 2 < len(words) and words[end + 1].text == "." and words[end + 2].name:
            end += 2
        if end + 1 < len(words) and words[end + 1].text == "(":
            return None
        name = words[end].name
        if name not in self.columns or (end > at and words[end - 2].name not in self.own):
            return None
        return name, end

    def _all(self, words: Sequence[Token]) -> Iterator[tuple[str, int, int]]:
        at = 0
        while at < len(words):
            found = self._column(words, at)
            if found is not None:
                yield found[0], at, found[1]
                at = found[1]
            at += 1

    def _joins(self, source: Sequence[Token]) -> list[Token]:
        """The conditions of the joins; USING counts as one on each of its columns."""
        found: list[Token] = []
        for at, token in enumerate(source):
            if token.word == "on":
                found += source[at:]
                break
            if token.word == "using" and source[at + 1 : at + 2] and source[at + 1].text == "(":
                for each in source[at + 2 :]:
                    if each.text == ")":
                        break
                    if each.name:
                        found += [
                            Token(Kind.WORD, "and"),
                            each,
                            Token(Kind.OPERATOR, "="),
                            Token(Kind.PARAM, "$0"),
                        ]
        return found

    def _conditions(
        self, words: Sequence[Token]
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, bool], ...], tuple[tuple[str, bool], ...]]:
        words = flat(words)
        equal: dict[str, None] = {}
        ranged: dict[str, None] = {}
        nulls: dict[tuple[str, bool], None] = {}
        flags: dict[tuple[str, bool], None] = {}
        for name, first, last in self._all(words):
            after = last + 1
            while after + 1 < len(words) and words[after].text == "::":
                after += 2
            then = [words[n].text.lower() if n < len(words) else "" for n in range(after, after + 4)]
            before = words[first - 1].text.lower() if first else ""
            if then[0] == "=" or then[0] == "in" or before == "=":
                equal[name] = None
            elif then[0] in _RANGES or then[0] == "between" or before in _RANGES:
                ranged[name] = None
            elif then[0] == "is" and "null" in then[1:3]:
                nulls[name, then[1] == "null"] = None
            elif then[0] == "is" and {"true", "false"} & set(then[1:3]):
                flags[name, ("true" in then[1:3]) == (then[1] != "not")] = None
            elif then[0] in _ENDS and before in ("where", "and", "or", "(", "not", "on", ""):
                flags[name, before != "not"] = None
        return tuple(equal), tuple(ranged), tuple(nulls), tuple(flags)

    def _groups(
        self, words: Sequence[Token], items: Sequence[tuple[list[Token], str]]
    ) -> tuple[tuple[str, ...], Bucket | None]:
        grouped: list[str] = []
        bucket: Bucket | None = None
        for part in split(words):
            found = meant(part, items, self.columns)
            plain = self._column(found, 0) if found else None
            if plain is not None and plain[1] == len(found) - 1:
                if plain[0] == self.time:
                    continue
                grouped.append(plain[0])
            else:
                bucket = bucket or self._bucket(found)
        return tuple(dict.fromkeys(grouped)), bucket

    def _bucket(self, words: Sequence[Token]) -> Bucket | None:
        chain = next(chains(words), None)
        if (
            chain is None
            or chain.first != 0
            or not chain.called
            or chain.parts[-1] not in BUCKETS
            or words[-1].text != ")"
        ):
            return None
        arguments = split(words[chain.last + 2 : -1])
        if len(arguments) < 2 or not any(True for name, _, _ in self._all(arguments[1]) if name == self.time):
            return None
        width = arguments[0]
        literal = next((token for token in width if token.kind in (Kind.STRING, Kind.NUMBER)), None)
        if literal is None or any(token.kind is Kind.PARAM for token in width):
            return Bucket(chain.parts[-1], None)
        return Bucket(chain.parts[-1], literal.text.strip("'"))

    def _aggregate(self, words: Sequence[Token]) -> bool:
        return any(chain.called and chain.parts[-1] in AGGREGATES for chain in chains(words))

    def _bare(self, words: Sequence[Token]) -> list[Token]:
        """The tokens with the table's columns under their own names, without what stands before a dot."""
        found: list[Token] = []
        done = 0
        for name, first, last in self._all(words):
            found += [*words[done:first], Token(Kind.WORD, quoted_if_needed(name))]
            done = last + 1
        return [*found, *words[done:]]

    def _selected(self, items: Sequence[tuple[list[Token], str]]) -> tuple[str, ...] | None:
        found: dict[str, None] = {}
        for item, _ in items:
            if item and item[-1].text == "*" and not self._aggregate(item):
                return None
            found.update(dict.fromkeys(name for name, _, _ in self._all(item)))
        return tuple(found)

    def _order(
        self, words: Sequence[Token], items: Sequence[tuple[list[Token], str]]
    ) -> tuple[tuple[str, bool], ...]:
        found = []
        for part in split(words):
            down = any(token.word == "desc" for token in part)
            names = [token for token in part if token.word not in ("asc", "desc", "nulls", "first", "last")]
            wanted = meant(names, items, self.columns)
            plain = self._column(wanted, 0) if wanted else None
            if plain is None or plain[1] != len(wanted) - 1:
                break
            found.append((plain[0], down))
        return tuple(found)

    def _simple(self, body: Sequence[Token], clauses: dict[str, list[Token]]) -> bool:
        words = {token.word for token in body}
        nested = sum(token.word == "select" for token in self.words) > 1 or self.words[0].word == "with"
        source = clauses.get("from", [])
        alone = "," not in {token.text for token in source}
        return not nested and alone and not {"join", "over", "distinct", "window", "lateral"} & words
