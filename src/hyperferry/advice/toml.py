"""Lines of `hyperferry.toml`. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

_ESCAPED = {number: f"\\u{number:04x}" for number in (0x7F, 0x85, 0x2028, 0x2029)}
_HEADER = re.compile(r"^\[(\w+)\]$")


def text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, and for what else ends a line (`join` reads lines)."""
    return json.dumps(value, ensure_ascii=False).translate(_ESCAPED)


def texts(values: Iterable[str]) -> str:
    """An array of strings."""
    return "[" + ", ".join(text(value) for value in values) + "]"


def commented(lines: str) -> str:
    """The lines, out of force."""
    return "\n".join(f"# {line}".rstrip() for line in lines.splitlines())


def join(fragments: Sequence[str]) -> str:
    """One file of the fragments: keys of the top first, then each section once, then what stands in lists, then comments alone. A
    fragment is keys of the top, or one section with its header."""
    top: list[str] = []
    sections: dict[str, list[str]] = {}
    lists: list[str] = []
    comments: list[str] = []
    for fragment in (each for each in fragments if each):
        lines = fragment.splitlines()
        header = next((line for line in lines if not line.startswith("#")), "")
        if not header:
            comments.append(fragment)
        elif header.startswith("[["):
            lists.append(fragment)
        elif match := _HEADER.match(header):
            body = [line for line in lines if line != header]
            sections.setdefault(match[1], []).extend(body)
        else:
            top += lines
    parts = ["\n".join(top)] if top else []
    parts += ["\n".join([f"[{name}]", *body]) for name, body in sections.items()]
    return "\n\n".join([*parts, *lists, *comments]) + "\n"
