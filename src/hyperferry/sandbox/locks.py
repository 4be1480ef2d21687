"""A lock between processes that the kernel releases when its holder dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperferry.errors import Failed

__all__ = ["file_lock"]


@contextmanager
def file_lock(
    path: Path, *, timeout: float = 600.0, waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold `path` alone, for as long as the block runs; waits up to `timeout` seconds, else raises `Failed`.

    `waiting` is called once when the lock is not free at first. The file is removed on release, so that
    nothing stays behind; who had it open meanwhile finds out by its inode and opens the new one.
    """
    import fcntl

    deadline = time.monotonic() + timeout
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_named(descriptor, path):
                break
        except BlockingIOError:
            if waiting is not None and not told:
                waiting()
            told = True
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Failed(
                    "Another process holds a lock of the sandbox and does not let go of it.",
                    facts={"lock": path, "waited": f"{timeout:.0f} s"},
                    remedy="Look which process has the file open (fuser, lsof); end it, or try again later.",
                ) from None
            time.sleep(0.05)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _still_named(descriptor: int, path: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)
