"""What is written into a file that the user names, whatever is there already."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from hyperferry.cli.files import may_write, write_whole
from hyperferry.errors import Usage
from servers import Database

from .conftest import Hyperferry

posix = pytest.mark.skipif(os.name != "posix", reason="links and pipes are POSIX")


def test_a_file_is_written_anew_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text in ("one, and longer", "two"):
        write_whole(file, text)
        assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_and_stays(tmp_path: Path, there: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    if there:
        file.write_text("before")
    link.symlink_to("elsewhere/file")
    may_write("--out", link)
    write_whole(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert list(file.parent.iterdir()) == [file]


@posix
def test_a_link_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("nowhere/file")
    with pytest.raises(Usage, match="folder"):
        may_write("--out", link)


@posix
def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    may_write("--out", pipe)
    write_whole(pipe, "through it")
    if not pipe.is_fifo():  # else the reader waits for ever
        pytest.fail("the pipe was replaced")
    reader.join(10)
    assert read == ["through it"]


@posix
@pytest.mark.parametrize(("command", "begin"), [("plan", "{"), ("advise", "# Advised")])
def test_stdout_by_its_name(hyperferry: Hyperferry, unchanged: Database, command: str, begin: str) -> None:
    """By a link of our own: a fault must not cost the machine its /dev/stdout."""
    out = hyperferry.folder / "out"
    out.symlink_to("/proc/self/fd/1")
    ran = hyperferry(command, "player_stats", "--time", "game_date", "--out", "out", dsn=unchanged.dsn)
    assert ran.code == 0, ran.stderr
    assert out.is_symlink()
    assert ran.stdout.startswith(begin)
    if command == "plan":
        plan, _ = json.JSONDecoder().raw_decode(ran.stdout)
        assert plan
