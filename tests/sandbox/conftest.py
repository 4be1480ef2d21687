"""A sandbox folder of its own for these tests; the packages come from the shared cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperferry import sandbox


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A new folder that any user can reach (pytest's own are closed, and root's servers run as nobody)."""
    folder = Path(tempfile.mkdtemp(prefix="hyperferry-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def state(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of sandboxes for this test; those that it leaves are removed."""
    monkeypatch.setenv("HYPERFERRY_STATE", str(open_folder / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(open_folder / "config"))
    for variable in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(variable)
    yield open_folder / "state" / "sandbox"
    for each in sandbox.status():
        sandbox.down(each.name)
