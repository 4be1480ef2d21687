"""Policies: retention, reorder, refresh, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from psycopg import sql

from ..model.declared import Refresh, Retention, Span
from ..model.difference import Confirm, Kind, Step, Unmanaged
from ..model.lifecycle import Drops, JobKind, JobState
from ..model.names import TableName, quoted_if_needed
from ..words import plural
from .outcome import Relation
from .parts import Parts, Turn

NO_LOCK = "none that a writer or reader could meet"
_WORDS = {
    JobKind.RETENTION: "retention",
    JobKind.COMPRESSION: "compression",
    JobKind.REFRESH: "refresh",
    JobKind.REORDER: "reorder",
}
DROPPING = {JobKind.RETENTION}


def job_words(job: JobState) -> str:
    """A policy in words."""
    what = {
        JobKind.RETENTION: _retention_words(job),
        JobKind.COMPRESSION: f"older than {job.after}",
        JobKind.REFRESH: f"from {_ago(job.start_offset, 'the first row')} to {_ago(job.end_offset, 'the last row')}",
        JobKind.REORDER: f"by {quoted_if_needed(job.index or '')}",
    }[job.kind]
    return f"{_WORDS[job.kind]} policy, {what}, every {job.schedule}{'' if job.scheduled else ', paused'}"


def _retention_words(job: JobState) -> str:
    """What goes by a retention policy."""
    if job.created_before is None:
        return f"older than {job.after}"
    made = f"chunks that were made more than {job.created_before} ago, whatever the age of their rows"
    return made if job.after is None else f"{made} (drop_created_before), beside a drop_after of {job.after}"


def _ago(span: Span | None, otherwise: str) -> str:
    return otherwise if span is None else f"{span} ago"


def changed(
    parts: Parts,
    relation: Relation,
    key: str,
    job: JobState,
    schedule: Span | None,
    config: Sequence[tuple[str, Span | None, Span | None]],
    turn: Turn,
    confirm: Confirm | None = None,
) -> None:
    """A policy that is there: changed where it stands, or as it should be. `config`: name, what it is, what it should be. One
    that is paused does nothing of what the file wants: it is to run again."""
    differing = [(name, wish) for name, now, wish in config if not equal(now, wish)]
    other = schedule if schedule is not None and not equal(schedule, job.schedule) else None
    if not differing and other is None and job.scheduled:
        parts.same.append(f"{key}: {job_words(job)}")
        return
    told = [
        f"{name} {now or 'none'} becomes {wish or 'none'}"
        for name, now, wish in config
        if not equal(now, wish)
    ]
    told += [f"every {schedule} instead of every {job.schedule}"] if other is not None else []
    told += [] if job.scheduled else ["it is paused, and runs again"]
    before = [(name, now) for name, now, wish in config if not equal(now, wish)]
    parts.steps.append(
        (
            turn,
            Step(
                key=key,
                kind=Kind.CHANGE,
                what=f"the {_WORDS[job.kind]} policy{relation.words}: {', '.join(told)}",
                why=(
                    "the file has it otherwise; "
                    if job.scheduled
                    else "the file wants it to work, and its next run may come at once, in the background; "
                )
                + "the policy is changed where it stands, and keeps its number and its history",
                statements=(parts.make.alter_job(job.id, other, differing, None if job.scheduled else True),),
                lock=NO_LOCK,
                back=parts.make.alter_job(
                    job.id, job.schedule if other else None, before, None if job.scheduled else False
                ).as_string(None),
                relation=relation.name,
                confirm=confirm if differing or not job.scheduled else None,
            ),
        )
    )


def equal(one: Span | None, other: Span | None) -> bool:
    """Whether two lengths are the same to PostgreSQL: 1 day is 24 hours, 12 months a year, and no month 30 days."""
    if one is None or other is None:
        return one is other
    return (one.months, one.microseconds, one.units) == (other.months, other.microseconds, other.units)


def gone(
    parts: Parts, relation: Relation, key: str, job: JobState | None, statement: sql.Composed, why: str | None
) -> None:
    """A policy that is to go, where `why` or --prune says so; else it is shown as unmanaged."""
    if job is None:
        if why is not None:
            parts.same.append(f"{key}: none")
        return
    if why is None and not parts.pruned(key):
        parts.unmanaged.append(Unmanaged(key, f"{job_words(job)}{relation.words}"))
        return
    parts.steps.append(
        (
            Turn.REMOVED,
            Step(
                key=key,
                kind=Kind.REMOVE,
                what=f"the {job_words(job)}{relation.words}, goes",
                why=why or "the file does not mention it, and --prune names it",
                statements=(statement,),
                lock=NO_LOCK,
                back="declare it in the file again",
                relation=relation.name,
            ),
        )
    )


def retention(parts: Parts, relation: Relation) -> None:
    """The policy that drops chunks: what it would drop at once is told, and has to be confirmed."""
    wish, job = relation.retention, relation.job(JobKind.RETENTION)
    key = relation.key("retention-policy")
    remove = parts.make.remove_retention(relation.name)
    if not isinstance(wish, Retention):
        gone(parts, relation, key, job, remove, "the file says retention = false" if wish is False else None)
        return
    drops = parts.case.readings.drops_of(relation.name)
    drops = replace(drops, losses=tuple(each for each in drops.losses if not _seen_to(parts, each.aggregate)))
    confirm = Confirm(drops=drops) if drops.chunks or drops.tiered else None
    if job is not None and job.created_before is not None:
        _by_age_instead(parts, relation, key, job, wish, drops, remove)
        return
    if job is not None:
        changed(
            parts,
            relation,
            key,
            job,
            wish.schedule,
            (("drop_after", job.after, wish.after),),
            Turn.RETENTION,
            confirm,
        )
        return
    parts.steps.append(
        (
            Turn.RETENTION,
            Step(
                key=key,
                kind=Kind.ADD,
                what=f"chunks{relation.words} older than {wish.after} are dropped by a policy"
                + (f", every {wish.schedule}" if wish.schedule else ""),
                why=f"the file declares it. Its first run comes at once, in the background, and drops {dropped(drops)}",
                statements=(parts.make.add_retention(relation.name, wish.after, wish.schedule),),
                lock="none now; the policy locks each chunk that it drops (ACCESS EXCLUSIVE)",
                back="retention = false in the file; what was dropped does not come back",
                relation=relation.name,
                confirm=confirm,
            ),
        )
    )


def _by_age_instead(
    parts: Parts,
    relation: Relation,
    key: str,
    job: JobState,
    wish: Retention,
    drops: Drops,
    remove: sql.Composed,
) -> None:
    """A policy that goes by when chunks were made is replaced: with both lengths in it, the server would go by one of them."""
    schedule = wish.schedule if wish.schedule is not None else job.schedule
    parts.steps.append(
        (
            Turn.RETENTION,
            Step(
                key=key,
                kind=Kind.CHANGE,
                what=f"chunks{relation.words} older than {wish.after} are dropped by a policy, every {schedule}, instead of "
                f"{_retention_words(job)}",
                why="the file wants retention by the age of rows; the policy that is there cannot be changed to that, and is "
                f"replaced. The first run of the new one comes at once, in the background, and drops {dropped(drops)}",
                statements=(remove, parts.make.add_retention(relation.name, wish.after, schedule)),
                lock="none now; the policy locks each chunk that it drops (ACCESS EXCLUSIVE)",
                back="remove_retention_policy, then add_retention_policy with drop_created_before => "
                f"INTERVAL '{job.created_before}'; what was dropped does not come back",
                relation=relation.name,
                confirm=Confirm(drops=drops) if drops.chunks or drops.tiered else None,
            ),
        )
    )


def _seen_to(parts: Parts, aggregate: TableName) -> bool:
    """Whether an aggregate is refreshed by a step before, after which its losses are looked at again; or goes itself."""
    found = parts.case.named(aggregate)
    if found is None or found.declared is None:
        return parts.pruned(f"aggregate:{aggregate}")
    return found.reading is not None and bool(found.reading.unrefreshed)


def dropped(drops: Drops) -> str:
    """'3 chunks with 1,200 rows, up to 2024-01-01', or 'nothing yet'; and what is not known of tiered chunks."""
    tiered = "tiered chunks that are so old, how many is not known" if drops.tiered else ""
    if not drops.chunks:
        return tiered or "nothing yet"
    about = "" if drops.exact else "about "
    found = f"{plural(len(drops.chunks), 'chunk')} with {about}{plural(drops.rows, 'row')}, up to {drops.until}"
    return f"{found}, and {tiered}" if tiered else found


def reorder(parts: Parts, relation: Relation) -> None:
    """The policy that rewrites chunks in an index's order. Its index cannot be changed where it stands."""
    wish, job = parts.case.declared.reorder, relation.job(JobKind.REORDER)
    remove = parts.make.remove_reorder(relation.name)
    if wish is None or wish is False:
        gone(
            parts,
            relation,
            "reorder-policy",
            job,
            remove,
            "the file says reorder = false" if wish is False else None,
        )
        return
    if job is not None and job.index == wish.index:
        changed(parts, relation, "reorder-policy", job, wish.schedule, (), Turn.POLICIES)
        return
    add = parts.make.add_reorder(relation.name, wish.index)
    parts.steps.append(
        (
            Turn.POLICIES,
            Step(
                key="reorder-policy",
                kind=Kind.ADD if job is None else Kind.CHANGE,
                what=f"closed chunks are rewritten in the order of {quoted_if_needed(wish.index)} by a policy"
                + (f", instead of {quoted_if_needed(job.index or '')}" if job is not None else ""),
                why="the file declares it",
                statements=(add,) if job is None else (remove, add),
                lock="none now; the policy keeps writers of a chunk waiting while it rewrites it, and readers for a moment",
                back="reorder = false in the file",
                relation=relation.name,
            ),
        )
    )


def refresh(parts: Parts, relation: Relation, turn: Turn) -> None:
    """The policy that refreshes an aggregate."""
    wish, job = relation.refresh, _refresh_job(relation)
    key = relation.key("refresh-policy")
    for other in (each for each in relation.jobs if each.kind is JobKind.REFRESH and each is not job):
        parts.unmanaged.append(
            Unmanaged(f"{key}:{other.id}", f"another {job_words(other)}{relation.words}", removable=False)
        )
    if not isinstance(wish, Refresh):
        remove = parts.make.remove_refresh(relation.name)
        gone(parts, relation, key, job, remove, "the file says refresh = false" if wish is False else None)
        return
    if job is not None:
        offsets = (
            ("start_offset", job.start_offset, wish.start_offset),
            ("end_offset", job.end_offset, wish.end_offset),
        )
        changed(parts, relation, key, job, wish.schedule, offsets, turn)
        return
    parts.steps.append(
        (
            turn,
            Step(
                key=key,
                kind=Kind.ADD,
                what=f"{relation.name} is refreshed every {wish.schedule}, from {_ago(wish.start_offset, 'the first row')} to "
                f"{_ago(wish.end_offset, 'the last row')}",
                why="the file declares it",
                statements=(parts.make.add_refresh(relation.name, wish),),
                lock=NO_LOCK,
                back="refresh = false in the file",
                relation=relation.name,
            ),
        )
    )


def _refresh_job(relation: Relation) -> JobState | None:
    """The policy that the file's wish is about: the one that is as it wants, else the first."""
    jobs = [job for job in relation.jobs if job.kind is JobKind.REFRESH]
    wish = relation.refresh
    if isinstance(wish, Refresh):
        for job in jobs:
            if equal(job.start_offset, wish.start_offset) and equal(job.end_offset, wish.end_offset):
                return job
    return jobs[0] if jobs else None
