"""A revision's file: where its functions begin, and what its comments accept."""

from __future__ import annotations

import ast
from pathlib import Path

from .accept import accepted_in
from .options import Revision


def revision_of(name: str, message: str | None, file: str) -> Revision:
    """The revision, by its file. One that cannot be read or parsed has no lines; Alembic will say so."""
    try:
        text = Path(file).read_bytes()
        lines = {node.name: node.lineno for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    except (OSError, SyntaxError, ValueError):
        return Revision(name, message or "", file)
    accepts = accepted_in(text.decode("utf-8", "replace"))
    return Revision(name, message or "", file, lines.get("upgrade"), lines.get("downgrade"), accepts)
