"""Stops a server by its data folder alone: also one that was half made, or whose programs are gone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from hyperferry.errors import Failed

__all__ = ["server_process", "stop_server"]


def server_process(data_dir: Path) -> int | None:
    """The process id of the server of `data_dir`; None if none runs.

    The number in the pid file is not enough: after a crash of the machine it may be another process's.
    """
    try:
        number = int((data_dir / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    if Path("/proc/self/cwd").exists():
        try:
            return number if Path(f"/proc/{number}/cwd").readlink() == data_dir.resolve() else None
        except OSError:
            return None
    try:
        os.kill(number, 0)
    except OSError:
        return None
    return number


def stop_server(data_dir: Path, *, patience: float = 30.0) -> None:
    """Stop the server of `data_dir` and wait for its end; none running is no error.

    Sessions are ended at once; after `patience` seconds the server is stopped without a last checkpoint, and
    after as many again `Failed` is raised.
    """
    for sign in (signal.SIGINT, signal.SIGQUIT):  # PostgreSQL's fast and immediate shutdown
        process = server_process(data_dir)
        if process is None:
            return
        os.kill(process, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if server_process(data_dir) is None:
                return
            time.sleep(0.05)
    raise Failed(
        "The server does not stop.",
        facts={"data": data_dir, "process": server_process(data_dir)},
        remedy="End that process, then run the command again.",
    )
