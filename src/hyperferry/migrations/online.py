"""The project's revisions, run by its own env.py on a database of the check's: up, down, and up again."""

from __future__ import annotations

from hyperferry.rehearsal.compare import changes

from . import state, statements
from .client import Client, StepFailed
from .judge import Before, Seen, concurrently, judge, locks_of, unseen_of
from .options import Finding, Level, Revision, RevisionReport
from .place import Place
from .sizes import Sizes
from .state import Schema, Tools

MOST_CHANGES = 20


class Online:
    """`schema` is what the revisions up to now came to. `going` is false after one that fails."""

    def __init__(
        self, made: Place, tools: Tools, client: Client, sizes: Sizes, hypertables: frozenset[tuple[str, ...]]
    ) -> None:
        self.made, self.tools, self.client = made, tools, client
        self.sizes, self.hypertables = sizes, hypertables
        self.version_table = ""
        self.schema: Schema = {}
        self.done: list[Revision] = []
        self.going = True

    def begin(self, version_table: str) -> None:
        """The state before the first revision."""
        self.version_table = version_table
        self.schema = self.tools.schema(self.made.online)

    def run(self, report: RevisionReport) -> list[Finding]:
        """One revision: up; where it is judged down, and up again. What is wrong with it."""
        revision, before = report.revision, self.schema
        there = state.tables(self.made.online)
        own = {oid: each for oid, each in there.items() if each.name.name != self.version_table}
        known = Before(own, self.sizes, self.hypertables)
        try:
            seen = [Seen.of(each) for each in self.client.step(revision.revision, up=True)]
        except StepFailed as error:
            self.going = False
            return [_upgrade_failed(revision, error, known)]
        report.online = True
        self.done.append(revision)
        self.schema = after = self.tools.schema(self.made.online)
        report.locks, report.unseen = locks_of(seen, known), unseen_of(seen)
        if not report.judged:
            return []
        found = judge(revision, seen, known, state.tables(self.made.online))
        of_way = self._down(revision, seen, before, after)
        if of_way is None:
            of_way = self._up_again(revision, after)
        return found + of_way

    def _down(
        self, revision: Revision, seen: list[Seen], before: Schema, after: Schema
    ) -> list[Finding] | None:
        """What is wrong with the downgrade; None where the upgrade is to be run again after it. With a finding, the database
        is as it was before it."""
        line = revision.downgrade or revision.upgrade
        if revision.downgrade is None:
            return [missing(revision, line, "The revision has no downgrade().")]
        try:
            ran = self.client.step(revision.revision, up=False)
        except StepFailed as error:
            if self.tools.schema(self.made.online) != after:
                self._rebuild()
            if error.kind == "NotImplementedError":
                return [missing(revision, line, f"The downgrade gives up: {error.first_line}.")]
            return [failed("downgrade-fails", "The downgrade fails", revision, error, error.line or line)]
        now = self.tools.schema(self.made.online)
        different = changes(before, now)
        if not different:
            return None
        if now == after and any(statements.waits_for_rollout(each.sql) for each in seen):
            return None  # the way back is a rollback's
        if now == after and not any(each["line"] for each in ran):
            self.client.stamp(revision.revision)
            return [missing(revision, line, "The downgrade does nothing, and the upgrade does.")]
        self._rebuild()
        return [
            Finding(
                "downgrade-differs", Level.ERROR,
                "Up and down again do not come to the schema that was there before.",
                "undo in downgrade() what upgrade() does, and nothing else.",
                revision.revision, revision.file, line, cut(different),
            )
        ]  # fmt: skip

    def _up_again(self, revision: Revision, after: Schema) -> list[Finding]:
        try:
            self.client.step(revision.revision, up=True)
        except StepFailed as error:
            self._rebuild()
            line = error.line or revision.upgrade
            what = "After a downgrade the upgrade fails"
            return [failed("upgrade-again-differs", what, revision, error, line)]
        different = changes(after, self.tools.schema(self.made.online))
        if not different:
            return []
        self._rebuild()
        return [
            Finding(
                "upgrade-again-differs", Level.ERROR,
                "After a downgrade the upgrade comes to another schema than the first time.",
                "let downgrade() undo all that upgrade() does.",
                revision.revision, revision.file, revision.upgrade, cut(different),
            )
        ]  # fmt: skip

    def _rebuild(self) -> None:
        """What the revisions come to without a way back in between, from nothing."""
        self.made.make(self.made.online)
        for each in self.done:
            self.client.step(each.revision, up=True)

    def again(self, config: str) -> list[Finding]:
        """A second `upgrade heads` may change nothing: neither the schema, nor a row."""
        try:
            ran = self.client.again()
        except StepFailed as error:
            said = (str(error).strip(),)
            return [_second_run("A second `alembic upgrade heads` fails.", config, said)]
        names = {oid: table.name for oid, table in state.tables(self.made.online).items()}
        written = {
            f"{names[lock['relation']]}: {lock['wrote']} rows by {statements.short(each['sql'])}"
            for each in ran
            for lock in each["locks"]
            if lock["wrote"] > 0 and lock["relation"] in names
        }
        different = [*changes(self.schema, self.tools.schema(self.made.online)), *sorted(written)]
        if not different:
            return []
        what = "A second `alembic upgrade heads` changes something, though there is no revision left to run."
        return [_second_run(what, config, cut(different))]


def missing(revision: Revision, line: int | None, message: str) -> Finding:
    """There is no way back."""
    return Finding(
        "downgrade-missing", Level.ERROR, message,
        "write what undoes the upgrade; where there is no way back on purpose: # hyperferry: accept downgrade-missing",
        revision.revision, revision.file, line,
    )  # fmt: skip


def failed(rule: str, what: str, revision: Revision, error: StepFailed, line: int | None) -> Finding:
    """Something that was run failed."""
    statement = () if error.statement is None else (statements.short(error.statement),)
    more = tuple(str(error).strip().splitlines()[1:6])
    return Finding(
        rule, Level.ERROR, f"{what}: {error.first_line}", "run it on an empty database, and correct what it says.",
        revision.revision, revision.file, line, (*more, *statement),
    )  # fmt: skip


def cut(lines: list[str]) -> tuple[str, ...]:
    """So many that they are read."""
    more = len(lines) - MOST_CHANGES
    return (*lines[:MOST_CHANGES], f"... and {more} more") if more > 0 else tuple(lines)


def _upgrade_failed(revision: Revision, error: StepFailed, known: Before) -> Finding:
    sql = error.statement or (error.statements[-1]["sql"] if error.statements else "")
    line = error.line or revision.upgrade
    impossible = concurrently(revision, sql, line, str(error), known)
    return impossible or failed("upgrade-fails", "The upgrade fails", revision, error, line)


def _second_run(message: str, config: str, details: tuple[str, ...]) -> Finding:
    return Finding(
        "second-run-changes", Level.ERROR, message,
        "what env.py, or a hook of it, does at each run has to look first whether it is done.",
        None, config, None, details,
    )  # fmt: skip
