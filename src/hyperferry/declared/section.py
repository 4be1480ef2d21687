"""Reading one table of a TOML file key by key: what is taken is typed, what is left over is an error."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from ..errors import Usage
from ..model.declared import Span
from .spans import parse_span

T = TypeVar("T")


class Section:
    """A table of the file, `where` as a person finds it there ('[compression]', '[[index]] number 2')."""

    def __init__(self, value: object, where: str, file: str) -> None:
        self.where, self.file = where, file
        self._known: list[str] = []
        if not isinstance(value, Mapping):
            raise self.wrong(f"{where} is {_kind(value)}, and a table of keys is expected")
        self._values = dict(value)

    def wrong(self, message: str, key: str | None = None, remedy: str = "correct the file.") -> Usage:
        """The error to raise about this section, or one key of it."""
        facts: dict[str, object] = {"file": self.file, "section": self.where}
        if key is not None:
            facts["key"] = key
        return Usage(f"{message[0].upper()}{message[1:]}.", facts=facts, remedy=remedy)

    def has(self, key: str) -> bool:
        """Whether the key stands there."""
        return key in self._values

    def take(self, key: str, read: Callable[[object], T], default: T) -> T:
        """The key's value by `read`, which raises ValueError for what it cannot use; `default` where it does not stand there."""
        self._known.append(key)
        if key not in self._values:
            return default
        value = self._values.pop(key)
        try:
            return read(value)
        except ValueError as error:
            raise self.wrong(f"{key} in {self.where} cannot be used: {error}", key) from None

    def need(self, key: str, read: Callable[[object], T]) -> T:
        """As `take`, for a key that must be there."""
        if key not in self._values:
            self._known.append(key)
            near = difflib.get_close_matches(key, list(self._values), n=1)
            meant = f"; {near[0]!r} stands there, which is not known" if near else ""
            raise self.wrong(f"{self.where} lacks the key {key!r}{meant}", key, "add it.")
        found: Any = self.take(key, read, None)
        return found  # type: ignore[no-any-return]

    def end(self) -> None:
        """Raises Usage for a key that nobody took, with what may have been meant."""
        for name in self._values:
            near = difflib.get_close_matches(name.lower().replace("-", "_"), self._known, n=2)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            raise self.wrong(
                f"{self.where} holds the key {name!r}, which is not known{meant} (known: {', '.join(self._known)})",
                name,
                "correct or remove it: a wish that is not read would be a surprise later.",
            )


def text(value: object) -> str:
    """A text that says something."""
    if not isinstance(value, str):
        raise ValueError(f"it is {_kind(value)}, and a text is expected")
    if not value.strip() or "\x00" in value:
        raise ValueError("it is empty" if not value.strip() else "it has a zero byte in it")
    return value.strip()


def texts(value: object) -> tuple[str, ...]:
    """A list of texts; one alone may stand without brackets."""
    if isinstance(value, str):
        return (text(value),)
    if not isinstance(value, list):
        raise ValueError(f"it is {_kind(value)}, and a list of texts is expected")
    found = tuple(text(each) for each in value)
    twice = sorted({each for each in found if found.count(each) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} stands there twice")
    return found


def some_texts(value: object) -> tuple[str, ...]:
    """A list of one text or more."""
    found = texts(value)
    if not found:
        raise ValueError("the list is empty")
    return found


def yes_or_no(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"it is {_kind(value)}, and true or false is expected")
    return value


def span(value: object) -> Span:
    """A length of time above zero."""
    return parse_span(value)


def span_or_zero(value: object) -> Span:
    """A length of time, zero among them."""
    return parse_span(value, zero=True)


def schedule(value: object) -> Span:
    """How often a job runs: never in the units of an integer column."""
    found = parse_span(value)
    if found.integer:
        raise ValueError(f"{value!r} has no unit; a schedule is in the clock's time, such as '12 hours'")
    return found


def span_or_false(value: object) -> Span | Literal[False]:
    """A length of time, or false for 'not at all'."""
    return False if value is False else parse_span(value)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "a table of keys"}
    return names.get(type(value), f"a {type(value).__name__}")
