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
from .clauses import clauses_of, closing, flat, meant, split, text_of, without_alias
from .conditions import (
    KEEPING,
    RANGES,
    Tested,
    Tree,
    all_of,
    bare,
    bound,
    none_of,
    one_of,
    outer,
    past_casts,
    tree,
    unwrapped,
)

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
_JOINS = frozenset({"join", "inner", "left", "right", "full", "outer", "cross", "natural"})


@dataclass(frozen=True)
class Bucket:
    """A grouping by stretches of the time. `width` is as it was written ('1 day', 'month', '3600'); None: a parameter.

    `more`: what else the function is called with (a time zone, an origin, an offset)."""

    function: str
    width: str | None
    more: tuple[str, ...] = ()
    cast: bool = False  # the time is cast to another type first
    plain: bool = True  # it cuts the time itself, and what else it is called with is the same for each row


@dataclass(frozen=True)
class Shape:
    """A statement. `selected` None: all columns. `simple`: it reads this table alone, with nothing nested, and no window.

    `equal`, `ranged`, `null_tests` and `flags` are what every row meets that the conditions let through; `asked` are all columns
    in its conditions and groups, whether these are understood or not."""

    use: StatementUse
    kind: str
    equal: tuple[str, ...] = ()
    ranged: tuple[str, ...] = ()
    null_tests: tuple[tuple[str, bool], ...] = ()  # column, whether it is NULL that is asked for
    flags: tuple[tuple[str, bool], ...] = ()
    asked: tuple[str, ...] = ()
    finer: bool = False  # it asks for the time in another way than by one bucket and by bounds
    older: bool = False  # it deletes the rows that lie before some time, whatever else they have, and no others
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
    """What the statement asks of the table; None where it is not understood, or does not name it. `tables` are the table and,
    behind it, the views on it."""
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
    itself = at == next(places(words, tables[:1]), None)
    return _Reader(words, frozenset(columns), own, time).read(use, at.first, itself)


class _Reader:
    def __init__(self, words: list[Token], columns: frozenset[str], own: frozenset[str], time: str) -> None:
        self.words, self.columns, self.own, self.time = words, columns, own, time

    def read(self, use: StatementUse, at: int, itself: bool) -> Shape:
        body = self._level(at)
        kind = next(
            (token.word for token in body if token.word in ("select", "update", "delete", "insert")), "other"
        )
        clauses = clauses_of(body)
        if kind == "delete" or (kind == "update" and "set" in clauses):
            clauses.setdefault("select", [])
        conditions = [flat(clauses.get("where", [])), *self._joins(clauses.get("from", []))]
        whole = Tree("and", tuple(tree(each) for each in conditions if each))
        tested = self._tested(whole)
        named = [name for each in conditions for name, _, _ in self._all(each)]
        bounds = [leaf for leaf in whole.leaves() if self._bound(leaf.words) is not None]
        items = [without_alias(item) for item in split(clauses.get("select", []))]
        grouped, bucket, others = self._groups(clauses.get("group", [])[1:], items)
        return Shape(
            use,
            kind,
            equal=tested.equal,
            ranged=tested.ranged,
            null_tests=tested.nulls,
            flags=tested.flags,
            asked=tuple(dict.fromkeys([*named, *grouped, *others])),
            finer=named.count(self.time) != len(bounds) or self.time in others,
            older=kind == "delete" and itself and self._older(clauses),
            grouped=grouped,
            bucket=bucket,
            aggregates=tuple(
                dict.fromkeys(text_of(self._bare(item)) for item, _ in items if self._aggregate(item))
            ),
            selected=self._selected(items),
            ordered=self._order(clauses.get("order", [])[1:], items),
            limited="limit" in clauses or "fetch" in clauses,
            simple=itself and self._simple(body, clauses),
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
        if not words[at].name or (at and words[at - 1].text == ".") or _of_a_type(words, at):
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

    def _joins(self, source: Sequence[Token]) -> list[list[Token]]:
        """The conditions of the joins; USING counts as one on each of its columns."""
        source = flat(source)
        found: list[list[Token]] = []
        for at, token in enumerate(source):
            if token.word == "on":
                found.append(_condition(source[at + 1 :]))
            if token.word == "using" and source[at + 1 : at + 2] and source[at + 1].text == "(":
                for each in source[at + 2 :]:
                    if each.text == ")":
                        break
                    if each.name:
                        found.append([each, Token(Kind.OPERATOR, "="), Token(Kind.PARAM, "$0")])
        return found

    def _tested(self, whole: Tree) -> Tested:
        """What every row meets that the conditions let through."""
        if not whole.joint:
            return self._single(whole.words)
        if whole.joint == "not":
            (part,) = whole.parts
            return Tested() if part.joint else none_of(self._single(part.words), part.words)
        parts = [self._tested(part) for part in whole.parts]
        return all_of(parts) if whole.joint == "and" else one_of(parts)

    def _single(self, words: Sequence[Token]) -> Tested:
        """What a single condition says of columns that stand on one of its sides alone."""
        equal: dict[str, None] = {}
        ranged: dict[str, None] = {}
        nulls: dict[tuple[str, bool], None] = {}
        flags: dict[tuple[str, bool], None] = {}
        open_ = frozenset(outer(words))
        for name, first, last in self._all(words):
            if first not in open_:
                continue
            after, _ = past_casts(words, last + 1)
            then = [words[n].text.lower() if n < len(words) else "" for n in range(after, after + 4)]
            before = words[first - 1].text if first else ""
            if first == 0 and then[0] in ("=", "in"):
                equal[name] = None
            elif first == 0 and then[0] in (*RANGES, "between"):
                ranged[name] = None
            elif first == 0 and then[0] == "is" and "null" in then[1:3]:
                nulls[name, then[1] == "null"] = None
            elif first == 0 and then[0] == "is" and {"true", "false"} & set(then[1:3]):
                flags[name, ("true" in then[1:3]) == (then[1] != "not")] = None
            elif after == len(words) and before == "=":
                equal[name] = None
            elif after == len(words) and before in RANGES:
                ranged[name] = None
            elif after == len(words) and first == 0:
                flags[name, True] = None
        return Tested(tuple(equal), tuple(ranged), tuple(nulls), tuple(flags))

    def _bound(self, words: Sequence[Token]) -> str | None:
        """How a single condition bounds the time, itself or cut to stretches; None where it does not, or names other columns."""
        named = list(self._all(words))
        if len(named) != 1 or named[0][0] != self.time:
            return None
        _, first, last = named[0]
        for chain in chains(words):
            end = closing(words, chain.last + 1) if chain.called and chain.parts[-1] in BUCKETS else None
            if end is not None and chain.first < first < end:
                arguments = split(words[chain.last + 2 : end])
                if len(arguments) < 2 or self._cast(arguments[1]) is None:
                    return None
                return bound(words, chain.first, end)
        return bound(words, first, last)

    def _older(self, clauses: dict[str, list[Token]]) -> bool:
        """Whether the only condition is that the time lies before something."""
        where = clauses.get("where", [])
        if not where or len(flat(where)) != len(where):
            return False
        if any(token.word == "using" for token in clauses.get("from", [])):
            return False
        whole = tree(where)
        parts = whole.parts if whole.joint == "and" else (whole,)
        return all(not part.joint and self._bound(part.words) == "<" for part in parts)

    def _groups(
        self, words: Sequence[Token], items: Sequence[tuple[list[Token], str]]
    ) -> tuple[tuple[str, ...], Bucket | None, list[str]]:
        """The columns that are groups, the first bucket, and the columns that any other expression is made of."""
        grouped: list[str] = []
        bucket: Bucket | None = None
        others: list[str] = []
        for part in split(words):
            found = meant(part, items, self.columns)
            plain = self._column(found, 0) if found else None
            made = self._bucket(found) if bucket is None else None
            if plain is not None and plain[1] == len(found) - 1 and plain[0] != self.time:
                grouped.append(plain[0])
            elif made is not None:
                bucket = made
            else:
                others += [name for name, _, _ in self._all(found)]
        return tuple(dict.fromkeys(grouped)), bucket, others

    def _bucket(self, words: Sequence[Token]) -> Bucket | None:
        chain = next(chains(words), None)
        if chain is None or chain.first != 0 or not chain.called or chain.parts[-1] not in BUCKETS:
            return None
        if closing(words, chain.last + 1) != len(words) - 1:
            return None
        arguments = split(words[chain.last + 2 : -1])
        if len(arguments) < 2 or not any(True for name, _, _ in self._all(arguments[1]) if name == self.time):
            return None
        cast, more = self._cast(arguments[1]), arguments[2:]
        return Bucket(
            chain.parts[-1],
            _width(arguments[0]),
            tuple(text_of(each) for each in more),
            cast=cast is True,
            plain=cast is not None and not any(True for each in more for _ in self._all(each)),
        )

    def _cast(self, words: Sequence[Token]) -> bool | None:
        """Whether the time is cast here, to a type that keeps its order; None where this is more than the time."""
        words = unwrapped(bare(words))
        found = self._column(words, 0) if words else None
        if found is None or found[0] != self.time:
            return None
        after, types = past_casts(words, found[1] + 1)
        return bool(types) if after == len(words) and KEEPING.issuperset(types) else None

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


def _of_a_type(words: Sequence[Token], at: int) -> bool:
    """Whether the name is that of a type, though a column may have it too: `date '2024-01-01'`, `$1::time with time zone`."""
    token = words[at]
    then = words[at + 1] if at + 1 < len(words) else None
    if at and (words[at - 1].text == "::" or words[at - 1].word == "as"):
        return True
    if then is None or token.kind is not Kind.WORD:
        return False
    if then.kind in (Kind.STRING, Kind.PARAM):
        return True
    return (token.word == "time" and then.word == "zone") or (
        token.word in ("time", "timestamp") and then.word in ("with", "without")
    )


def _condition(words: Sequence[Token]) -> list[Token]:
    """The condition that begins a list of joined tables, to its end."""
    found: list[Token] = []
    depth = 0
    for token in words:
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0 or (depth == 0 and (token.word in ("join", "on") or token.text == ",")):
            break
        found.append(token)
    while found and found[-1].word in _JOINS:
        found.pop()
    return found


def _width(words: Sequence[Token]) -> str | None:
    """The width of a bucket, where it is one literal; else the text that makes it. None: a parameter."""
    words = bare(words)
    literals = [token for token in words if token.kind in (Kind.STRING, Kind.NUMBER)]
    if not literals or any(token.kind is Kind.PARAM for token in words):
        return None
    made = any(
        token.text == "(" or (token.kind is Kind.OPERATOR and token.text != "::") for token in words
    )
    return text_of(words) if made or len(literals) > 1 else literals[0].text.strip("'")
