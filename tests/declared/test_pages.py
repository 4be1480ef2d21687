"""Each rule has its section, and each section under Refusals its rule; the file that the page shows is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hyperferry.config import load_settings
from hyperferry.declared.parse import SECTIONS
from hyperferry.declared.registry import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "declared.md").read_text("utf-8")


def test_each_rule_has_its_section() -> None:
    sections = re.findall(r"^### (.+)$", PAGE.partition("## Refusals")[2], re.M)
    assert sections == sorted(RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_says_what_it_is(rule: str) -> None:
    assert RULES[rule].summary.endswith(".")


def test_the_file_of_the_page_is_read_and_shows_every_section(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.S)
    assert found is not None
    file = tmp_path / "hyperferry.toml"
    file.write_text(found[1], "utf-8")
    declared = load_settings({}, config=file).declared
    assert declared.chunk_interval == "7 days"
    assert declared.aggregates[0].compression is not None
    for section in SECTIONS:
        assert re.search(rf"^\[*{section}\b", found[1], re.M), section
