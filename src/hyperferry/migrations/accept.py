"""What a project accepts of its own revisions: a comment in the file says so. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from .options import Finding, Level

_COMMENT = re.compile(r"#\s*hyperferry:\s*accept\s+(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*)")

RULES = (
    "heavy-lock",
    "blocking-index",
    "concurrently-on-hypertable",
    "unguarded-conversion",
    "guard-refuses",
    "upgrade-fails",
    "downgrade-fails",
    "downgrade-missing",
    "downgrade-differs",
    "upgrade-again-differs",
    "second-run-changes",
    "offline-fails",
    "offline-differs",
    "pin-differs",
)
"""Everything that can be found, by the names that `# hyperferry: accept RULE` and --accept take."""


def accepted_in(text: str) -> frozenset[str]:
    """The rules that the comments of a revision accept: for that revision, wherever in it they stand."""
    return frozenset(
        rule.strip()
        for found in _COMMENT.finditer(text)
        for rule in found["rules"].split(",")
        if rule.strip()
    )


def applied(findings: Iterable[Finding], accepts: frozenset[str]) -> list[Finding]:
    """The findings, with those that are accepted marked so."""
    return [replace(each, level=Level.ACCEPTED) if each.rule in accepts else each for each in findings]
