"""A statement's tokens, cut into clauses and parts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..benchmark.tokens import Kind, Token

_CLAUSES = frozenset(
    {
        "select",
        "from",
        "where",
        "group",
        "having",
        "order",
        "limit",
        "offset",
        "fetch",
        "window",
        "for",
        "set",
        "returning",
    }
)
_APART = frozenset(
    {"filter", "over", "group", "within", "and", "or", "not", "in", "when", "then", "else", "where"}
)


def clauses_of(body: Sequence[Token]) -> dict[str, list[Token]]:
    """The tokens of each clause, without its first word."""
    found: dict[str, list[Token]] = {}
    current: list[Token] | None = None
    depth = 0
    for token in body:
        if depth == 0 and token.word in _CLAUSES and token.word not in found:
            current = found.setdefault(token.word, [])
            continue
        depth += (token.text == "(") - (token.text == ")")
        if current is not None:
            current.append(token)
    return found


def split(words: Sequence[Token]) -> list[list[Token]]:
    """The parts between the commas."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in words:
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def closing(words: Sequence[Token], at: int) -> int | None:
    """Where the parenthesis or bracket is closed that stands here."""
    depth = 0
    for place in range(at, len(words)):
        depth += (words[place].text in ("(", "[")) - (words[place].text in (")", "]"))
        if depth == 0:
            return place
    return None


def without_alias(item: list[Token]) -> tuple[list[Token], str]:
    """A part of the select list, and its alias ('' for none)."""
    if len(item) > 2 and item[-2].word == "as":
        return item[:-2], item[-1].name
    if len(item) > 1 and item[-1].name and (item[-2].text == ")" or item[-2].name) and item[-2].text != ".":
        return item[:-1], item[-1].name
    return item, ""


def meant(
    part: list[Token], items: Sequence[tuple[list[Token], str]], columns: frozenset[str]
) -> list[Token]:
    """What stands in the select list where the part is a number or an alias of it; else the part itself."""
    while len(part) > 2 and part[0].text == "(" and part[-1].text == ")":
        part = part[1:-1]
    if (
        len(part) == 1
        and part[0].kind is Kind.NUMBER
        and part[0].text.isdigit()
        and 0 < int(part[0].text) <= len(items)
    ):
        return items[int(part[0].text) - 1][0]
    if len(part) == 1 and part[0].name and part[0].name not in columns:
        return next((item for item, alias in items if alias == part[0].name), part)
    return part


def flat(words: Sequence[Token]) -> list[Token]:
    """The tokens without what is within a nested SELECT."""
    found: list[Token] = []
    inside = depth = 0
    for at, token in enumerate(words):
        depth += token.text == "("
        if (
            not inside
            and token.text == "("
            and at + 1 < len(words)
            and words[at + 1].word in ("select", "with")
        ):
            inside = depth
        if not inside:
            found.append(token)
        if token.text == ")":
            if inside == depth:
                inside = 0
            depth -= 1
    return found


def text_of(words: Sequence[Token]) -> str:
    """The tokens as one reads them."""
    made = ""
    for before, token in zip([None, *words], words, strict=False):
        tight = (
            before is None
            or token.text in ("(", ")", ",", ".", "::", "]", "[")
            or before.text in ("(", ".", "::", "[")
        )
        apart = before is not None and (
            before.kind is Kind.OPERATOR or before.text == "," or before.word in _APART
        )
        if token.text == "(" and apart:
            tight = False
        made += token.text if tight else f" {token.text}"
    return made
