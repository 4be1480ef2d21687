"""The project's scripts (`alembic upgrade --sql`), run by psql on a database of their own, beside the revisions online."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hyperferry.rehearsal.compare import changes

from .client import Client, StepFailed
from .online import cut
from .options import Finding, Level, Revision, RevisionReport
from .place import Place
from .state import Schema, Tools


class Offline:
    """`scripts` are those that could be written: revision, message, SQL."""

    def __init__(self, made: Place, tools: Tools, client: Client) -> None:
        self.made, self.tools, self.client = made, tools, client
        self.scripts: list[tuple[str, str, str]] = []
        self.going = True
        self._known: frozenset[str] = frozenset()
        made.make(made.offline)

    def run(self, report: RevisionReport, online: Schema | None) -> list[Finding]:
        """Writes one revision's script, runs it, and compares with the schema online, where there is one."""
        revision = report.revision
        try:
            script = self.client.script(revision.revision)
        except StepFailed as error:
            self.going = False
            return [_fails(revision, "cannot be written as a script", error.first_line, error.line)]
        self.scripts.append((revision.revision, revision.message, script))
        if not self.going:
            return []
        said = self._psql(script)
        if said is not None:
            self.going = False
            return [_fails(revision, "fails as a script", said, None)]
        report.offline = True
        if online is None:
            return []
        different = changes(online, self.tools.schema(self.made.offline))
        new = [each for each in different if each not in self._known]
        self._known = frozenset(different)
        if not new:
            return []
        return [
            Finding(
                "offline-differs", Level.ERROR,
                "The script comes to another schema than the revision online (gone: online only; left behind: by it only).",
                "what depends on the database's state has to stand in SQL that looks when it runs (a DO block), not in Python.",
                revision.revision, revision.file, revision.upgrade, cut(new),
            )
        ]  # fmt: skip

    def _psql(self, script: str) -> str | None:
        """What psql said where it failed."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "revision.sql"
            file.write_text(script, "utf-8")
            done = self.tools.run(
                "psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file)], self.made.offline
            )
        if done.code == 0:
            return None
        said = [line for line in done.error.splitlines() if "ERROR" in line or "error:" in line]
        first = (said or done.error.splitlines() or ["psql failed"])[0]
        return first.replace(f"psql:{file}:", "line ")


def _fails(revision: Revision, what: str, said: str, line: int | None) -> Finding:
    return Finding(
        "offline-fails", Level.ERROR, f"The revision {what}: {said}",
        "alembic upgrade --sql has no database to ask: let SQL look when it runs. Where nobody uses scripts: --no-offline.",
        revision.revision, revision.file, line or revision.upgrade,
    )  # fmt: skip
