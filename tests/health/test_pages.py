"""Each rule has a page, and each page a rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperferry.health import RULES

PAGES = Path(__file__).parents[2] / "docs" / "health"


def test_each_rule_has_its_page_and_each_page_its_rule() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_page_says_problem_and_solution_with_sql(rule: str) -> None:
    text = (PAGES / f"{rule}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {rule}\n\nLevel: ")
    for part in ("## Problem", "## What hyperferry does", "## Solution", "```sql"):
        assert part in text
