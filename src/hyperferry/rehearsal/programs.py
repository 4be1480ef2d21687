"""pg_dump and pg_restore: where they are, and how they are called without showing a password to the process list."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hyperferry.db.connection import without_password
from hyperferry.errors import Failed, HyperferryError, Interrupted, Refused
from hyperferry.sandbox.installation import find_installation, installed

from .options import Say

SUFFIX = ".exe" if os.name == "nt" else ""


@dataclass(frozen=True)
class Programs:
    """A folder with pg_dump and pg_restore of one major version."""

    folder: Path
    major: int


def find_programs(needed: int, preferred: int, *, say: Say, release: str | None = None) -> Programs:
    """A pg_dump of major version `needed` or newer (it refuses a newer server than itself): of `preferred` if there is
    one, else the oldest that will do. Raises Failed where there is none and none can be fetched."""
    found = [each for folder in _folders() if (each := _at(folder)) is not None]
    fit = sorted(
        (each for each in found if each.major >= needed),
        key=lambda each: (each.major != preferred, each.major),
    )
    if fit:
        return fit[0]
    reason: object = "none that can be fetched"
    try:
        wanted = "testing" if needed > 17 else release or "stable"
        fetched = _at(find_installation(say=say, release=wanted).bin_dir)
        if fetched is not None and fetched.major >= needed:
            return fetched
    except HyperferryError as error:
        reason = error.message
    raise Failed(
        f"There is no pg_dump here that can read a server of PostgreSQL {needed}.",
        facts={
            "found": ", ".join(f"{each.folder} ({each.major})" for each in found) or "none",
            "fetching one": reason,
        },
        remedy=f"install PostgreSQL's client programs, version {needed} or newer, and have them in PATH.",
    )


def _folders() -> list[Path]:
    on_path = shutil.which("pg_dump")
    folders = [Path(on_path).parent] if on_path else []
    folders += Path("/usr/lib/postgresql").glob("*/bin")
    if os.name == "posix":
        folders += [each.bin_dir for each in installed()]
    return folders


def _at(folder: Path) -> Programs | None:
    if not all((folder / f"{name}{SUFFIX}").exists() for name in ("pg_dump", "pg_restore")):
        return None
    try:
        done = subprocess.run(
            [str(folder / f"pg_dump{SUFFIX}"), "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    version = re.search(r"(\d+)", done.stdout)
    return Programs(folder, int(version[1])) if done.returncode == 0 and version else None


def connection(dsn: str, *, options: str = "") -> tuple[dict[str, str], str]:
    """The environment and the connection string by which a program of libpq comes to `dsn` and to no other server. All parts that
    are no secret stand in the string, for a service file would win over variables; the password stands in the environment, for
    everybody can read arguments. `options` are added to those of the connection. Raises Refused for a secret that has no
    variable."""
    values = dict(os.environ)
    known = {each.keyword.decode(): each for each in pq.Conninfo.get_defaults()}
    said: dict[str, str] = {}
    for name, value in conninfo_to_dict(dsn).items():
        if value is None:
            continue
        if name not in known or known[name].dispchar != b"*":
            said[name] = str(value)
        elif name == "password":
            values["PGPASSWORD"] = str(value)
            if "service" not in said:
                values.pop("PGSERVICE", None)  # its password would win
        else:
            raise Refused(
                f"The connection string holds {name}, which pg_dump can be given only where everybody could read it.",
                remedy=f"use a key without a password of its own, or name {name} in a service file (PGSERVICE).",
            )
    if options:
        said["options"] = f"{said.get('options', values.get('PGOPTIONS', ''))} {options}".strip()
    values |= {"LC_ALL": "C", "PGAPPNAME": "hyperferry rehearse"}
    values.pop("PGCLIENTENCODING", None)  # the database's own lacks nothing that stands in it
    return values, make_conninfo(**said)


@dataclass(frozen=True)
class Done:
    """How a program ended. `error` is what it wrote to stderr, without passwords."""

    code: int
    output: str
    error: str


def run(
    programs: Programs, name: str, arguments: list[str], env: dict[str, str], *, stop: threading.Event
) -> Done:
    """Runs a program to its end. Raises Interrupted, with the program ended, when `stop` is set."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        process = subprocess.Popen(
            [str(programs.folder / f"{name}{SUFFIX}"), *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=error,
            # Ctrl-C is ours to answer: the terminal would send it to the program as well.
            start_new_session=os.name == "posix",
        )
        try:
            while True:
                try:
                    process.wait(0.2)
                    break
                except subprocess.TimeoutExpired:
                    if stop.is_set():
                        raise interrupted() from None
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        texts = []
        for file in (output, error):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        return Done(process.returncode, texts[0], without_password(texts[1]))


def interrupted() -> Interrupted:
    """The rehearsal was interrupted; nothing of it is left."""
    return Interrupted(
        "The rehearsal was interrupted.",
        remedy="run it again: it leaves nothing behind, and the table was only read.",
    )
