"""What one revision's statements did to tables that were there before it -> locks and findings. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperferry.model.names import TableName
from hyperferry.words import count

from . import statements
from .options import MODES, Finding, Level, Lock, Revision, Table
from .sizes import Sizes

BRIEF_MS = 10_000
"""The longest lock_timeout with which a lock that does no long work is only worth a warning."""

_QUEUE = "without a lock_timeout, so everybody queues behind it"
_SET_TIMEOUT = "before it, and again where it was given up: op.execute(\"SET LOCAL lock_timeout = '3s'\")."
_NO_LONG_WORK = (
    "do the long work without the lock: NOT VALID and a later VALIDATE, USING INDEX, a new column that is filled in batches; "
    "or where the table is a hypertable, chunk by chunk."
)
_SHOWN = tuple(MODES.values())[3:]


@dataclass(frozen=True)
class Seen:
    """A statement as it was seen on the server. `locks`: by the oid of the table, what it took that was not held before."""

    sql: str
    line: int | None
    transaction: int
    observed: bool
    lock_timeout_ms: float
    locks: tuple[tuple[int, str], ...]
    exclusive: frozenset[int]
    """What is held alone after it, by whichever statement of the transaction."""
    rewritten: frozenset[int]
    scanned: frozenset[int]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Seen:
        """As the project's process wrote it down."""
        rows = record["locks"]
        return cls(
            record["sql"],
            record["line"],
            record["transaction"],
            record["observed"],
            statements.milliseconds(record["lock_timeout"]),
            tuple((row["relation"], MODES.get(row["mode"], row["mode"])) for row in rows if row["new"]),
            frozenset(row["relation"] for row in rows if MODES.get(row["mode"], row["mode"]) == "ACCESS EXCLUSIVE"),
            frozenset(row["relation"] for row in rows if row["rewritten"]),
            frozenset(row["relation"] for row in rows if row["scanned"]),
        )


@dataclass(frozen=True)
class Before:
    """What was there before the revision: its tables by oid, which of them are large, and those that are hypertables in
    production whatever they are here."""

    tables: Mapping[int, Table]
    sizes: Sizes
    hypertables: frozenset[tuple[str, ...]] = frozenset()

    def name(self, oid: int) -> TableName | None:
        """The table that an oid belongs to, of which a chunk is a part; None for one that is new, or no table."""
        found = self.tables.get(oid)
        return None if found is None else found.name

    def is_hypertable(self, parts: Sequence[str]) -> TableName | None:
        """The hypertable of that name, which may lack the schema."""
        for each in self.tables.values():
            if (each.name.schema, each.name.name)[-len(parts) :] != tuple(parts):
                continue
            said = any((each.name.schema, each.name.name)[-len(name) :] == name for name in self.hypertables)
            if each.hypertable or said:
                return each.name
        return None


def locks_of(seen: Sequence[Seen], before: Before) -> list[Lock]:
    """What each statement took of tables that were there, the weakest locks left out; of one table the strongest alone."""
    found: list[Lock] = []
    for each in seen:
        strongest: dict[TableName, str] = {}
        for oid, mode in each.locks:
            name = before.name(oid)
            if name is not None and mode in _SHOWN and _SHOWN.index(mode) >= _rank(strongest.get(name)):
                strongest[name] = mode
        for name, mode in strongest.items():
            found.append(
                Lock(name, mode, statements.short(each.sql), each.line, _among(each.rewritten, name, before),
                     _among(each.scanned, name, before), before.sizes.known(name))
            )  # fmt: skip
    return found


def unseen_of(seen: Iterable[Seen]) -> list[str]:
    """Statements whose locks could not be looked at, because they end their own transaction."""
    return [statements.short(each.sql) for each in seen if not each.observed and not _harmless(each.sql)]


def judge(
    revision: Revision, seen: Sequence[Seen], before: Before, after: Mapping[int, Table]
) -> list[Finding]:
    """What is wrong with the statements of one upgrade."""
    found: list[Finding] = []
    became = {each.name for oid, each in after.items() if each.hypertable and _was_plain(oid, before)}
    for place, each in enumerate(seen):
        rest = [later for later in seen[place:] if later.transaction == each.transaction]
        guard = statements.guard_of(each.sql)
        converted = _converted(each, became, before)
        for lock in converted:
            found += _conversion(revision, lock, guard, before)
        for lock in locks_of([each], before):
            if any(lock.table == other.table and lock.mode == other.mode for other in converted):
                continue
            if lock.heavy and before.sizes.is_large(lock.table):
                found += _heavy(revision, each, lock, rest, guard, before)
        found += _indexes(revision, each, guard, before) + _by_text(revision, each, before)
    return found


def _converted(each: Seen, became: Collection[TableName], before: Before) -> list[Lock]:
    """The tables that this statement makes hypertables, each with its lock, which an earlier one may have taken."""
    if not statements.converts(each.sql):
        return []
    names = {name for oid in each.exclusive if (name := before.name(oid)) is not None and name in became}
    return [
        Lock(name, "ACCESS EXCLUSIVE", statements.short(each.sql), each.line, _among(each.rewritten, name, before),
             _among(each.scanned, name, before), before.sizes.known(name))
        for name in sorted(names)
    ]  # fmt: skip


def concurrently(
    revision: Revision, statement: str, line: int | None, said: str, before: Before
) -> Finding | None:
    """The finding about a statement that failed because CONCURRENTLY is impossible there; None where it failed for another
    reason."""
    parts = statements.concurrent_index_on(statement)
    table = None if parts is None else before.is_hypertable(parts)
    if table is None and not ("CONCURRENTLY" in statement.upper() and "hypertable" in said.lower()):
        return None
    return _concurrently(revision, statement, line, table)


def _concurrently(revision: Revision, statement: str, line: int | None, table: TableName | None) -> Finding:
    return Finding(
        "concurrently-on-hypertable",
        Level.ERROR,
        f"CONCURRENTLY is impossible on a hypertable, and {table or 'the table'} is one.",
        "op.create_hypertable_index(..., per_chunk=True) in an autocommit_block, or [[index]] in hyperferry.toml and "
        "`hyperferry apply`.",
        revision.revision, revision.file, line or revision.upgrade, (statements.short(statement),),
    )  # fmt: skip


def _conversion(
    revision: Revision, lock: Lock, guard: statements.Guard | None, before: Before
) -> list[Finding]:
    rows = before.sizes.known(lock.table)
    large = before.sizes.is_large(lock.table)
    at = (revision.revision, revision.file, lock.line or revision.upgrade, (lock.statement,))
    lets_pass = guard is not None and _lets_pass(guard, rows, before)
    if guard is None or (rows is None and lets_pass):
        if rows is not None and not large:
            return []
        behind = (
            "without a row guard"
            if guard is None
            else f"behind a row guard that lets {count(guard.rows)} rows pass, and how many it has is not known"
        )
        return [
            Finding(
                "unguarded-conversion", Level.ERROR,
                f"{lock.table} was there before, and becomes a hypertable in place {behind}: it is blocked "
                "for as long as its rows are moved.",
                "op.create_hypertable refuses a table that is too large; op.require_rollout waits for the online rollout.", *at,
            )
        ]  # fmt: skip
    if not large:
        return []
    if lets_pass:
        return [_heavy_finding(revision, lock, "its rows are moved meanwhile", Level.ERROR)]
    return [
        Finding(
            "guard-refuses", Level.WARNING,
            f"{lock.table} is large, so the row guard ({count(guard.rows)} rows) will refuse this revision there until the table "
            "is a hypertable.",
            f"convert it online before: hyperferry start {lock.table}, then hyperferry cutover {lock.table}.", *at,
        )
    ]  # fmt: skip


def _lets_pass(guard: statements.Guard, rows: int | None, before: Before) -> bool:
    """Whether a row guard may let the table pass where it is large. Without its rows: one that lets a large table pass."""
    return guard.rows > before.sizes.limit if rows is None else rows <= guard.rows


def _indexes(revision: Revision, each: Seen, guard: statements.Guard | None, before: Before) -> list[Finding]:
    """An index is built while its table takes no write: under a lock of its own, or one that the transaction held before."""
    if guard is not None or not each.observed or not statements.makes_index(each.sql):
        return []
    oids = {oid for oid, mode in each.locks if mode == "SHARE"} | each.scanned
    names = {name for oid in oids if (name := before.name(oid)) is not None and before.sizes.is_large(name)}
    locks = [
        Lock(name, "SHARE", statements.short(each.sql), each.line, False, True, before.sizes.known(name))
        for name in sorted(names)
    ]
    return [
        Finding(
            "blocking-index", Level.ERROR,
            f"{lock.table}{_size(lock)} takes no write while this index is built.",
            "on a plain table postgresql_concurrently=True in an autocommit_block; on a hypertable "
            "op.create_hypertable_index(..., per_chunk=True), or [[index]] in hyperferry.toml and `hyperferry apply`.",
            revision.revision, revision.file, lock.line or revision.upgrade, (lock.statement,),
        )
        for lock in locks
    ]  # fmt: skip


def _heavy(
    revision: Revision,
    each: Seen,
    lock: Lock,
    rest: Sequence[Seen],
    guard: statements.Guard | None,
    before: Before,
) -> list[Finding]:
    rows = before.sizes.known(lock.table)
    if guard is not None and not _lets_pass(guard, rows, before):
        return []  # refused where it is so large
    if lock.mode == "SHARE" and statements.makes_index(each.sql):
        return []  # said by _indexes
    long = _long_work(rest, before)
    brief = 0 < each.lock_timeout_ms <= BRIEF_MS
    if long is None and brief:
        return [
            _heavy_finding(
                revision,
                lock,
                f"for a moment, and waited for {each.lock_timeout_ms / 1000:g} s at most",
                Level.WARNING,
            )
        ]
    return [_heavy_finding(revision, lock, long or _QUEUE, Level.ERROR)]


def _heavy_finding(revision: Revision, lock: Lock, why: str, level: Level) -> Finding:
    who = "nobody" if lock.mode == "ACCESS EXCLUSIVE" else "no writer"
    queue = why == _QUEUE
    return Finding(
        "heavy-lock", level,
        f"{lock.table}{_size(lock)} is locked in {lock.mode}, {why}: {who} gets at it until the transaction ends.",
        _SET_TIMEOUT if queue else _NO_LONG_WORK,
        revision.revision, revision.file, lock.line or revision.upgrade, (_took(lock),),
    )  # fmt: skip


def _long_work(rest: Sequence[Seen], before: Before) -> str | None:
    """What takes long while the lock is held: this statement, or a later one of the transaction."""
    for place, each in enumerate(rest):
        for oids, what in ((each.rewritten, "rewritten"), (each.scanned, "read from end to end")):
            for oid in sorted(oids):
                name = before.name(oid)
                if name is not None and before.sizes.is_large(name):
                    return f"while {name} is {what}" + (
                        f" by `{statements.short(each.sql, 60)}`" if place else ""
                    )
    return None


def _by_text(revision: Revision, each: Seen, before: Before) -> list[Finding]:
    if each.observed:
        return []
    if (parts := statements.concurrent_index_on(each.sql)) is not None:
        table = before.is_hypertable(parts)
        return [] if table is None else [_concurrently(revision, each.sql, each.line, table)]
    whole = statements.whole_rewrites_of(each.sql)
    if whole is None:
        return []
    return [
        _heavy_finding(
            revision,
            Lock(table, "ACCESS EXCLUSIVE", statements.short(each.sql), each.line, True, True, before.sizes.known(table)),
            "by the statement's text, while it is rewritten",
            Level.ERROR,
        )
        for table in sorted({one.name for one in before.tables.values()})
        if before.sizes.is_large(table)
        and (not whole or any((table.schema, table.name)[-len(name) :] == name for name in whole))
    ]


def _took(lock: Lock) -> str:
    marks = [word for word, yes in (("rewritten", lock.rewritten), ("read", lock.scanned)) if yes]
    how = f" ({', '.join(marks)})" if marks else ""
    return f"{lock.mode} on {lock.table}{how}: {lock.statement}"


def _size(lock: Lock) -> str:
    return "" if lock.rows is None else f" ({count(lock.rows)} rows)"


def _was_plain(oid: int, before: Before) -> bool:
    found = before.tables.get(oid)
    return found is not None and not found.hypertable and found.root == oid


def _among(oids: Iterable[int], name: TableName, before: Before) -> bool:
    return any(before.name(oid) == name for oid in oids)


def _rank(mode: str | None) -> int:
    return -1 if mode is None else _SHOWN.index(mode)


def _harmless(sql: str) -> bool:
    return statements.sets_alone(sql)


__all__ = ["BRIEF_MS", "Before", "Seen", "concurrently", "judge", "locks_of", "unseen_of"]
