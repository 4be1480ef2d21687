"""A condition's tokens as a tree of AND, OR and NOT; what its parts say together, and how a single one bounds a name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..benchmark.tokens import Kind, Token
from .clauses import closing

KEEPING = frozenset(
    {"date", "timestamp", "timestamptz", "bigint", "int8", "integer", "int", "int4", "numeric"}
)
"""Types to which a time can be cast and still says which of two is the earlier one."""
RANGES = frozenset({"<", ">", "<=", ">="})
_COMPARED = RANGES | {"="}
_NO_BOUND = frozenset({"is", "isnull", "notnull", "in", "not", "like", "ilike", "similar", "overlaps"})
_OF_TYPES = frozenset({"with", "without", "time", "zone", "precision", "varying"})
_DEEPEST = 100
"""What is nested deeper says nothing."""


@dataclass(frozen=True)
class Tree:
    """`joint` over the `parts`: 'and', 'or', 'not'; '' is a single condition, which is `words`."""

    joint: str = ""
    parts: tuple[Tree, ...] = ()
    words: tuple[Token, ...] = ()

    def leaves(self) -> Iterator[Tree]:
        """The single conditions, in order."""
        if not self.joint:
            yield self
        for part in self.parts:
            yield from part.leaves()


@dataclass(frozen=True)
class Tested:
    """What holds of every row that meets a condition: these columns were compared with a value or a range, are NULL, are true."""

    equal: tuple[str, ...] = ()
    ranged: tuple[str, ...] = ()
    nulls: tuple[tuple[str, bool], ...] = ()
    flags: tuple[tuple[str, bool], ...] = ()


def tree(words: Sequence[Token], deep: int = 0) -> Tree:
    """The tokens cut at OR, then AND, then NOT, as these bind."""
    if deep > _DEEPEST:
        return Tree("or")
    words = bare(words)
    for joint in ("or", "and"):
        parts = _cut(words, joint)
        if len(parts) > 1:
            return Tree(joint, tuple(tree(part, deep + 1) for part in parts))
    if words and words[0].word == "not":
        return Tree("not", (tree(words[1:], deep + 1),))
    return Tree(words=tuple(unwrapped(words)))


def all_of(parts: Sequence[Tested]) -> Tested:
    """What holds where each of the parts does."""
    return Tested(
        tuple(dict.fromkeys(each for part in parts for each in part.equal)),
        tuple(dict.fromkeys(each for part in parts for each in part.ranged)),
        tuple(dict.fromkeys(each for part in parts for each in part.nulls)),
        tuple(dict.fromkeys(each for part in parts for each in part.flags)),
    )


def one_of(parts: Sequence[Tested]) -> Tested:
    """What holds where any of the parts does: only what they all say."""
    if not parts:
        return Tested()
    first = parts[0]
    equal = [each for each in first.equal if all(each in part.equal for part in parts)]
    either = [
        each
        for each in (*first.equal, *first.ranged)
        if all(each in (*part.equal, *part.ranged) for part in parts)
    ]
    return Tested(
        tuple(equal),
        tuple(dict.fromkeys(each for each in either if each not in equal)),
        tuple(each for each in first.nulls if all(each in part.nulls for part in parts)),
        tuple(each for each in first.flags if all(each in part.flags for part in parts)),
    )


def none_of(single: Tested, words: Sequence[Token]) -> Tested:
    """What holds where a single condition, which is `words`, is false. What IS not TRUE may be NULL."""
    flags = () if any(token.word == "is" for token in words) else single.flags
    return Tested(
        ranged=single.ranged,
        nulls=tuple((name, not null) for name, null in single.nulls),
        flags=tuple((name, not true) for name, true in flags),
    )


def bound(words: Sequence[Token], first: int, last: int) -> str | None:
    """What a single condition says of the time that stands from `first` to `last`: that it lies before something ('<'), after it
    ('>'), between two, or is the same ('='). None where it says something else of it."""
    places = list(outer(words))
    after, types = past_casts(words, last + 1)
    if first not in places or not KEEPING.issuperset(types) or any(words[n].word in _NO_BOUND for n in places):
        return None
    if first == 0 and after < len(words) and words[after].word == "between":
        return "between"
    signs = [n for n in places if words[n].text in _COMPARED]
    if len(signs) != 1:
        return None
    at = signs[0]
    side = [n for n in places if n != at and (n < at) == (first < at)]
    if any(words[n].kind is Kind.OPERATOR and words[n].text not in ("+", "-", "::") for n in side):
        return None
    before = "" if first in (0, at + 1) else words[first - 1].text
    if before not in ("", "+", "-"):
        return None
    sign = words[at].text[0]
    turned = (first > at) != (before == "-")
    return {"<": ">", ">": "<"}.get(sign, sign) if turned else sign


def bare(words: Sequence[Token]) -> Sequence[Token]:
    """The tokens without the parentheses around all of them."""
    opened = next((n for n, token in enumerate(words) if token.text != "("), len(words))
    closed = next((n for n, token in enumerate(reversed(words)) if token.text != ")"), len(words))
    depth = lowest = opened
    for token in words[opened : len(words) - closed]:
        depth += (token.text == "(") - (token.text == ")")
        lowest = min(lowest, depth)
    around = min(lowest, closed)
    return words[around : len(words) - around] if around > 0 else words


def unwrapped(words: Sequence[Token]) -> list[Token]:
    """The tokens without the parentheses around a single name, as the server writes them before a cast: (ts)::date."""
    found: list[Token] = []
    at = 0
    while at < len(words):
        end = at + 1
        if words[at].text == "(" and not (at and words[at - 1].name):
            while end + 2 < len(words) and words[end].name and words[end + 1].text == ".":
                end += 2
            if end + 1 < len(words) and words[end].name and words[end + 1].text == ")":
                found += words[at + 1 : end + 1]
                at = end + 2
                continue
        found.append(words[at])
        at += 1
    return found


def outer(words: Sequence[Token]) -> Iterator[int]:
    """Where the tokens stand that are in no parentheses, no brackets and no CASE."""
    depth = 0
    for at, token in enumerate(words):
        step = _step(token)
        depth += step
        if depth == 0 and step == 0:
            yield at


def past_casts(words: Sequence[Token], at: int) -> tuple[int, tuple[str, ...]]:
    """Where the casts end that begin here, and to which types they are."""
    types = []
    while at + 1 < len(words) and words[at].text == "::":
        at += 1
        while at + 2 < len(words) and words[at + 1].text == ".":
            at += 2
        types.append(words[at].name)
        at += 1
        while at < len(words) and (words[at].word in _OF_TYPES or words[at].text in ("(", "[")):
            end = closing(words, at) if words[at].text in ("(", "[") else at
            at = len(words) if end is None else end + 1
    return at, tuple(types)


def _cut(words: Sequence[Token], joint: str) -> list[list[Token]]:
    """The parts between the words AND (or OR); the AND of a BETWEEN is none."""
    parts: list[list[Token]] = [[]]
    depth = 0
    between = False
    for token in words:
        depth += _step(token)
        if depth == 0 and token.word == joint and not (joint == "and" and between):
            parts.append([])
            continue
        if depth == 0 and token.word in ("between", "and"):
            between = token.word == "between"
        parts[-1].append(token)
    return parts


def _step(token: Token) -> int:
    """How much deeper the next token stands."""
    if token.text in ("(", "[") or token.word == "case":
        return 1
    return -1 if token.text in (")", "]") or token.word == "end" else 0
