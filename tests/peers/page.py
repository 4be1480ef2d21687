"""docs/peers.md, written from the cases and the marks of the tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .cases import CASES

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "peers.md"

HEAD = """\
# Data loss and stuck cutovers that befell others
Each of these 25 cases really happened to another tool. Each is a test of ours, which brings the case about and looks at the database afterwards, on both releases;
`make test ARGS='-m "peer(number=4)"'` runs the tests of one. This page is written from the tests' marks (`python -m peers`, with tests/ on the path); a
test compares.

| # | peer | what happened there | here | tests |
|---|---|---|---|---|
"""


def _numbers(function: ast.FunctionDef) -> Iterator[int]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.peer":
            for keyword in decorator.keywords:
                if keyword.arg == "number":
                    yield ast.literal_eval(keyword.value)


@cache
def marked() -> dict[int, list[tuple[Path, str]]]:
    """Number -> the tests marked with it: file and name, in order."""
    found: dict[int, list[tuple[Path, str]]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for number in _numbers(node):
                    found.setdefault(number, []).append((file.relative_to(ROOT), node.name))
    return found


def text() -> str:
    """The page."""
    tests, lines = marked(), [HEAD]
    for number, case in CASES.items():
        links = ", ".join(f"[{name}](../{file.as_posix()})" for file, name in tests.get(number, []))
        ours = f"does not apply: {case.reason}" if case.reason else case.ours
        lines.append(f"| {number} | {case.peer} | {case.happened} | {ours} | {links} |\n")
    return "".join(lines)
