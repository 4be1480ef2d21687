"""Folders of the sandbox, and the user that its servers run as."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperferry.errors import Failed, Usage

__all__ = [
    "Account",
    "cache_folder",
    "config_file",
    "make_folder",
    "require_posix",
    "require_reachable",
    "server_account",
    "state_folder",
]


@dataclass(frozen=True)
class Account:
    """The user that a server runs as; `switch` is true when that is not the user who asked for it."""

    name: str
    uid: int
    gid: int
    switch: bool

    @property
    def popen_options(self) -> dict[str, Any]:
        """Arguments for `subprocess` that start a program as this user."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def require_posix() -> None:
    """Raise `Failed` on a system where the sandbox cannot run (Windows)."""
    if os.name != "posix":
        raise Failed(
            "The sandbox runs on Linux and macOS only.",
            facts={"system": os.name},
            remedy="Give the connection string of a server with --dsn or DATABASE_URL, or use WSL.",
        )


def server_account() -> Account:
    """The user to run servers as: who we are, or `nobody` when we are root, which PostgreSQL refuses.

    `nobody` and not `postgres`: a sandbox trusts every local connection, and a machine's own clusters belong
    to `postgres`.
    """
    import pwd

    uid = os.geteuid()
    if uid != 0:
        return Account(name=str(uid), uid=uid, gid=os.getegid(), switch=False)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Failed(
            "PostgreSQL refuses to run as root, and this machine has no user `nobody` to run it as.",
            remedy="Run the command as an unprivileged user.",
        ) from None
    return Account(name="nobody", uid=entry.pw_uid, gid=entry.pw_gid, switch=True)


def cache_folder() -> Path:
    """Where downloaded programs are kept: HYPERFERRY_CACHE, else /var/cache for root, else the XDG cache."""
    return _folder("HYPERFERRY_CACHE", Path("/var/cache/hyperferry"), "XDG_CACHE_HOME", ".cache")


def state_folder() -> Path:
    """Where sandboxes keep data and records: HYPERFERRY_STATE, else /var/lib for root, else the XDG state."""
    return _folder("HYPERFERRY_STATE", Path("/var/lib/hyperferry"), "XDG_STATE_HOME", ".local/state")


def config_file() -> Path:
    """The user's list of PostgreSQL installations, which need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "hyperferry" / "servers.toml"


def _folder(variable: str, for_root: Path, xdg_variable: str, home_folder: str) -> Path:
    if own := os.environ.get(variable):
        path = Path(own)
        if not path.is_absolute():
            raise Usage(
                f"{variable} must be an absolute path.",
                facts={variable: own},
                remedy="Set it to a full path.",
            )
        return path
    if os.geteuid() == 0:
        # root's home is closed to the user that the server runs as.
        return for_root
    base = os.environ.get(xdg_variable)
    return (Path(base) if base else Path.home() / home_folder) / "hyperferry"


def make_folder(path: Path) -> Path:
    """Create `path` with its parents, open to be read by all whatever the umask says; gives it back."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:
            made.chmod(0o755)
    except OSError as error:
        raise Failed(
            "A folder of the sandbox could not be made.",
            facts={"folder": path, "reason": error.strerror},
            remedy="Set HYPERFERRY_CACHE and HYPERFERRY_STATE to folders that you can write.",
        ) from error
    return path


def require_reachable(path: Path, account: Account) -> None:
    """Raise `Failed` if `account` cannot pass through every folder above `path`."""
    if not account.switch:
        return
    for folder in reversed(path.resolve().parents):
        mode = folder.stat()
        wanted = stat.S_IXUSR if mode.st_uid == account.uid else stat.S_IXOTH
        if not mode.st_mode & wanted:
            raise Failed(
                "The server's user cannot reach a folder that it needs.",
                facts={"path": path, "closed folder": folder, "user": account.name},
                remedy="Run the command as an unprivileged user, or set HYPERFERRY_CACHE and "
                "HYPERFERRY_STATE to folders whose whole path is open to all.",
            )
