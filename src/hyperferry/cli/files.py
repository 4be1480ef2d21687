"""Files that a command reads or writes beside its output."""

from __future__ import annotations

from pathlib import Path

from hyperferry.errors import Usage


def may_write(option: str, path: Path) -> None:
    """Raises Usage where the result cannot be written there, before the work of making it."""
    if path.is_dir():
        raise Usage(f"{path} is a folder.", remedy=f"name a file with {option}.")
    if not path.absolute().parent.is_dir():
        raise Usage(
            f"The folder of {path} is not there.", remedy=f"make it, or name another file with {option}."
        )


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
