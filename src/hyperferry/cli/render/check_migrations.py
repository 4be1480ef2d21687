"""A check of migrations: for people, and as GitHub's annotations."""

from __future__ import annotations

import os
from pathlib import Path

from hyperferry.migrations import CheckReport, Finding, Level, RevisionReport
from hyperferry.words import duration, plural

from .text import Line

_STYLES = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.ACCEPTED: "dim"}
_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning"}


def check_lines(report: CheckReport) -> list[Line]:
    """Where it ran, each revision with the locks that it took, each finding, and what it comes to."""
    versions = report.versions
    lines = [
        Line(report.project, mark="project"),
        Line(
            f"{report.server}; Alembic {versions['alembic']}, SQLAlchemy {versions['sqlalchemy']}",
            mark="on",
            indent=2,
        ),
    ]
    for each in report.revisions:
        lines += _revision(each)
        lines += _findings([found for found in report.findings if found.revision == each.revision.revision])
    known = {each.revision.revision for each in report.revisions}
    lines += _findings([found for found in report.findings if found.revision not in known])
    lines += [Line(note, mark="note", mark_style="bold cyan") for note in report.notes]
    if report.pinned is not None:
        lines.append(
            Line(f"The SQL of {plural(len(report.revisions), 'revision')} was written to {report.pinned}.")
        )
    numbers = {level: sum(1 for each in report.findings if each.level is level) for level in Level}
    counted = f"{plural(numbers[Level.ERROR], 'error')}, {plural(numbers[Level.WARNING], 'warning')}"
    counted += f", {numbers[Level.ACCEPTED]} accepted" if numbers[Level.ACCEPTED] else ""
    judged = plural(sum(1 for each in report.revisions if each.judged), "revision")
    style = "bold green" if report.passed else "bold red"
    lines.append(Line(f"{judged} judged: {counted} ({duration(report.seconds)}).", style=style))
    return lines


def github_lines(report: CheckReport, root: Path) -> list[str]:
    """A workflow command of GitHub's for each finding that is not accepted, with paths from the root of the checkout."""
    lines = []
    for each in report.findings:
        if each.level is Level.ACCEPTED:
            continue
        place = []
        if each.file is not None:
            place.append(f"file={_property(_relative(each.file, root))}")
            place.append(f"line={each.line or 1}")
        place.append(f"title={_property(f'hyperferry {each.rule}')}")
        text = "\n".join([each.message, *each.details, f"What to do: {each.remedy}"])
        lines.append(f"::{_COMMANDS[each.level]} {','.join(place)}::{_data(text)}")
    return lines


def _revision(each: RevisionReport) -> list[Line]:
    ways = [word for word, yes in (("online", each.online), ("offline", each.offline)) if yes] or ["not run"]
    judged = "" if each.judged else ", not judged"
    revision = each.revision
    lines = [Line(f"{revision.message} ({', '.join(ways)}{judged})", mark=revision.revision)]
    for lock in each.locks if each.judged else ():
        marks = "".join(
            f", {word}" for word, yes in (("rewritten", lock.rewritten), ("read", lock.scanned)) if yes
        )
        where = f"line {lock.line}: " if lock.line is not None else ""
        lines.append(
            Line(f"{lock.table}{marks}: {where}{lock.statement}", mark=lock.mode, indent=2, mark_style="dim")
        )
    lines += [
        Line(text, mark="locks not seen", indent=2, mark_style="dim") for text in each.unseen if each.judged
    ]
    return lines


def _findings(found: list[Finding]) -> list[Line]:
    lines: list[Line] = []
    for each in found:
        where = (
            ""
            if each.file is None
            else f" {_relative(each.file, Path.cwd())}{'' if each.line is None else f':{each.line}'}"
        )
        lines.append(
            Line(
                each.message,
                indent=2,
                mark=f"{each.level} {each.rule}{where}:",
                mark_style=_STYLES[each.level],
            )
        )
        lines += [Line(detail, indent=4) for detail in each.details]
        if each.level is not Level.ACCEPTED:
            lines.append(Line(each.remedy, indent=4, mark="What to do:"))
    return lines


def _relative(file: str, root: Path) -> str:
    path = Path(file).absolute()
    try:
        return path.relative_to(root.absolute()).as_posix()
    except ValueError:
        return path.as_posix() if os.name == "posix" else str(path)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
