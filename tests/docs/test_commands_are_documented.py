"""Every command and option stands in docs/commands.md, and every command that a page shows exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hyperferry.cli import cli
from hyperferry.config import ACCEPT_RULES, Settings

from .conftest import PAGES, ROOT, blocks

COMMANDS_PAGE = ROOT / "docs" / "commands.md"
SHARED = {"--dsn", "--config", "--json", "--help"}


def tree(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below this one, with the words that call it."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from tree(child, (*path, name))
    else:
        yield path, command


ALL = dict(tree(cli))


def section(path: tuple[str, ...]) -> str:
    """What docs/commands.md says under the command's heading."""
    text = COMMANDS_PAGE.read_text("utf-8")
    heading = "#" * (1 + len(path)) + " " + " ".join(path)
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    assert found is not None, f"docs/commands.md has no section {heading!r}"
    return found[1]


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_in_its_section(path: tuple[str, ...]) -> None:
    text = section(path)
    options = [option for each in ALL[path].params if isinstance(each, click.Option) for option in each.opts]
    for option in options:
        if option in SHARED and path[0] != "sandbox":
            continue
        assert re.search(rf"`{option}\b", text), f"{option} of {' '.join(path)} is not documented"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_in_its_section_exists(path: tuple[str, ...]) -> None:
    options = {option for each in ALL[path].params if isinstance(each, click.Option) for option in each.opts}
    rows = re.findall(r"^\| (`--.+?) \|", section(path), re.M)
    documented = {option for row in rows for option in re.findall(r"`(--[a-z-]+)", row)}
    assert documented <= options


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_says_what_it_does(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert command.help
    for each in command.params:
        assert not isinstance(each, click.Option) or each.help, f"{each.name} has no help"


def test_shared_options_are_documented() -> None:
    text = COMMANDS_PAGE.read_text("utf-8").partition("## Settings")[0]
    for option in SHARED:
        assert f"`{option}" in text


def test_every_setting_and_rule_is_documented() -> None:
    text = COMMANDS_PAGE.read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in Settings.model_fields:
        if name != "dsn":
            assert re.search(rf"^{name} = ", text, re.M)
            assert f"HYPERFERRY_{name.upper()}" in text
    for rule in ACCEPT_RULES:
        assert f"`{rule}`" in text
        assert f"`{rule}`" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_shell_block_is_marked_and_parses(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.language not in {"sh", "bash", "console", "shell"}:
            continue
        assert block.mark in {"run", "parse"}, f"a block of {page} is neither run nor parsed:\n{block.body}"
        for line in block.commands:
            words = shlex.split(line.partition(" > ")[0])[1:]
            for file in (word for word in words if word.endswith((".csv", ".csv.gz"))):
                (tmp_path / file).touch()  # A reader has it.
            command: click.Command = cli
            path: list[str] = []
            while isinstance(command, click.Group):
                assert words[0] in command.commands, f"there is no command {words[0]} ({line})"
                path.append(words.pop(0))
                command = command.commands[path[-1]]
            command.make_context(" ".join(path), words)
