"""The oldest SQLAlchemy and Alembic that are supported, which the Makefile puts beside the newest: a sensible part of the tests runs on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLDEST = Path(sys.prefix) / "oldest"
TOO_NEW = (3, 13)
"""From this Python on SQLAlchemy 2.0.20 cannot be imported."""

PARTS = (
    "tests/orm/test_routing.py",
    "tests/orm/test_moving.py::test_a_name_that_is_gone_fails_no_request",
    "tests/orm/test_moving.py::test_async_sessions",
    "tests/orm/test_shadow_reads.py::test_both_sides_are_compared",
    "tests/migrations/test_page.py::test_the_page_from_nothing_to_a_hypertable",
    "tests/migrations/test_operations.py",
    "tests/migrations/test_autogenerate.py::test_from_nothing_to_a_hypertable_and_back",
    "tests/migrations/test_async.py::test_what_is_refused_is_said_as_by_psycopg",
    "tests/migrations/test_sqlite.py",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.version_info >= TOO_NEW, reason="SQLAlchemy 2.0.20 is older than this Python")
def test_on_the_oldest_versions(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--release") == "testing":
        pytest.skip("runs on the stable release alone")
    if not OLDEST.is_dir():
        pytest.skip(f"{OLDEST} is not there: `make test` makes it")
    environ = {**os.environ, "PYTHONPATH": str(OLDEST)}
    said = subprocess.run(
        [sys.executable, "-c", "import alembic, sqlalchemy; print(alembic.__version__, sqlalchemy.__version__)"],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split() == ["1.13.0", "2.0.20"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "--release", "stable", "-p", "no:cacheprovider", "-m", "not community", *PARTS],
        cwd=ROOT, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
