"""Fixtures: a server of each release for the run, a database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import servers
from servers import Database, Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--release",
        choices=sorted(servers.RELEASES),
        help="run tests that need a server on this release alone (default: on both)",
    )


def pytest_configure(config: pytest.Config) -> None:
    servers.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        servers.end_run()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        only = metafunc.config.getoption("--release")
        chosen = [release for release in servers.RELEASES if only in (None, release)]
        ids = [servers.RELEASES[release] for release in chosen]
        metafunc.parametrize("server", chosen, ids=ids, indirect=True, scope="session")
    if "community_server" in metafunc.fixturenames:
        names = servers.community_names()
        metafunc.parametrize("community_server", names or [None], ids=names or ["none"], indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "community_db" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.community)
    # First what takes longest: begun last, it would keep one worker after all others have ended.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """A server of the release that the test is run for: every test that needs one is run for both."""
    return servers.server_of(request.param)


@pytest.fixture
def db(server: Server) -> Iterator[Database]:
    """A new database with TimescaleDB, dropped after the test."""
    database = servers.make_database(server)
    yield database
    servers.drop_database(database)


@pytest.fixture
def one_db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database on one server alone: of the release that was asked for, else of the first."""
    database = servers.make_database(servers.server_of(request.config.getoption("--release") or "stable"))
    yield database
    servers.drop_database(database)


@pytest.fixture(scope="session")
def community_server(request: pytest.FixtureRequest) -> Server:
    """Each server with TimescaleDB's Community edition in turn; the test is skipped where none is listed."""
    if request.param is None:
        pytest.skip("no server with the Community edition is listed in servers.toml")
    found = servers.community_server(request.param)
    if found is None:
        pytest.skip(f"{request.param}, listed in servers.toml, has not the Community edition")
    return found


@pytest.fixture
def community_db(community_server: Server) -> Iterator[Database]:
    """A new database on the Community edition."""
    database = servers.make_database(community_server)
    yield database
    servers.drop_database(database)
