"""docs/check-migrations.md, done as a reader would: on a sandbox that the command makes for itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hyperferry.migrations import RULES
from hyperferry.migrations.section import wishes_of

from .conftest import Project

PAGE = (Path(__file__).parents[2] / "docs" / "check-migrations.md").read_text("utf-8")
FIRST = """
op.create_table(
    "player_stats",
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("player_id", sa.Integer),
    sa.Column("value", sa.Integer),
)
"""


@pytest.mark.skipif(os.name != "posix", reason="the page speaks to a POSIX shell")
def test_its_commands_run(here: Project) -> None:
    here.add("first", FIRST, 'op.drop_table("player_stats")')
    here.add("second", "pass")
    head = here.file("second").read_text("utf-8").partition("def upgrade()")[0]
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    here.file("second").write_text(head + code, "utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.S)[:1] + re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 2
    said = []
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=here.folder,
            env={
                **{name: text for name, text in os.environ.items() if name != "GITHUB_ACTIONS"},
                "DATABASE_URL": "postgresql://nobody@192.0.2.1/production",
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == (0 if said else 3), f"{block}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    assert f"error heavy-lock migrations/versions/second.py:{here.line('second', 'op.alter_column')}" in said[0]
    assert f"error blocking-index migrations/versions/second.py:{here.line('second', 'op.create_index')}" in said[0]
    assert "error downgrade-differs" in said[0]
    assert "2 revisions judged: 3 errors, 0 warnings" in said[0]
    assert (here.folder / ".github" / "workflows" / "migrations.yml").is_file()
    assert (here.folder / ".gitlab" / "migrations.gitlab-ci.yml").is_file()
    assert (here.folder / "compose.timescaledb.yml").is_file()


def test_its_rules_and_keys_are_those_there_are() -> None:
    table = PAGE.partition("## What is found")[2].partition("\n\n- ")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {rule for row in rows for rule in re.findall(r"`([a-z-]+)`", row)} == {*RULES}
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    section = tomllib.loads(text)["check_migrations"]
    wishes = wishes_of(section, "hyperferry.toml")
    assert set(section) == set(vars(wishes)), "each key is shown"
    assert wishes.rows == (("public.games", 2_000_000),)


