"""The project's own Python as a process that answers: `inside.py` is the other end."""

from __future__ import annotations

import configparser
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from hyperferry.db.connection import without_password
from hyperferry.errors import Failed, Interrupted, Refused, Usage

INSIDE = Path(__file__).with_name("inside.py")
_DRIVER = re.compile(r"^\s*(postgres(?:ql)?(?:\+\w+)?)://")
_CONNECTING = ("host", "port", "user", "password", "dbname")
_NOT_OURS = ("PGSERVICE", "PGHOSTADDR", "PGOPTIONS")
_LIFTED = re.compile(r"FORCE_\w+_HT")


class StepFailed(Exception):
    """What the project's own code, or the server in answer to it, said. `statements` are those that ran before."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(without_password(answer["error"]["message"]))
        self.kind: str = answer["error"]["kind"]
        self.sqlstate: str | None = answer["error"]["sqlstate"]
        self.statement: str | None = answer["error"]["statement"]
        self.line: int | None = answer["error"]["line"]
        self.statements: list[dict[str, Any]] = list(answer.get("statements", ()))

    @property
    def first_line(self) -> str:
        """What was said, in a line."""
        return str(self).strip().splitlines()[0] if str(self).strip() else self.kind


def url_of(dsn: str, driver: str) -> str:
    """The connection string as SQLAlchemy takes it."""
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    user, password = quote(parts.pop("user", ""), safe=""), quote(parts.pop("password", ""), safe="")
    host, port, database = parts.pop("host", "localhost"), parts.pop("port", "5432"), parts.pop("dbname", "")
    if host.startswith("/"):
        parts["host"], host = host, ""
    who = f"{user}{f':{password}' if password else ''}@" if user else ""
    rest = _query(parts, driver)
    return f"{driver}://{who}{f'[{host}]' if ':' in host else host}:{port}/{quote(database, safe='')}{rest}"


def _query(parts: Mapping[str, str], driver: str) -> str:
    """What of the connection string is to be told the driver: what libpq alone knows is left out where it does not matter, so
    that a project may put another driver in front of the address."""
    said = {
        name: text
        for name, text in parts.items()
        if name not in ("hostaddr", "gssencmode", "application_name")
    }
    if said.get("sslmode") in ("disable", "allow", "prefer"):
        del said["sslmode"]
    if driver.endswith(("+asyncpg", "+pg8000")):
        said = {
            "ssl" if name == "sslmode" else name: text
            for name, text in said.items()
            if name in ("sslmode", "host")
        }
    return f"?{urlencode(said)}" if said else ""


def driver_of(
    wished: str | None, ini: str | None, environ: str | None, there: Iterable[str]
) -> tuple[str, str]:
    """How the address begins that stands in alembic.ini, and in DATABASE_URL: as the project has it, else by a driver that is
    there."""
    if wished is not None:
        return (wished if wished.startswith("postgres") else f"postgresql+{wished}",) * 2
    found = [match[1] if (match := _DRIVER.match(text or "")) else None for text in (ini, environ)]
    spare = next((f"postgresql+{name}" for name in there), "postgresql")
    return found[0] or found[1] or spare, found[1] or found[0] or spare


class Client:
    """A project's Alembic. To be used in a `with`: the process ends with the block."""

    def __init__(
        self, python: str, ini: Path, dsn: str, *, x: tuple[str, ...], env: tuple[str, ...], driver: str | None,
        stop: threading.Event,
    ) -> None:  # fmt: skip
        self.ini, self.dsn, self.stop = ini, dsn, stop
        self._python, self._x, self._env, self._driver = python, x, env, driver
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Client:
        """Starts the process. Raises Usage where there is no such Python."""
        try:
            self._process = subprocess.Popen(
                [self._python, str(INSIDE)],
                env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, encoding="utf-8",
                start_new_session=os.name == "posix",
            )  # fmt: skip
        except OSError as error:
            self._log.close()
            raise Usage(
                f"The Python {self._python} cannot be run.",
                facts={"reason": error.strerror},
                remedy="name the one that the project uses with --python.",
            ) from None
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process."""
        self._end()
        self._log.close()

    def open(self) -> dict[str, Any]:
        """Gives it the address; the project's revisions. Raises Failed where Alembic cannot read the project, Usage for an option
        that cannot be."""
        try:
            there = self._ask("drivers")["drivers"]
            driver, of_variable = driver_of(
                self._driver, _url_in(self.ini), os.environ.get("DATABASE_URL"), there
            )
            parts = {
                name: str(value) for name, value in conninfo_to_dict(self.dsn).items() if value is not None
            }
            words = {
                "url": url_of(self.dsn, of_variable),
                **{name: parts.get(name, "") for name in _CONNECTING},
            }
            return self._ask(
                "open",
                ini=str(self.ini),
                url=url_of(self.dsn, driver),
                x=[_filled(each, words, "-x") for each in self._x],
                database=parts["dbname"],
                environ=self._environment(words),
            )
        except StepFailed as error:
            raise self._not_begun(error) from None

    def look(self) -> dict[str, Any]:
        """See `Project.look`. Raises StepFailed."""
        return self._ask("look")

    def step(self, revision: str, *, up: bool) -> list[dict[str, Any]]:
        """Runs one revision; its statements. Raises StepFailed."""
        found: list[dict[str, Any]] = self._ask("step", revision=revision, up=up)["statements"]
        return found

    def stamp(self, revision: str) -> None:
        """Notes a revision as done. Raises StepFailed."""
        self._ask("stamp", revision=revision)

    def again(self) -> list[dict[str, Any]]:
        """Upgrades where nothing is left to do. Raises StepFailed."""
        found: list[dict[str, Any]] = self._ask("again")["statements"]
        return found

    def script(self, revision: str) -> str:
        """The revision as a script. Raises StepFailed."""
        return str(self._ask("script", revision=revision)["sql"])

    def _environment(self, words: Mapping[str, str]) -> dict[str, str]:
        """The project's environment: every way to name a database that is common leads to ours."""
        environ = {
            name: value
            for name, value in os.environ.items()
            if name not in _NOT_OURS and not _LIFTED.fullmatch(name)
        }
        environ["DATABASE_URL"] = words["url"]
        for name, variable in zip(_CONNECTING, ("HOST", "PORT", "USER", "PASSWORD", "DATABASE"), strict=True):
            environ.pop(f"PG{variable}", None)
            if words[name]:
                environ[f"PG{variable}"] = words[name]
        for each in self._env:
            name, equals, value = each.partition("=")
            if not name or not equals:
                raise Usage(
                    f"--env {each} sets nothing.", remedy="give --env NAME={url}, or NAME={host} and so on."
                )
            environ[name] = _filled(value, words, "--env")
        return environ

    def _ask(self, command: str, **wish: Any) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        line: str | None = None
        try:
            process.stdin.write(json.dumps({"command": command, **wish}) + "\n")
            process.stdin.flush()
            line = self._answer()
        except OSError:
            pass
        if line is None:
            raise Failed(
                "The project's Python ended in the middle of it.",
                facts={"python": self._python, "exit code": process.poll(), "it said": self.said()},
                remedy="run `alembic upgrade head` with the same Python on an empty database, and see to what it says.",
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" not in answer:
            return answer
        if answer["error"]["elsewhere"]:
            raise elsewhere(answer["error"]["elsewhere"], self.ini)
        raise StepFailed(answer)

    def _answer(self) -> str | None:
        while True:
            try:
                return self._answers.get(timeout=0.2)
            except queue.Empty:
                if self.stop.is_set():
                    raise interrupted() from None

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        process.kill()  # nothing of it is needed any more, and its databases go
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._process = None

    def said(self, most: int = 1500) -> str:
        """The end of what the project printed."""
        self._log.seek(0)
        return without_password(self._log.read().decode("utf-8", "replace").strip()[-most:])

    def _not_begun(self, error: StepFailed) -> Failed:
        if error.kind in ("ModuleNotFoundError", "ImportError") and "alembic" in str(error):
            return Failed(
                "Alembic is not installed for the Python that was to run the project.",
                facts={"python": self._python, "it said": str(error)},
                remedy="name the project's own Python with --python, or: pip install 'hyperferry[alembic]'",
            )
        return Failed(
            "Alembic cannot read this project.",
            facts={"configuration": self.ini, "python": self._python, "it said": str(error)},
            remedy="`alembic history` says the same; correct that first.",
        )


def _url_in(ini: Path) -> str | None:
    """The file's own address; None where it has none, or cannot be read, which Alembic will say."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(ini, "utf-8")
        return parser.get("alembic", "sqlalchemy.url", fallback=None)
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None


def elsewhere(where: str, ini: Path) -> Refused:
    """The project does not take the address that it is given."""
    return Refused(
        f"The project connects to {where}, not to the database that was made for this check. It was stopped before "
        "its first statement there.",
        facts={
            "configuration": ini,
            "given": "sqlalchemy.url in Alembic's configuration, DATABASE_URL and libpq's variables in the environment",
        },
        remedy="say by which variable env.py finds its database, such as --env APP_DB_URL={url} or --env DB_HOST={host} "
        "--env DB_NAME={dbname}, or by which argument: -x db={url}.",
    )


def interrupted() -> Interrupted:
    """Interrupted; nothing of it is left."""
    return Interrupted("The check was interrupted.", remedy="run it again: it leaves nothing behind.")


def _filled(text: str, words: Mapping[str, str], option: str) -> str:
    for name in re.findall(r"\{(\w+)\}", text):
        if name not in words:
            raise Usage(
                f"{option} {text}: {{{name}}} stands for nothing.",
                remedy=f"there are {', '.join('{' + each + '}' for each in words)}.",
            )
    return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], text)


def _read(stream: IO[str] | None, answers: queue.Queue[str | None]) -> None:
    try:
        for line in stream or ():
            answers.put(line)
    except (OSError, ValueError):
        pass
    answers.put(None)


def own_python() -> str:
    """The Python that hyperferry runs by."""
    return sys.executable
