"""Files that a command reads or writes beside its output."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TextIO

from hyperferry.errors import Usage


def may_write(option: str, path: Path) -> None:
    """Raises Usage where the result cannot be written there, before the work of making it."""
    if path.is_dir():
        raise Usage(f"{path} is a folder.", remedy=f"name a file with {option}.")
    if not path.exists() and not _target(path).parent.is_dir():
        raise Usage(
            f"The folder of {path} is not there.", remedy=f"make it, or name another file with {option}."
        )


def write_whole(path: Path, text: str) -> None:
    """Writes the file whole or not at all; where `path` is a link, the file that it leads to. What is no regular file (a
    device, a pipe), or is this program's own stdout or stderr, is written to as it stands."""
    for stream in (sys.stdout, sys.stderr):
        if _same(path, stream):
            stream.write(text)
            stream.flush()
            return
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            file.write(text)
        return
    target = _target(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _target(path: Path) -> Path:
    """Where the path leads through its links, whether or not anything is there."""
    return Path(os.path.realpath(path))


def _same(path: Path, stream: TextIO) -> bool:
    """Whether the path leads to what the stream writes to: /dev/stdout, or the terminal by its name."""
    with contextlib.suppress(OSError, ValueError):
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    return False


def read_text(path: Path, *, remedy: str = "name a readable file of text.") -> str:
    """The text of a file. Raises Usage."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(
            f"The file {path} cannot be read.",
            facts={"reason": getattr(error, "strerror", None) or error},
            remedy=remedy,
        ) from None
