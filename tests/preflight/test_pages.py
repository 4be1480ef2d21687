"""Each rule has a page, and each page a rule; the words of `--accept` are those of the design."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hyperferry.preflight import RULES

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "preflight"
RULE_FILES = ROOT / "src" / "hyperferry" / "preflight" / "rules"
ACCEPT = {
    "cross-chunk-updates",
    "on-conflict-key",
    "view-groups-by-key",
    "widened-key",
    "snapshot-transactions",
    "other-replication",
}


def test_each_rule_has_its_page_and_each_page_its_rule() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_page_says_problem_and_solution_with_sql(rule: str) -> None:
    text = (PAGES / f"{rule}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {rule}\n")
    for part in ("## Problem", "## What hyperferry does", "## Solution", "```sql"):
        assert part in text


def test_accept_words_are_the_rules_of_their_names() -> None:
    sources = {
        file.stem.replace("_", "-"): file.read_text(encoding="utf-8") for file in RULE_FILES.glob("*.py")
    }
    words = {name: set(re.findall(r'accept="([^"]+)"', source)) for name, source in sources.items()}
    assert {name: found for name, found in words.items() if found} == {name: {name} for name in ACCEPT}
