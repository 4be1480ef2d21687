"""Compression: its settings, and the policy."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.declared import Compression, OrderBy, Span
from ..model.difference import Kind, Step, Unmanaged
from ..model.lifecycle import JobKind
from .outcome import Relation
from .parts import Parts, Turn
from .policies import changed, gone
from .statements import order_text


def settings(parts: Parts, relation: Relation, turn: Turn) -> None:
    """Compression is enabled, its settings are changed, or it is taken off."""
    wish, now = relation.compression, relation.state_compression
    key = relation.key("compression")
    if wish is None:
        if now.enabled and not parts.pruned(key):
            parts.unmanaged.append(
                Unmanaged(key, f"compression{relation.words}, {_shown(now.segment_by, now.order_by)}")
            )
        if not (now.enabled and parts.pruned(key)):
            return
        wish = Compression(enabled=False)
    if not wish.enabled:
        if now.enabled:
            parts.steps.append((Turn.DROPPED, _off(parts, relation, key)))
        else:
            parts.same.append(f"{key}: off")
        return
    segment_by = now.segment_by if wish.segment_by is None and now.enabled else wish.segment_by
    # Where the database has no order of its own, there is none to be kept: TimescaleDB chooses one for each chunk.
    order_by = (now.order_by or None) if wish.order_by is None and now.enabled else wish.order_by
    if not settings_differ(relation):
        parts.same.append(f"{key}: {_shown(now.segment_by, now.order_by)}")
        return
    parts.steps.append((turn, _on(parts, relation, key, segment_by, completed(relation, segment_by, order_by))))


def settings_differ(relation: Relation) -> bool:
    """Whether the file wants compression otherwise than it is; what it does not say of the settings stays as it is."""
    wish, now = relation.compression, relation.state_compression
    if wish is None or not wish.enabled:
        return False
    if not now.enabled:
        return True
    segment_by = now.segment_by if wish.segment_by is None else wish.segment_by
    order_by = now.order_by if wish.order_by is None else completed(relation, segment_by, wish.order_by)
    return segment_by != now.segment_by or _orders(order_by) != _orders(now.order_by)


def completed(
    relation: Relation, segment_by: Sequence[str] | None, order_by: Sequence[OrderBy] | None
) -> Sequence[OrderBy] | None:
    """An order as TimescaleDB keeps it: the time comes last, newest first, where it is named neither there nor among the
    segments."""
    time = relation.time_column
    if order_by is None or time is None or time in (*(segment_by or ()), *(each.column for each in order_by)):
        return order_by
    return (*order_by, OrderBy(time, descending=True, nulls_first=True))


def _on(
    parts: Parts,
    relation: Relation,
    key: str,
    segment_by: Sequence[str] | None,
    order_by: Sequence[OrderBy] | None,
) -> Step:
    now = relation.state_compression
    wish = _shown(segment_by, order_by)
    notes: tuple[str, ...] = ()
    if relation.compressed:
        notes = (
            f"{relation.compressed:,} of {relation.chunks:,} chunks are compressed by other settings, and stay so: "
            f"decompress and compress "
            "a chunk again to change that.",
        )
    return Step(
        key=key,
        kind=Kind.CHANGE if now.enabled else Kind.ADD,
        what=f"compression{relation.words} {'is' if not now.enabled else 'becomes'} {wish}"
        + (f", instead of {_shown(now.segment_by, now.order_by)}" if now.enabled else ""),
        why="the file declares it; it compresses nothing by itself, it says how chunks will be compressed",
        statements=(parts.make.compression(relation.name, bool(relation.suffix), segment_by, order_by),),
        lock="ACCESS EXCLUSIVE, for milliseconds",
        back="the same statement with the settings as they were"
        if now.enabled
        else "compression = false in the file",
        relation=relation.name,
        lock_mode="ACCESS EXCLUSIVE",
        notes=notes,
    )


def _off(parts: Parts, relation: Relation, key: str) -> Step:
    now = relation.state_compression
    return Step(
        key=key,
        kind=Kind.REMOVE,
        what=f"compression{relation.words} is taken off",
        why="the file says compression = false"
        if relation.compression is not None
        else "the file does not mention it, and --prune names it",
        statements=(parts.make.no_compression(relation.name, bool(relation.suffix)),),
        lock="ACCESS EXCLUSIVE, for milliseconds",
        back=f"[compression] in the file, {_shown(now.segment_by, now.order_by)}",
        relation=relation.name,
        lock_mode="ACCESS EXCLUSIVE",
    )


def policy(parts: Parts, relation: Relation) -> None:
    """The policy that compresses chunks of an age."""
    wish, job = relation.compression, relation.job(JobKind.COMPRESSION)
    key = relation.key("compression-policy")
    if wish is not None and (not wish.enabled or wish.after is False):
        gone(
            parts,
            relation,
            key,
            job,
            parts.make.remove_compression(relation.name),
            "the file says so; chunks stay compressed",
        )
        return
    if wish is None or wish.after is None:
        if job is not None and wish is None and parts.pruned(relation.key("compression")):
            gone(
                parts,
                relation,
                key,
                job,
                parts.make.remove_compression(relation.name),
                "compression itself goes",
            )
        elif job is not None:
            gone(parts, relation, key, job, parts.make.remove_compression(relation.name), None)
        return
    assert isinstance(wish.after, Span)
    if job is None:
        parts.steps.append(
            (
                Turn.POLICIES,
                Step(
                    key=key,
                    kind=Kind.ADD,
                    what=f"chunks{relation.words} older than {wish.after} are compressed by a policy"
                    + (f", every {wish.schedule}" if wish.schedule else ""),
                    why="the file declares it; its first run comes at once, in the background",
                    statements=(parts.make.add_compression(relation.name, wish.after, wish.schedule),),
                    lock="none now; the policy keeps writers of a chunk waiting while it compresses it",
                    back="after = false in the file; chunks stay compressed",
                    relation=relation.name,
                ),
            )
        )
        return
    changed(
        parts, relation, key, job, wish.schedule, (("compress_after", job.after, wish.after),), Turn.POLICIES
    )


def _shown(segment_by: Sequence[str] | None, order_by: Sequence[OrderBy] | None) -> str:
    segment = (
        "segments as TimescaleDB chooses"
        if segment_by is None
        else f"segment_by {', '.join(segment_by) or 'nothing'}"
    )
    order = (
        "its own order"
        if order_by is None
        else f"order_by {', '.join(map(order_text, order_by)) or 'nothing'}"
    )
    return f"{segment}, {order}"


def _orders(order_by: Sequence[OrderBy] | None) -> tuple[tuple[str, bool, bool], ...]:
    return tuple((each.column, each.descending, each.nulls_come_first) for each in order_by or ())
