"""Where a server comes from, in order of search, and the cache of the last resort."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hyperferry.errors import Failed, Usage
from hyperferry.sandbox import installation, private_root
from hyperferry.sandbox.private_root import RELEASES, cached_root


def silent(line: str) -> None:
    """Says nothing."""


@pytest.fixture
def cache(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYPERFERRY_CACHE", str(open_folder / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(open_folder / "config"))
    return open_folder / "cache"


def pretend_to_make(work: Path, *_: Any) -> None:
    bin_folder = work / "root/usr/lib/postgresql/17/bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "postgres").touch()
    (bin_folder / "pg_config").write_text("whole")


def test_without_a_network_the_error_says_what_else_serves(cache: Path, open_folder: Path) -> None:
    sources = open_folder / "sources"
    sources.mkdir()
    (sources / "broken.list").write_text("deb http://127.0.0.1:9/debian trixie main\n")
    config = open_folder / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{sources}";\nAcquire::Retries "0";\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", "from hyperferry import sandbox; sandbox.up('none', release='stable')"],
        env={**os.environ, "APT_CONFIG": str(config), "HYPERFERRY_STATE": str(open_folder / "state")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    for words in ("--dsn", "--pg-config", "docker run", "Failed"):
        assert words in done.stderr
    assert list(cache.iterdir()) == []
    assert list((open_folder / "state" / "sandbox").iterdir()) == []


def test_what_a_maker_left_that_died_half_way_is_never_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = (
        "import os; from hyperferry.sandbox import private_root as p\n"
        "def die(work, *_):\n    (work / 'root/usr/lib/postgresql/17/bin').mkdir(parents=True)\n"
        "    (work / 'root/usr/lib/postgresql/17/bin/pg_config').touch()\n    os._exit(9)\n"
        "p._make = die; p.cached_root(p.RELEASES['stable'], say=print)"
    )
    assert subprocess.run([sys.executable, "-c", dying], check=False).returncode == 9
    assert len(list(cache.glob(".postgresql-17-*"))) == 1

    monkeypatch.setattr(private_root, "_make", pretend_to_make)
    assert cached_root(RELEASES["stable"], say=silent).read_text() == "whole"
    assert len(list(cache.iterdir())) == 1  # the whole one; neither the torso nor a lock


def test_a_making_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(work: Path, *_: Any) -> None:
        pretend_to_make(work)
        raise Failed("no space")

    monkeypatch.setattr(private_root, "_make", fail)
    with pytest.raises(Failed, match="no space"):
        cached_root(RELEASES["stable"], say=silent)
    assert list(cache.iterdir()) == []


def test_starters_at_once_make_the_cache_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def slowly(work: Path, *_: Any) -> None:
        made.append(work)
        time.sleep(0.3)
        pretend_to_make(work)

    monkeypatch.setattr(private_root, "_make", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_root(RELEASES["stable"], say=silent), range(4)))
    assert len(made) == 1
    assert len(set(found)) == 1


def make_installation(folder: Path, version: str = "PostgreSQL 17.1", *, timescale: bool = True) -> Path:
    """A pg_config that answers as one of an installation in `folder`; the path of it."""
    extension = folder / "share" / "extension"
    extension.mkdir(parents=True)
    if timescale:
        (extension / "timescaledb.control").touch()
    (folder / "bin").mkdir()
    (folder / "bin" / "postgres").touch()
    program = folder / "bin" / "pg_config"
    lines = [folder / "bin", folder / "lib", folder / "share", version]
    program.write_text("#!/bin/sh\ncat <<'X'\n" + "\n".join(str(line) for line in lines) + "\nX\n")
    program.chmod(0o755)
    return program


def find(**wishes: Any) -> installation.Installation:
    return installation.find_installation(say=silent, **wishes)


def test_the_order_of_search(cache: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, listed, here = (make_installation(open_folder / name) for name in ("given", "listed", "here"))
    monkeypatch.setattr(private_root, "_make", pretend_to_make)
    asked = []
    monkeypatch.setattr(installation, "cached_root", lambda release, say: asked.append(release) or given)
    monkeypatch.setattr(installation, "_on_this_machine", lambda: None)
    find()
    assert asked == [RELEASES["stable"]]
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(open_folder / "config"))
    monkeypatch.setenv("PATH", f"{here.parent}:{os.environ['PATH']}")
    assert find().pg_config == here

    servers = open_folder / "config" / "hyperferry" / "servers.toml"
    servers.parent.mkdir(parents=True)
    servers.write_text(f'[servers]\nmine = "{listed}"\n')
    assert find().pg_config == listed
    assert find(server="mine").pg_config == listed
    assert find(pg_config=given).pg_config == given
    with pytest.raises(Usage, match="No server is called 'other'"):
        find(server="other")
    with pytest.raises(Usage, match="Only one"):
        find(server="mine", release="stable")


def test_an_installation_without_timescaledb_is_refused(open_folder: Path) -> None:
    plain = make_installation(open_folder / "plain", timescale=False)
    with pytest.raises(Usage, match="cannot serve") as refused:
        find(pg_config=plain)
    assert "timescaledb.control" in str(refused.value)
    with pytest.raises(Usage, match="not a pg_config"):
        find(pg_config=Path("/bin/false"))


@pytest.mark.parametrize("text", ["servers = 3", "[servers]\nx = 1", "[servers", 'x = "/a"'])
def test_a_list_of_servers_that_makes_no_sense(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(open_folder))
    (open_folder / "hyperferry").mkdir()
    (open_folder / "hyperferry" / "servers.toml").write_text(text)
    with pytest.raises(Usage, match="list of servers"):
        find()


def test_a_release_that_is_not_there() -> None:
    with pytest.raises(Usage, match="no release 'oldest'"):
        find(release="oldest")
