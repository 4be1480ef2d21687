"""Which PostgreSQL a sandbox runs: the order of search."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hyperferry.errors import Failed, HyperferryError, Usage
from hyperferry.sandbox import places
from hyperferry.sandbox.private_root import RELEASES, Say, cached_root, release_named, root_of

__all__ = ["Installation", "find_installation", "installed", "listed_servers"]

ELSE = (
    "Any of these serves instead:\n"
    "  a server that you have: --dsn postgresql://USER@HOST/DATABASE, or DATABASE_URL\n"
    "  PostgreSQL with TimescaleDB on this machine: hyperferry sandbox up --pg-config /path/of/pg_config\n"
    "  docker: docker run -d -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust "
    "timescale/timescaledb:latest-pg17\n"
    "          and then --dsn postgresql://postgres@127.0.0.1:5432/postgres"
)


@dataclass(frozen=True)
class Installation:
    """Programs of one PostgreSQL with TimescaleDB; `origin` says in words where it comes from."""

    pg_config: Path
    bin_dir: Path
    lib_dir: Path
    share_dir: Path
    major: int
    origin: str

    def program(self, name: str) -> Path:
        """The path of one of its programs; raises `Failed` if it has none of that name."""
        path = self.bin_dir / name
        if not path.exists():
            raise Failed(
                f"The PostgreSQL installation has no program {name}.",
                facts={"folder": self.bin_dir},
                remedy="Install PostgreSQL's server and client packages, or choose another with --pg-config.",
            )
        return path

    @property
    def community(self) -> bool:
        """True if its TimescaleDB is the Community edition (which can run as the Apache one as well)."""
        return any(self.lib_dir.glob("timescaledb-tsl-*"))

    @property
    def timescaledb(self) -> str:
        """The version of its TimescaleDB, '' where its control file does not say."""
        control = (self.share_dir / "extension" / "timescaledb.control").read_text("utf-8")
        found = re.search(r"^default_version\s*=\s*'([^']*)'", control, re.M)
        return found[1] if found else ""

    def has_library(self, name: str) -> bool:
        """True if the server could preload the library `name`."""
        return any((self.lib_dir / f"{name}{suffix}").exists() for suffix in (".so", ".dylib"))


def find_installation(
    *, say: Say, release: str | None = None, pg_config: Path | None = None, server: str | None = None
) -> Installation:
    """The first of: `pg_config`, `server` by its name in servers.toml, the first listed there, one on this
    machine that has TimescaleDB, the private root. `release` asks for the private root of that name.

    Raises `Usage` for more than one wish or a wrong one, `Failed` when nothing can be had.
    """
    if sum(wish is not None for wish in (release, pg_config, server)) > 1:
        raise Usage(
            "Only one of --release, --pg-config and --server can be given.", remedy="Leave the others out."
        )
    if pg_config is not None:
        return describe(pg_config, f"--pg-config {pg_config}")
    if server is not None:
        return _listed(server)
    if release is None:
        for name in listed_servers():
            return _listed(name)
        if here := _on_this_machine():
            return here
    wanted = release_named(release) if release is not None else RELEASES["stable"]
    try:
        path = cached_root(wanted, say=say)
    except HyperferryError as error:
        if isinstance(error, Usage):
            raise
        error.remedy = f"{error.remedy}\n{ELSE}" if error.remedy else ELSE
        raise
    return describe(path, f"release {wanted.name} (Debian {wanted.suite})")


def listed_servers() -> dict[str, Path]:
    """The installations that the user's servers.toml lists, name to path of pg_config; empty without it."""
    file = places.config_file()
    try:
        whole = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise Usage("The list of servers cannot be read.", facts={"file": file, "reason": error}) from error
    listed = whole.get("servers", {})
    # A line outside the table would be passed over in silence.
    if (
        set(whole) - {"servers"}
        or not isinstance(listed, dict)
        or not all(isinstance(path, str) for path in listed.values())
    ):
        raise Usage(
            "The list of servers is not what it should be.",
            facts={"file": file},
            remedy='Write a table [servers] with lines of the form: name = "/path/of/pg_config"',
        )
    return {name: Path(path).expanduser() for name, path in listed.items()}


def installed() -> list[Installation]:
    """The installations that are there without fetching anything: listed, of this machine, and private roots
    fetched earlier."""
    found = []
    for origin, path in (
        *((f"server {name} of {places.config_file()}", path) for name, path in listed_servers().items()),
        *((f"PostgreSQL of this machine ({path})", path) for path in _of_this_machine()),
        *((f"release {each.name} (Debian {each.suite})", root_of(each)) for each in RELEASES.values()),
    ):
        try:
            found.append(describe(path, origin))
        except Usage:
            continue
    return found


def describe(pg_config: Path, origin: str) -> Installation:
    """The installation that `pg_config` belongs to; raises `Usage` if it is none with TimescaleDB."""
    command = [str(pg_config), "--bindir", "--pkglibdir", "--sharedir", "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        bin_dir, lib_dir, share_dir, version = done.stdout.splitlines()
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise Usage(
            "This is not a pg_config that answers.",
            facts={"path": pg_config, "origin": origin, "reason": error},
            remedy="Give the path of the program pg_config of the PostgreSQL to run.",
        ) from error
    control = Path(share_dir) / "extension" / "timescaledb.control"
    for needed in (control, Path(bin_dir) / "postgres"):
        if not needed.exists():
            raise Usage(
                "This PostgreSQL installation cannot serve as a sandbox.",
                facts={"pg_config": pg_config, "version": version, "missing": needed},
                remedy="Install PostgreSQL's server with TimescaleDB there, or choose another.",
            )
    number = re.search(r"(\d+)", version)
    return Installation(
        pg_config=Path(pg_config),
        bin_dir=Path(bin_dir),
        lib_dir=Path(lib_dir),
        share_dir=Path(share_dir),
        major=int(number.group(1)) if number else 0,
        origin=origin,
    )


def _listed(name: str) -> Installation:
    servers = listed_servers()
    if name not in servers:
        raise Usage(
            f"No server is called {name!r}.",
            facts={"file": places.config_file(), "listed": ", ".join(servers) or "none"},
            remedy="Add it to the file, in the table [servers], or give --pg-config.",
        )
    return describe(servers[name], f"server {name} of {places.config_file()}")


def _of_this_machine() -> list[Path]:
    candidates = [Path(found)] if (found := shutil.which("pg_config")) else []
    versions = Path("/usr/lib/postgresql").glob("*/bin/pg_config")
    return candidates + sorted(versions, key=lambda path: _number(path.parts[4]), reverse=True)


def _on_this_machine() -> Installation | None:
    for candidate in _of_this_machine():
        try:
            return describe(candidate, f"PostgreSQL of this machine ({candidate})")
        except Usage:
            continue
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
