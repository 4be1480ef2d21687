"""Sandboxes by name: up, down, status."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from hyperferry.errors import Failed, Refused, Usage
from hyperferry.sandbox import places
from hyperferry.sandbox.cluster import Answer, Cluster, dsn
from hyperferry.sandbox.installation import Installation, describe, find_installation
from hyperferry.sandbox.locks import file_lock
from hyperferry.sandbox.private_root import Say
from hyperferry.sandbox.process import stop_server

__all__ = ["Sandbox", "down", "get", "server", "status", "up"]

DEFAULT_NAME = "default"


@dataclass(frozen=True)
class Sandbox:
    """One sandbox. `state` is `running` or `stopped`; versions and edition are those of its last start."""

    name: str
    dsn: str
    postgres_version: str
    timescaledb_version: str
    edition: str
    data_dir: Path
    state: str
    port: int
    pg_config: Path
    bin_dir: Path
    origin: str
    fast: bool

    def program(self, name: str) -> Path:
        """The path of one of the server's own programs (psql, pg_dump, ...); raises `Failed` without it."""
        path = self.bin_dir / name
        if not path.exists():
            raise Failed(
                f"This sandbox's PostgreSQL has no program {name}.",
                facts={"folder": self.bin_dir},
                remedy="Install PostgreSQL's client programs there.",
            )
        return path


def up(
    name: str = DEFAULT_NAME,
    *,
    release: str | None = None,
    pg_config: Path | str | None = None,
    server: str | None = None,
    fast: bool = False,
    settings: Mapping[str, str] | None = None,
    say: Say = lambda line: None,
) -> Sandbox:
    """The running sandbox `name`: the one that is there, started again if it was stopped, else a new one.

    `release`, `pg_config` and `server` choose the installation (see `find_installation`); `fast` makes a new
    one without fsync, `settings` gives it lines for postgresql.conf; `say` gets a line for each slow step. Two
    calls at once give the same server. Raises `Usage` for a wrong name or wish, `Refused` if `name` runs another
    installation than the one asked for, `Failed` if no server can be had.
    """
    wanted = Path(pg_config) if pg_config is not None else None
    with _held(name, say) as folder:
        found = _read(folder)
        if found is not None:
            if release is not None or wanted is not None or server is not None:
                asked = find_installation(say=say, release=release, pg_config=wanted, server=server)
                _refuse_other(found, asked)
            return _running(found, folder, say)
        _clear(folder)
        installation = find_installation(say=say, release=release, pg_config=wanted, server=server)
        account = places.server_account()
        places.require_reachable(installation.bin_dir / "postgres", account)
        places.require_reachable(folder, account)
        say(f"Starting PostgreSQL {installation.major} of {installation.origin} ...")
        cluster = Cluster(folder, installation, account)
        try:
            cluster.create(fast=fast, settings=settings)
            cluster.add_extension()
            port = cluster.start()
            made = _describe(name, cluster, port, cluster.ask(port), fast)
        except BaseException:
            _clear(folder)
            raise
        _write(folder, made)
        return made


def down(name: str = DEFAULT_NAME, *, say: Say = lambda line: None) -> bool:
    """Stop sandbox `name` and delete its data; False if there was none."""
    with _held(name, say) as folder:
        if not folder.exists():
            return False
        _clear(folder)
        return True


def status(name: str | None = None) -> list[Sandbox]:
    """All sandboxes of this user, or the one called `name`, with what they are doing now."""
    places.require_posix()
    base = _base()
    names = [_checked(name)] if name is not None else sorted(p.name for p in base.glob("*") if p.is_dir())
    recorded = (_read(base / each) for each in names)
    return [_current(sandbox, base / sandbox.name) for sandbox in recorded if sandbox is not None]


def get(name: str = DEFAULT_NAME) -> Sandbox:
    """The running sandbox `name`; raises `Failed` if there is none or it does not run."""
    found = status(name)
    if not found or found[0].state != "running":
        raise Failed(
            f"There is no running sandbox {name!r}.",
            facts={"state": found[0].state if found else "not there"},
            remedy=f"Run: hyperferry sandbox up --name {name}",
        )
    return found[0]


@contextmanager
def server(
    name: str | None = None,
    *,
    release: str | None = None,
    pg_config: Path | str | None = None,
    fast: bool = False,
    keep: bool = False,
    say: Say = lambda line: None,
) -> Iterator[Sandbox]:
    """A sandbox for the length of a block, removed at its end unless `keep`; without `name` a new one.

    Other arguments and errors as for `up`.
    """
    chosen = name or f"tmp-{uuid.uuid4().hex[:12]}"
    sandbox = up(chosen, release=release, pg_config=pg_config, fast=fast, say=say)
    try:
        yield sandbox
    finally:
        if not keep:
            down(chosen)


@contextmanager
def _held(name: str, say: Say) -> Iterator[Path]:
    places.require_posix()
    _checked(name)
    base = places.make_folder(_base())
    lock = base / f"{name}.lock"
    with file_lock(lock, waiting=lambda: say(f"Another process works on sandbox {name}; waiting.")):
        yield base / name


def _base() -> Path:
    return places.state_folder() / "sandbox"


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,39}", name):
        raise Usage(
            f"{name!r} cannot be the name of a sandbox.",
            remedy="Use up to 40 letters, digits, hyphens and underscores, and no hyphen first.",
        )
    return name


def _describe(name: str, cluster: Cluster, port: int, answer: Answer | None, fast: bool) -> Sandbox:
    if answer is None:
        raise Failed("The server started and does not answer.", facts={"port": port, "log": cluster.log})
    return Sandbox(
        name=name,
        dsn=dsn(port),
        postgres_version=answer.postgres_version,
        timescaledb_version=answer.timescaledb_version,
        edition=answer.edition,
        data_dir=cluster.data_dir,
        state="running",
        port=port,
        pg_config=cluster.installation.pg_config,
        bin_dir=cluster.installation.bin_dir,
        origin=cluster.installation.origin,
        fast=fast,
    )


def _running(found: Sandbox, folder: Path, say: Say) -> Sandbox:
    installation = describe(found.pg_config, found.origin)
    cluster = Cluster(folder, installation, places.server_account())
    if (answer := cluster.ask(found.port)) is not None:
        return _describe(found.name, cluster, found.port, answer, found.fast)
    say(f"Sandbox {found.name} was stopped; starting it again with its data ...")
    port = cluster.start(port=found.port)
    started = _describe(found.name, cluster, port, cluster.ask(port), found.fast)
    _write(folder, started)
    return started


def _refuse_other(found: Sandbox, asked: Installation) -> None:
    if asked.bin_dir.resolve() != found.bin_dir.resolve():
        raise Refused(
            f"The sandbox {found.name!r} is there already, with another PostgreSQL than the one asked for.",
            facts={"there": found.origin, "asked for": asked.origin},
            remedy=f"Choose another --name, or remove it first: hyperferry sandbox down --name {found.name}",
        )


def _current(found: Sandbox, folder: Path) -> Sandbox:
    programs = Installation(found.pg_config, found.bin_dir, Path(), Path(), 0, found.origin)
    answer = Cluster(folder, programs, places.server_account()).ask(found.port)
    return Sandbox(**{**asdict(found), "state": "stopped" if answer is None else "running"})


def _clear(folder: Path) -> None:
    """Remove what a sandbox, or the making of one that died half-way, left in `folder`."""
    if not folder.exists():
        return
    stop_server(folder / "data")
    shutil.rmtree(folder)


def _read(folder: Path) -> Sandbox | None:
    try:
        values = json.loads((folder / "sandbox.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    paths = {key: Path(values[key]) for key in ("data_dir", "pg_config", "bin_dir")}
    return Sandbox(**{**values, **paths})


def _write(folder: Path, sandbox: Sandbox) -> None:
    record = folder / "sandbox.json"
    draft = record.with_suffix(".new")
    draft.write_text(json.dumps(asdict(sandbox), default=str, indent=1) + "\n", encoding="utf-8")
    draft.replace(record)
