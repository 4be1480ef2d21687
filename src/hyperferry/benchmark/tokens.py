"""SQL text as a list of tokens, as PostgreSQL's scanner cuts it (sql-syntax-lexical in its manual). Pure.

Nothing is lost: the tokens' texts joined are the text. `standard_conforming_strings` is taken to be on, as it is by default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

NAME_BYTES = 63
"""Longer names are cut by the server."""


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"  # an unquoted identifier or a keyword
    QUOTED = "quoted"  # "an identifier"
    STRING = "string"
    NUMBER = "number"
    PARAM = "param"  # $1
    OPERATOR = "operator"
    PUNCT = "punct"  # ( ) [ ] , ; : .
    COMMENT = "comment"
    SPACE = "space"


@dataclass(frozen=True)
class Token:
    """A piece of SQL text."""

    kind: Kind
    text: str

    @property
    def name(self) -> str:
        """The identifier meant: folded where it has no quotes, cut where it is too long; '' for what is none."""
        if self.kind is Kind.WORD:
            return _cut(self.text.translate(_LOWER))
        if self.kind is Kind.QUOTED and self.text.startswith('"'):
            return _cut(self.text[1:-1].replace('""', '"'))
        return ""

    @property
    def word(self) -> str:
        """A keyword in lower case; '' for anything but an unquoted word."""
        return self.text.lower() if self.kind is Kind.WORD else ""

    @property
    def silent(self) -> bool:
        """A comment or space."""
        return self.kind in (Kind.COMMENT, Kind.SPACE)


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_PATTERNS = (
    (Kind.SPACE, re.compile(r"\s+")),
    (Kind.COMMENT, re.compile(r"--[^\r\n]*")),
    (Kind.STRING, re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'", re.S)),
    (Kind.STRING, re.compile(r"(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'")),
    (Kind.STRING, re.compile(r"(?P<tag>\$(?:[^\W\d]\w*)?\$).*?(?P=tag)", re.S)),
    (Kind.PARAM, re.compile(r"\$\d+")),
    (Kind.QUOTED, re.compile(r'(?:[uU]&)?"(?:[^"]|"")*"')),
    (Kind.NUMBER, re.compile(r"(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?|0[xXoObB][\da-fA-F_]+")),
    (Kind.WORD, re.compile(r"(?![eE]')[^\W\d][\w$]*")),
    (Kind.OPERATOR, re.compile(r"::|:=|=>|(?:(?!--|/\*)[-+*/<>=~!@#%^&|`?])+")),
    (Kind.PUNCT, re.compile(r"[()\[\],;:.]")),
)
_COMMENT_END = re.compile(r"/\*|\*/")


def tokens(text: str) -> list[Token]:
    """The tokens of the text. Raises ValueError, in words, where it ends within a string, a name or a comment."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        token = _token_at(text, at)
        found.append(token)
        at += len(token.text)
    return found


def _token_at(text: str, at: int) -> Token:
    if text.startswith("/*", at):
        return Token(Kind.COMMENT, text[at : _end_of_comment(text, at)])
    for kind, pattern in _PATTERNS:
        match = pattern.match(text, at)
        if match:
            return Token(kind, match[0])
    if text[at] in "'\"eE":
        raise ValueError(
            f"the text ends within the {'name' if text[at] == chr(34) else 'string'} that begins with {text[at : at + 20]!r}"
        )
    if text[at] == "$":
        raise ValueError(f"the text ends within the string that begins with {text[at : at + 20]!r}")
    raise ValueError(f"the character {text[at]!r} has no place in SQL")


def _end_of_comment(text: str, at: int) -> int:
    """Where the comment that begins at `at` ends: they nest."""
    depth, position = 0, at
    while match := _COMMENT_END.search(text, position):
        depth += 1 if match[0] == "/*" else -1
        position = match.end()
        if depth == 0:
            return position
    raise ValueError("the text ends within a comment")


def _cut(name: str) -> str:
    raw = name.encode()
    return name if len(raw) <= NAME_BYTES else raw[:NAME_BYTES].decode(errors="ignore")
