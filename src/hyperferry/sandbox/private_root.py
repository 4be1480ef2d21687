"""The private root: PostgreSQL and TimescaleDB from Debian's packages, in a cache folder of our own."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hyperferry.errors import Failed, Usage
from hyperferry.sandbox import apt, elf, places
from hyperferry.sandbox.locks import file_lock

__all__ = ["RELEASES", "Release", "cached_program", "cached_root", "release_named", "root_of"]

#: Raised when what a root holds changes, so that an older cache is not taken for a new one.
LAYOUT = 1

#: Compiled into Debian's PostgreSQL as an absolute path.
ZONES = Path("/usr/share/zoneinfo/UTC")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Release:
    """What `--release` chooses: a suite of Debian and the PostgreSQL that it carries."""

    name: str
    suite: str
    postgres: int

    @property
    def package(self) -> str:
        """The package that brings all others with it."""
        return f"postgresql-{self.postgres}-timescaledb"


RELEASES = {
    "stable": Release("stable", "trixie", 17),
    "testing": Release("testing", "testing", 18),
}


def release_named(name: str) -> Release:
    """The release called `name`; raises `Usage` for any other name."""
    try:
        return RELEASES[name]
    except KeyError:
        raise Usage(
            f"There is no release {name!r}.", remedy=f"Choose one of: {', '.join(RELEASES)}."
        ) from None


def root_of(release: Release) -> Path:
    """Where the `pg_config` of the private root of `release` is, or would be."""
    folder = places.cache_folder() / f"postgresql-{release.postgres}-{release.suite}-{LAYOUT}"
    return folder / f"usr/lib/postgresql/{release.postgres}/bin/pg_config"


def cached_root(release: Release, *, say: Say) -> Path:
    """The `pg_config` of the private root of `release`, made first if it is not there yet.

    `say` gets a line for each step. Raises `Failed` when there is no apt, no network or no such package. The
    root is made in a temporary folder and renamed when it is complete, under a lock, so that what has the
    final name is always whole.
    """
    if not ZONES.exists():
        raise Failed(
            "This machine has no time zone data, which Debian's PostgreSQL takes from the system.",
            facts={"missing": ZONES},
            remedy="Install it: apt-get install tzdata.",
        )
    bin_folder = f"usr/lib/postgresql/{release.postgres}/bin"
    contents = _Contents(
        release.suite,
        (release.package, f"postgresql-client-{release.postgres}"),
        bin_folder,
        f"{bin_folder}/postgres",
        {"release": release.name},
    )
    pg_config = root_of(release)
    _cached(pg_config.relative_to(places.cache_folder()).parts[0], contents, say)
    return pg_config


def cached_program(package: str, program: str, *, suite: str, say: Say) -> Path:
    """The path of a program of one of Debian's packages (`usr/sbin/pgbouncer`), in a private root of its own, made first if
    it is not there yet. Raises as `cached_root` does."""
    contents = _Contents(suite, (package,), str(Path(program).parent), program, {})
    return _cached(f"{package}-{suite}-{LAYOUT}", contents, say) / program


@dataclass(frozen=True)
class _Contents:
    """What a root is to hold: packages of a suite, the folder of the programs that are to run, and one that tells its version."""

    suite: str
    packages: tuple[str, ...]
    programs: str
    version_of: str
    manifest: dict[str, str]


def _cached(name: str, contents: _Contents, say: Say) -> Path:
    account = places.server_account()
    cache = places.make_folder(places.cache_folder())
    final = cache / name
    if (final / contents.version_of).exists():
        return final
    with file_lock(
        cache / f"{final.name}.lock",
        waiting=lambda: say("Another process is fetching the same packages; waiting."),
    ):
        if (final / contents.version_of).exists():
            return final
        for leftover in cache.glob(f".{final.name}-*"):  # of one that died half-way: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=cache))
        work.chmod(0o755)
        try:
            places.require_reachable(work / "root", account)
            _make(work, contents, final, say)
            (work / "root").rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return final


def _make(work: Path, contents: _Contents, final: Path, say: Say) -> None:
    begun = time.monotonic()
    say(f"Fetching {contents.packages[0]} of Debian {contents.suite} with apt ...")
    repository = apt.Repository(work / "apt", apt.machine_mirror(), contents.suite)
    repository.update()
    packages = repository.resolve(contents.packages)
    files = repository.download(packages)
    size = sum(file.stat().st_size for file in files)
    fetched = time.monotonic()
    say(f"Fetched {len(files)} packages, {size / 1e6:.0f} MB, in {fetched - begun:.1f} s; unpacking ...")

    root = work / "root"
    root.mkdir(mode=0o755)
    _merge_usr(root)
    for file in files:
        _unpack(file, root)
    _thin_out(root)
    programs = [path for path in sorted((root / contents.programs).iterdir()) if elf.is_elf(path)]
    elf.point_at_root(root, programs, final=final)
    version = elf.run_inside(root, root / contents.version_of, "--version").splitlines()[0]
    manifest = {
        **contents.manifest,
        "suite": contents.suite,
        "version": version,
        "packages": {package.name: package.version for package in packages},
    }
    (root / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    say(f"Unpacked in {time.monotonic() - fetched:.1f} s: {version}.")


def _merge_usr(root: Path) -> None:
    # Some packages still ship files under /lib, which Debian keeps as links into /usr.
    for name in ("lib", "lib64", "bin", "sbin"):
        (root / "usr" / name).mkdir(parents=True, mode=0o755)
        (root / name).symlink_to(f"usr/{name}")


def _unpack(package: Path, root: Path) -> None:
    # Through tar and not `dpkg-deb -x`, which cannot keep the links that merge /lib into /usr.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as source:
        command = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(root)]
        command += ["--exclude=./usr/share/doc", "--exclude=./usr/share/man", "--exclude=./usr/share/locale"]
        unpacked = subprocess.run(command, stdin=source.stdout, capture_output=True, text=True, check=False)
    if source.returncode != 0 or unpacked.returncode != 0:
        raise Failed(
            "A package could not be unpacked.",
            facts={"package": package.name, "tar says": unpacked.stderr.strip()},
            remedy="Look whether the disk is full; run the command again.",
        )


def _thin_out(root: Path) -> None:
    for library in root.glob("usr/lib/postgresql/*/lib/llvmjit*"):
        library.unlink()
    for folder in root.glob("usr/lib/postgresql/*/lib/bitcode"):
        shutil.rmtree(folder)
