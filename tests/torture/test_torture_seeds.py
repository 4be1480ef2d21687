"""A few fixed seeds of the torture harness; `make torture` runs as many others as asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .command import run_schedule
from .draw import schedule_of
from .program import Programs
from .schedule import RELEASES
from .server import Server, server_of

SEEDS = (3, 7, 10, 11, 12, 13)


class Arena:
    """The servers that are stopped and started at will: not those of the other tests. Each is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._servers: dict[str, Server] = {}
        self.programs = Programs(folder)
        self._stack.callback(self.programs.close)

    def server(self, release: str) -> Server:
        """The server of the release."""
        if release not in self._servers:
            self._servers[release] = self._stack.enter_context(server_of(release))
        return self._servers[release]

    def close(self) -> None:
        """Ends them all."""
        self._stack.close()


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    made = Arena(tmp_path_factory.mktemp("torture"))
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_stale(arena: Arena, seed: int, release: str, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--release") not in (None, release):
        pytest.skip("--release names the other one")
    outcome = run_schedule(schedule_of(seed, release), arena.server(release), arena.programs)
    assert not outcome.findings, "\n".join([*outcome.findings, f"replay: make torture SEED={seed} N=1 RELEASE={release}"])
    assert outcome.transactions > 0
