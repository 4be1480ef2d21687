"""A check from the first revision to the last."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from hyperferry.errors import Refused, Usage
from hyperferry.rehearsal.programs import find_programs

from . import pinned, state
from .accept import applied
from .client import Client, StepFailed, interrupted
from .offline import Offline
from .online import Online
from .options import CheckOptions, CheckReport, Finding, Level, Revision, RevisionReport, Say
from .place import Place, place
from .sizes import Sizes
from .source import revision_of
from .state import Tools

_FATAL = ("upgrade-fails", "concurrently-on-hypertable", "offline-fails")
_SILENT = (
    "Nothing says that a table is large, so locks were noted and not judged: --large TABLE, --rows TABLE=N, "
    "or --sizes-from DSN."
)


def check(options: CheckOptions, *, say: Say, stop: threading.Event) -> CheckReport:
    """Runs the project's revisions up, down and up again, and offline, on a server of the check's own; what was found.

    Raises Usage for a project that is not there, Refused where it connects elsewhere or no database can be made, Failed where it
    cannot be run, Interrupted.
    """
    began = time.monotonic()
    if not options.ini.is_file():
        raise Usage(
            f"There is no {options.ini}.",
            remedy="run this in the project's folder, or name the file with --alembic-config.",
        )
    sizes = options.sizes
    if options.sizes_from is not None:
        sizes = sizes.under(state.sizes_from(options.sizes_from))
    with place(
        options.dsn, release=options.release, server=options.server, extension=options.extension, say=say
    ) as made:
        major = made.postgres // 10_000
        tools = Tools(find_programs(major, major, say=say, release=made.release), stop)
        with Client(
            options.python,
            options.ini,
            made.online,
            x=options.x,
            env=options.env,
            driver=options.driver,
            stop=stop,
        ) as client:
            report = Check(options, sizes, made, tools, client, say).run()
    report.seconds = time.monotonic() - began
    return report


class Check:
    """One run. Online and offline go side by side, each until a revision fails there."""

    def __init__(
        self, options: CheckOptions, sizes: Sizes, made: Place, tools: Tools, client: Client, say: Say
    ) -> None:
        self.options, self.made, self.client, self.say = options, made, client, say
        self.stop, self.silent = tools.stop, sizes.silent
        self.report = CheckReport(project=str(options.ini), server=made.description)
        self.online = Online(made, tools, client, sizes, options.hypertables)
        self.offline = Offline(made, tools, client) if options.offline else None

    def run(self) -> CheckReport:
        """All of it."""
        revisions = self._open()
        self.online.begin(self._look())
        since = place_after(self.options.since, revisions)
        if self.silent:
            self.report.notes.append(_SILENT)
        for number, revision in enumerate(revisions):
            if self.stop.is_set():
                raise interrupted()
            self.say(f"{revision.revision} {revision.message}".strip())
            report = RevisionReport(revision, judged=number >= since)
            self.report.revisions.append(report)
            self._run(report)
        if self.online.going and revisions:
            self._add(None, self.online.again(str(self.options.ini)))
        self._pin({each.revision: each for each in revisions})
        return self.report

    def _run(self, report: RevisionReport) -> None:
        findings: list[Finding] = []
        if self.online.going:
            findings += self.online.run(report)
            if not self.online.going:
                self.report.notes.append(
                    f"Nothing after {report.revision.revision} was run online, since that fails."
                )
        if self.offline is not None:
            findings += self.offline.run(report, self.online.schema if report.online else None)
        # What was not to be judged is told only where it cannot be run.
        self._add(report.revision, [each for each in findings if report.judged or each.rule in _FATAL])

    def _open(self) -> list[Revision]:
        found = self.client.open()
        self.report.versions = found["versions"]
        return [revision_of(name, message, file) for name, message, file in found["revisions"]]

    def _look(self) -> str:
        """env.py is run without a revision: where it connects elsewhere, nothing has happened there. The version table's name."""
        try:
            found = self.client.look()
        except StepFailed as error:
            raise Refused(
                "The project's env.py could not be run.",
                facts={"configuration": self.options.ini, "it said": str(error)[-1000:]},
                remedy="`alembic current` with the same Python says the same; --env and -x give it what it needs.",
            ) from None
        if not found["asked"] or not state.is_there(self.made.online, found["table"], found["schema"]):
            raise Refused(
                "The project's env.py ran, and its version table is not in the database that was made for this check.",
                facts={
                    "version table": found["table"]
                    or "never asked for: context.run_migrations() was not called",
                    "configuration": self.options.ini,
                },
                remedy="have env.py connect to sqlalchemy.url, or say by --env or -x where it finds its database; and let it "
                "commit: a query of its own before context.configure() begins a transaction that nobody ends.",
            )
        return str(found["table"])

    def _pin(self, revisions: Mapping[str, Revision]) -> None:
        kept = self.options.expected
        if self.options.pin is None and kept is None:
            return
        scripts = [] if self.offline is None else self.offline.scripts
        if len(scripts) != len(revisions):
            self.report.notes.append(
                "The SQL was neither kept nor compared, since not every revision can be written as a script."
            )
            return
        text = pinned.text_of(scripts)
        if self.options.pin is not None:
            self.options.pin.write_text(text, "utf-8")
            self.report.pinned = str(self.options.pin)
        for each in pinned.compare(kept, scripts) if kept is not None else ():
            revision = revisions.get(each.revision)
            finding = Finding(
                "pin-differs", Level.ERROR,
                f"The revision {each.revision} {each.what} ({self.options.expect}).",
                f"read the difference; where it is meant: hyperferry check-migrations --pin {self.options.expect}",
                each.revision, str(self.options.expect) if revision is None else revision.file,
                None if revision is None else revision.upgrade, each.lines,
            )  # fmt: skip
            self._add(revision, [finding])

    def _add(self, revision: Revision | None, findings: list[Finding]) -> None:
        accepts = self.options.accept | (frozenset() if revision is None else revision.accepts)
        self.report.findings += applied(findings, accepts)


def place_after(wish: str | None, revisions: Sequence[Revision]) -> int:
    """The place of the first revision that is judged: after the one that begins so. Raises Usage."""
    if wish is None:
        return 0
    places = [number for number, each in enumerate(revisions) if each.revision.startswith(wish)]
    exact = [number for number in places if revisions[number].revision == wish]
    if len(exact or places) != 1:
        raise Usage(
            f"--since {wish} names {'several revisions' if places else 'no revision'} of the project.",
            remedy="give the id of one, as `alembic history` shows it.",
        )
    return (exact or places)[0] + 1
