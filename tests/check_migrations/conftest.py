"""A project with revisions as a test wishes them, and `hyperferry check-migrations` on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import servers
from servers import Database, Server

ENV = """
import os
from alembic import context
import sqlalchemy as sa
{extra}

url = {url}

def run_migrations_offline():
    context.configure(url=url, literal_binds=True, dialect_opts={{"paramstyle": "named"}})
    with context.begin_transaction():
        context.run_migrations()

def run_migrations_online():
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        {before}
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""
OF_INI = 'context.config.get_main_option("sqlalchemy.url")'
REVISION = """\
\"\"\"{message}\"\"\"

from alembic import op
import sqlalchemy as sa
import hyperferry.alembic  # noqa: F401

revision = "{revision}"
down_revision = {down!r}


def upgrade() -> None:
{up}


def downgrade() -> None:
{back}
"""


@dataclass
class Project:
    """A folder with alembic.ini and revisions."""

    folder: Path
    dsn: str
    names: list[str] = field(default_factory=list)

    def env(self, url: str = OF_INI, *, before: str = "pass", extra: str = "") -> None:
        """Its env.py."""
        (self.folder / "migrations" / "env.py").write_text(
            ENV.format(url=url, before=before, extra=extra), "utf-8"
        )

    def add(self, revision: str, up: str, back: str = "pass", *, down: Any = ...) -> None:
        """One more revision on top of the last."""
        before = (self.names[-1] if self.names else None) if down is ... else down
        body = REVISION.format(
            message=f"about {revision}",
            revision=revision,
            down=before,
            up=_indented(up),
            back=_indented(back),
        )
        self.file(revision).write_text(body, "utf-8")
        self.names.append(revision)

    def file(self, revision: str) -> Path:
        return self.folder / "migrations" / "versions" / f"{revision}.py"

    def line(self, revision: str, text: str) -> int:
        """The line of that revision's file on which the text begins."""
        lines = self.file(revision).read_text("utf-8").splitlines()
        return next(number for number, line in enumerate(lines, 1) if text in line)

    def check(self, *words: str, code: int | None = 0, **environ: str) -> dict[str, Any]:
        """The check's JSON, and `err`, what it said besides."""
        done = subprocess.run(
            [sys.executable, "-m", "hyperferry", "check-migrations", "--json", "--dsn", self.dsn, *words],
            cwd=self.folder,
            env={**{name: text for name, text in os.environ.items() if name != "GITHUB_ACTIONS"}, **environ},
            capture_output=True,
            text=True,
        )
        assert code is None or done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return {**json.loads(done.stdout), "err": done.stderr}


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.strip().splitlines())


def found(report: dict[str, Any], *levels: str) -> list[tuple[str, str]]:
    """The findings as (rule, revision)."""
    wanted = levels or ("error",)
    return [(each["rule"], each["revision"]) for each in report["findings"] if each["level"] in wanted]


def of(report: dict[str, Any], revision: str) -> list[dict[str, Any]]:
    """The findings about one revision."""
    return [each for each in report["findings"] if each["revision"] == revision]


def begun(folder: Path, dsn: str) -> Project:
    """A project without revisions, whose alembic.ini leads to production."""
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text(
        "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
        "sqlalchemy.url = postgresql+psycopg://nobody@192.0.2.1/production\n",
        "utf-8",
    )
    project = Project(folder, dsn)
    project.env()
    return project


@pytest.fixture
def project(db: Database, tmp_path: Path) -> Project:
    """A project of the test's own, on each release."""
    return begun(tmp_path / "a project", db.dsn)


@pytest.fixture(scope="session")
def one_server(request: pytest.FixtureRequest) -> Server:
    """One server for what has nothing to do with its version."""
    return servers.server_of(request.config.getoption("--release") or "stable")


@pytest.fixture
def here(one_server: Server, tmp_path: Path) -> Project:
    """A project of the test's own, on one release."""
    return begun(tmp_path / "a project", one_server.dsn)


@pytest.fixture
def db_of_here(one_server: Server) -> Iterator[Database]:
    """A database beside it: production, say, or one that is none of the check's business."""
    database = servers.make_database(one_server)
    yield database
    servers.drop_database(database)
