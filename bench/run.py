"""Runs a case on a new server of each release, and says, compares and keeps what it found."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from hyperferry.errors import HyperferryError

from . import kept, markdown, page
from .cases import Measure
from .derived import completed
from .place import Place, machine, place, revision, server_settings
from .result import Measured, Result, joined


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def run(
    name: str, releases: Sequence[str], measure: Measure, *, keep: bool, folder: Path = kept.FOLDER
) -> bool:
    """Measures on each release. What fails on one does not lose what was measured on the other; False where something did."""
    about, servers, parts = machine(), dict[str, dict[str, str]](), list[Measured]()
    began = time.monotonic()
    for release in releases:
        say(f"== {name}, {release}")
        parts.append(_on(release, measure, servers))
    found = joined(parts)
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    result = completed(
        Result(name, revision(), at, about, servers, found.figures, found.ratios, found.curves, found.missing)
    )
    finish(result, print, keep=keep, folder=folder)
    say(f"== {name}: {time.monotonic() - began:.0f} s")
    return not found.missing


def _on(release: str, measure: Measure, servers: dict[str, dict[str, str]]) -> Measured:
    title = release
    try:
        with place(release) as where:
            title = where.title
            _describe(where, servers)
            found = measure(where, say)
            _describe(where, servers)  # the settings that it was measured under: a case may set some
            return found
    except (HyperferryError, psycopg.Error, RuntimeError, ValueError) as error:
        say(f"FAILED: {error}")
        return Measured(missing=(f"{title}: {error}".partition("\n")[0],))


def _describe(where: Place, servers: dict[str, dict[str, str]]) -> None:
    with where.connect() as conn:
        servers[f"{where.title} {where.edition}"] = server_settings(conn)


def finish(result: Result, tell: Callable[[str], None], *, keep: bool, folder: Path = kept.FOLDER) -> None:
    """Prints the result, compares it with what was kept, keeps it and makes the pages anew."""
    for part in markdown.tables(result):
        tell(part)
    for line in kept.worse(result, kept.read(folder)):
        tell(line)
    if keep:
        tell(f"kept: {kept.keep(result, folder)}")
        if folder == kept.FOLDER:
            write_pages()


def write_pages() -> None:
    """bench/results/index.html and docs/speed.md, from what is kept."""
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


def pages() -> dict[Path, str]:
    """The pages as they should be."""
    results = kept.read()
    notes = markdown.NOTES.read_text("utf-8") if markdown.NOTES.exists() else ""
    return {kept.FOLDER / "index.html": page.render(results), markdown.PAGE: markdown.render(results, notes)}
