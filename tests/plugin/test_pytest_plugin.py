"""The pytest plugin, in projects of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from servers import Database, Server

pytest_plugins = ["pytester"]
PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def page_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)


def test_the_page_on_a_server_that_is_there(pytester: pytest.Pytester, db: Database) -> None:
    """The template is prepared once, each test has a copy of its own, and nothing is left."""
    role = db.make_role()  # whose databases are told from those of other tests on the same server
    db.execute(f'ALTER ROLE "{role}" SUPERUSER')
    one, prepare = page_blocks()
    pytester.makeconftest("import psycopg, pytest\n" + prepare)
    pytester.makepyfile(
        "import psycopg, pytest\n" + one + "\n\n"
        "def test_it_is_gone_again(timescaledb):\n"
        "    with psycopg.connect(timescaledb) as conn:\n"
        "        assert conn.execute(\"SELECT to_regclass('readings'), to_regclass('players')::text\").fetchone() == (None, 'players')\n"
        "        conn.execute('DROP TABLE players')\n\n"
        "def test_players_are_there_again(timescaledb, timescaledb_server):\n"
        "    with psycopg.connect(timescaledb) as conn:\n"
        "        assert conn.execute('SELECT count(*) FROM players').fetchone() == (0,)\n"
        "        owner = 'SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()'\n"
        f"        assert conn.execute(owner).fetchone() == ('{role}',)\n"
        "    assert timescaledb_server.edition == 'apache'\n\n"
        "@pytest.mark.timescaledb_edition('community')\n"
        "def test_of_the_other_edition(timescaledb):\n"
        "    raise AssertionError\n\n"
        "@pytest.mark.timescaledb_edition('apache')\n"
        "def test_of_this_edition(timescaledb):\n"
        "    pass\n\n"
        "@pytest.mark.timescaledb_edition('gold')\n"
        "def test_of_no_edition(timescaledb):\n"
        "    pass\n"
    )
    result = pytester.runpytest_subprocess(
        "-rs", "-p", "no:cacheprovider", "--strict-markers", "--timescaledb-dsn", db.dsn_as(role)
    )
    result.assert_outcomes(passed=4, skipped=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*there are apache and community", "*needs the community edition; TimescaleDB 2.* here is apache"]
    )
    left = db.execute("SELECT count(*) FROM pg_database WHERE pg_get_userbyid(datdba) = %s", role)
    assert left == [(0,)]


def test_copies_while_the_template_has_jobs(pytester: pytest.Pytester, db: Database) -> None:
    """TimescaleDB's own workers go into every database that has jobs; one that is in use cannot be copied."""
    pytester.makeconftest(
        "import psycopg, pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def timescaledb_prepare():\n"
        "    def prepare(dsn):\n"
        "        with psycopg.connect(dsn) as conn:\n"
        "            conn.execute(\"CREATE TABLE h (at timestamptz NOT NULL); SELECT create_hypertable('h', 'at'); INSERT INTO h VALUES (now())\")\n"
        "    return prepare\n"
    )
    pytester.makepyfile(
        "import psycopg, pytest\n"
        "@pytest.mark.parametrize('n', range(5))\n"
        "def test_rows(timescaledb, n):\n"
        "    with psycopg.connect(timescaledb) as conn:\n"
        "        conn.execute('INSERT INTO h VALUES (now())')\n"
        "        assert conn.execute('SELECT count(*) FROM h').fetchone() == (2,)\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--timescaledb-dsn", db.server.dsn)
    result.assert_outcomes(passed=5)


@pytest.mark.slow
def test_a_server_of_its_own(pytester: pytest.Pytester, server: Server) -> None:
    pytester.makepyfile(
        "import psycopg\n"
        "def test_it(timescaledb, timescaledb_server):\n"
        "    with psycopg.connect(timescaledb) as conn:\n"
        "        conn.execute(\"CREATE TABLE h (at timestamptz NOT NULL); SELECT create_hypertable('h', 'at')\")\n"
        "    print('served by', timescaledb_server.timescaledb_version)\n"
    )
    result = pytester.runpytest_subprocess(
        "-s", "-p", "no:cacheprovider", "--timescaledb-release", server.release
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*served by 2.*"])


def test_nothing_is_imported_that_no_test_asks_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_it():\n"
        "    assert not [n for n in sys.modules if n.startswith(('psycopg', 'sqlalchemy', 'hyperferry.sandbox'))]\n"
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_no_server_is_said_in_words(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(timescaledb): pass\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--timescaledb-release", "unheard-of")
    result.assert_outcomes(errors=1)
    assert "No server with TimescaleDB could be had" in result.stdout.str()
    assert "Traceback" not in result.stdout.str()
