"""What runs in the project's own Python: its Alembic, one revision at a time, while each statement is looked at on the server.

It is started as a program and imports nothing of hyperferry, which need not be installed there. A request is a line of JSON on
stdin, the answer one on stdout; what the project prints goes to stderr. `client.py` is the other end.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import io
import json
import os
import re
import sys
import traceback
from typing import Any, NoReturn

UNSEEN = frozenset({"25001", "2D000"})
"""The SQLSTATEs of what cannot run inside a transaction, or ends its own, and so cannot be looked at before that ends."""

_FIRST = re.compile(r"\s*SET\s[^;]*;?\s*\Z", re.IGNORECASE)
"""A SET, and nothing after it. A semicolon in its value makes it be looked at as any other statement."""

LOOK = """
SELECT pg_catalog.current_setting('lock_timeout'), CAST(COALESCE((
    SELECT pg_catalog.json_agg(pg_catalog.json_build_array(CAST(l.relation AS bigint), l.mode,
        pg_catalog.pg_stat_get_xact_numscans(l.relation),
        pg_catalog.pg_stat_get_xact_tuples_inserted(l.relation) + pg_catalog.pg_stat_get_xact_tuples_updated(l.relation)
            + pg_catalog.pg_stat_get_xact_tuples_deleted(l.relation)))
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'relation' AND l.granted AND l.pid = pg_catalog.pg_backend_pid()
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
        AND CAST(l.relation AS bigint) >= 16384), '[]') AS text), CAST(COALESCE((
    SELECT pg_catalog.json_object_agg(CAST(c.oid AS bigint), CAST(c.relfilenode AS bigint))
    FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('r', 'm') AND CAST(c.oid AS bigint) >= 16384), '{}') AS text)
"""
"""What this session holds, and the files of all tables: a table that gets another one was rewritten."""


class Elsewhere(Exception):
    """The project connects to another database than the one it was given."""


class Watch:
    """What the project's connections do. `seen` are the statements since `begin`."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.elsewhere: str | None = None
        self.begin(None)

    def begin(self, file: str | None) -> None:
        """From here on, for the revision in that file."""
        self.seen: list[dict[str, Any]] = []
        self.file = None if file is None else os.path.realpath(file)
        self.transaction = 0

    def install(self) -> None:
        """On every engine that this process makes, of whatever driver, sync or async."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "do_connect", self.before_connect)
        event.listen(Engine, "connect", self.after_connect)
        event.listen(Engine, "commit", self.ended)
        event.listen(Engine, "rollback", self.ended)
        event.listen(Engine, "do_execute", self.execute)
        event.listen(Engine, "do_execute_no_params", self.execute_no_params)
        event.listen(Engine, "do_executemany", self.execute_many)

    def refuse(self, where: str) -> NoReturn:
        """Ends the run: nothing was asked of that database yet."""
        self.elsewhere = where
        raise Elsewhere(where)

    def before_connect(self, dialect: Any, record: Any, cargs: Any, cparams: Any) -> None:
        """Before a connection is made: to where, as far as its arguments say so."""
        if dialect.name != "postgresql":
            self.refuse(f"a database of {dialect.name}")
        database = cparams.get("dbname", cparams.get("database"))
        if database is not None and database != self.database:
            self.refuse(f"the database {database} on {cparams.get('host') or 'the default host'}")

    def after_connect(self, connection: Any, record: Any) -> None:
        """Before its first statement: the server itself is asked which database it is."""
        cursor = connection.cursor()
        cursor.execute("SELECT pg_catalog.current_database()")
        (database,) = cursor.fetchone()
        cursor.close()
        if not getattr(connection, "autocommit", False):
            connection.rollback()
        if database != self.database:
            self.refuse(f"the database {database}")

    def ended(self, connection: Any) -> None:
        """A transaction ended."""
        self.transaction += 1

    def execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """A statement with parameters."""
        return self.run(
            statement, context, lambda: context.dialect.do_execute(cursor, statement, parameters, context)
        )

    def execute_no_params(self, cursor: Any, statement: str, context: Any) -> bool:
        """A statement without."""
        return self.run(
            statement, context, lambda: context.dialect.do_execute_no_params(cursor, statement, context)
        )

    def execute_many(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """A statement with several sets of them."""
        return self.run(
            statement, context, lambda: context.dialect.do_executemany(cursor, statement, parameters, context)
        )

    def run(self, statement: str, context: Any, act: Any) -> bool:
        """Runs it between two looks at the locks. In autocommit it gets a transaction of its own, unless the server says that it
        cannot have one."""
        doubled = getattr(context.dialect.identifier_preparer, "_double_percents", False)
        text = statement.replace("%%", "%") if doubled else statement
        record: dict[str, Any] = {"sql": text, "observed": False, "locks": [], **self.place()}
        self.seen.append(record)
        if _FIRST.match(statement):
            act()  # SET TRANSACTION must be the first
            return True
        connection = context.root_connection.connection.dbapi_connection
        if not getattr(connection, "autocommit", False):
            self.looked(record, connection, act)
            return True
        record["autocommit"] = True
        self.transaction += 1
        record["transaction"] = self.transaction
        _ask(connection, "BEGIN")
        try:
            self.looked(record, connection, act)
        except Exception as error:
            _ask(connection, "ROLLBACK")
            if _sqlstate(error) not in UNSEEN:
                raise
            record.update(observed=False, locks=[])
            act()
        else:
            _ask(connection, "COMMIT")
        return True

    def looked(self, record: dict[str, Any], connection: Any, act: Any) -> None:
        """Runs it, and notes what it took that was not held before."""
        try:
            record["lock_timeout"], before, files = _look(connection)
        except Exception:  # a transaction that failed before: the statement will say so itself
            act()
            return
        act()
        _, after, now = _look(connection)
        for (relation, mode), (scans, rows) in after.items():
            earlier = [was for (each, _), was in before.items() if each == relation]
            file = str(relation)
            record["locks"].append(
                {
                    "relation": relation,
                    "mode": mode,
                    "new": (relation, mode) not in before,
                    "rewritten": file in files and file in now and files[file] != now[file],
                    "scanned": scans > max((was[0] for was in earlier), default=0),
                    "wrote": rows - max((was[1] for was in earlier), default=0),
                }
            )
        record["observed"] = True

    def place(self) -> dict[str, Any]:
        """Where in the revision's file the statement comes from."""
        frame = sys._getframe()
        line = None
        while frame is not None:
            if self.file is not None and os.path.realpath(frame.f_code.co_filename) == self.file:
                line = frame.f_lineno
                break
            frame = frame.f_back  # type: ignore[assignment]
        return {"line": line, "autocommit": False, "transaction": self.transaction, "lock_timeout": "0"}


def _ask(connection: Any, statement: str) -> Any:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()


def _look(connection: Any) -> tuple[str, dict[tuple[int, str], tuple[int, int]], dict[str, int]]:
    timeout, held, files = _ask(connection, LOOK)
    return (
        timeout,
        {(row[0], row[1]): (row[2] or 0, row[3] or 0) for row in json.loads(held)},
        json.loads(files),
    )


def _sqlstate(error: BaseException | None) -> str | None:
    while error is not None:
        for at in (error, getattr(error, "orig", None)):
            state = getattr(at, "sqlstate", None) or getattr(at, "pgcode", None)
            if state:
                return str(state)
        error = error.__cause__ or error.__context__
    return None


class Project:
    """The project's revisions, and the commands that are given about them."""

    def __init__(self, wish: dict[str, Any]) -> None:
        import alembic
        import sqlalchemy
        from alembic.script import ScriptDirectory

        self.wish = wish
        self.watch = Watch(wish["database"])
        self.watch.install()
        self.versions = {
            "python": sys.version.split()[0],
            "alembic": alembic.__version__,
            "sqlalchemy": sqlalchemy.__version__,
        }
        self.scripts = ScriptDirectory.from_config(self.config())
        self.order = list(reversed(list(self.scripts.walk_revisions())))

    def config(self, buffer: io.StringIO | None = None) -> Any:
        """alembic.ini, with our address in place of its own."""
        import alembic.command
        from alembic.config import Config

        options = argparse.Namespace(
            config=self.wish["ini"], name="alembic", x=list(self.wish["x"]), raiseerr=True, quiet=False, sql=buffer is not None,
            tag=None, autogenerate=False, cmd=(alembic.command.upgrade, ["revision"], ["sql", "tag"]),
        )  # fmt: skip
        more: dict[str, Any] = {} if buffer is None else {"output_buffer": buffer}
        if "toml_file" in inspect.signature(Config).parameters and os.path.isfile("pyproject.toml"):  # noqa: PTH113
            more["toml_file"] = "pyproject.toml"
        config = Config(self.wish["ini"], cmd_opts=options, **more)
        config.set_main_option("sqlalchemy.url", self.wish["url"].replace("%", "%%"))
        return config

    def revisions(self) -> dict[str, Any]:
        """The revisions, in an order in which they can be run."""
        return {
            "versions": self.versions,
            "revisions": [[each.revision, each.doc, each.path] for each in self.order],
        }

    def look(self) -> dict[str, Any]:
        """Whether the project's env.py connects to the database that it was given. No revision is run."""
        found: dict[str, Any] = {"asked": False, "table": None, "schema": None}

        def nothing(heads: Any, context: Any) -> list[Any]:
            found.update(asked=True, table=context.version_table, schema=context.version_table_schema)
            return []

        self.watch.begin(None)
        self._environment(self.config(), nothing)
        return found

    def step(self, revision: str, up: bool) -> dict[str, Any]:
        """Runs one revision, up or down; the statements that it ran."""
        from alembic.runtime.migration import MigrationStep

        script: Any = self.scripts.get_revision(revision)
        make = MigrationStep.upgrade_from_script if up else MigrationStep.downgrade_from_script
        self.watch.begin(script.path)
        self._environment(
            self.config(),
            lambda heads, context: [make(self.scripts.revision_map, script)],
            destination_rev=revision,
        )
        return {"statements": self.watch.seen}

    def stamp(self, revision: str) -> dict[str, Any]:
        """Notes a revision as done, without running it."""
        from alembic.runtime.migration import MigrationStep

        script: Any = self.scripts.get_revision(revision)
        step = MigrationStep.upgrade_from_script(self.scripts.revision_map, script)
        step.migration_fn = lambda **given: None
        self.watch.begin(None)
        self._environment(self.config(), lambda heads, context: [step], destination_rev=revision)
        return {}

    def again(self) -> dict[str, Any]:
        """`alembic upgrade heads` where nothing is left to do."""
        self.watch.begin(None)
        self._environment(
            self.config(),
            lambda heads, context: self.scripts._upgrade_revs("heads", heads),
            destination_rev="heads",
        )
        return {"statements": self.watch.seen}

    def script(self, revision: str) -> dict[str, Any]:
        """What `alembic upgrade --sql` writes for one revision."""
        from alembic.runtime.migration import MigrationStep

        names = [each.revision for each in self.order]
        before = self.order[: names.index(revision)]
        behind = {name for each in before for name in each._normalized_down_revisions}
        start = tuple(each.revision for each in before if each.revision not in behind)
        script: Any = self.scripts.get_revision(revision)
        buffer = io.StringIO()
        self.watch.begin(script.path)
        self._environment(
            self.config(buffer),
            lambda heads, context: [MigrationStep.upgrade_from_script(self.scripts.revision_map, script)],
            as_sql=True, starting_rev=start or None, destination_rev=revision,
        )  # fmt: skip
        return {"sql": buffer.getvalue()}

    def _environment(self, config: Any, function: Any, **options: Any) -> None:
        from alembic.runtime.environment import EnvironmentContext

        with EnvironmentContext(config, self.scripts, fn=function, tag=None, **options):
            self.scripts.run_env()


def _failed(error: BaseException, watch: Watch | None) -> dict[str, Any]:
    """The failure as data; the line is the revision's own, where it has a part in it."""
    file = None if watch is None else watch.file
    line, at = None, error
    while at is not None:
        for frame, number in traceback.walk_tb(at.__traceback__):
            if file is not None and os.path.realpath(frame.f_code.co_filename) == file:
                line = number
        at = at.__cause__ or at.__context__  # type: ignore[assignment]
        if line is not None:
            break
    said = getattr(error, "orig", None) or error
    return {
        "kind": type(error).__name__,
        "message": str(said).strip() or type(said).__name__,
        "sqlstate": _sqlstate(error),
        "statement": getattr(error, "statement", None),
        "line": line,
        "elsewhere": None if watch is None else watch.elsewhere,
    }


def _drivers() -> list[str]:
    return [name for name in ("psycopg", "psycopg2", "asyncpg", "pg8000") if importlib.util.find_spec(name)]


def main() -> None:
    """Answers requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # As the program alembic has it; then the working folder, as `python -m alembic` has it.
    sys.path[0:1] = []
    sys.path.append(os.getcwd())  # noqa: PTH109
    project: Project | None = None
    for line in requests:
        request = json.loads(line)
        command = request.pop("command")
        answer: dict[str, Any]
        try:
            if command == "drivers":
                answer = {"drivers": _drivers()}
            elif command == "open":
                os.environ.clear()
                os.environ.update(request.pop("environ"))
                project = Project(request)
                answer = project.revisions()
            else:
                assert project is not None
                answer = getattr(project, command)(**request)
            if project is not None and project.watch.elsewhere:
                raise Elsewhere(project.watch.elsewhere)
        except BaseException as error:
            traceback.print_exc()
            seen = [] if project is None else project.watch.seen
            answer = {"error": _failed(error, None if project is None else project.watch), "statements": seen}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
