"""What has changed between a plan and the table as it is now, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from ..model.inspection import Constraint, Grant, InboundKey, Inspection, TableFacts
from ..model.plan import Plan

Key = TypeVar("Key", Constraint, InboundKey)

# Figures and identifiers that change without the schema changing.
_VOLATILE = frozenset(
    {
        "bytes",
        "oid",
        "base_collation",
        "estimated_rows",
        "total_bytes",
        "heap_bytes",
        "index_bytes",
        "table_oid",
        "references_oid",
        # What the session's role may do, and the form in which the table stands in a stored expression.
        "owned",
        "as_grantor",
        "again",
    }
)


def is_stale(plan: Plan, inspection: Inspection) -> tuple[str, ...]:
    """Empty while the table is the plan's, by its OID and its fingerprint; else what differs, a line each."""
    if plan.fingerprint == inspection.fingerprint and plan.inspection.table.oid == inspection.table.oid:
        return ()
    return changes_between(plan.inspection, inspection) or (
        "the table's catalog fingerprint differs (in something that is not listed here)",
    )


def changes_between(before: Inspection, now: Inspection) -> tuple[str, ...]:
    """What was added, taken away or changed from one inspection to another of the same table, a line each."""
    lines = list(_table(before.table, now.table))
    parts: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("column", _named(before.columns), _named(now.columns)),
        ("index", _named(before.indexes), _named(now.indexes)),
        ("constraint", _named(before.constraints), _named(now.constraints)),
        (
            "foreign key",
            {f"{k.name} of {k.table}": k for k in before.inbound_keys},
            {f"{k.name} of {k.table}": k for k in now.inbound_keys},
        ),
        ("trigger", _named(before.triggers), _named(now.triggers)),
        ("policy", _named(before.policies), _named(now.policies)),
        ("rule", {r: r for r in before.rules}, {r: r for r in now.rules}),
        ("dependent", {d.identity: d for d in before.dependents}, {d.identity: d for d in now.dependents}),
        ("sequence", {str(s.name): s for s in before.sequences}, {str(s.name): s for s in now.sequences}),
        (
            "statistics",
            {str(s.name): s for s in before.extended_statistics},
            {str(s.name): s for s in now.extended_statistics},
        ),
        (
            "publication",
            {p: p for p in before.replication.publications + before.replication.all_tables_publications},
            {p: p for p in now.replication.publications + now.replication.all_tables_publications},
        ),
        (
            "membership in publication",
            _named(before.replication.memberships),
            _named(now.replication.memberships),
        ),
        ("security label", {x: x for x in before.security_labels}, {x: x for x in now.security_labels}),
    )
    for kind, old, new in parts:
        lines += _compare(kind, old, new)
    return tuple(lines)


def without_validity(inspection: Inspection) -> Inspection:
    """The inspection as if every foreign key, its own and those that point at it, were validated."""

    def valid(key: Key) -> Key:
        return replace(key, validated=True, definition=key.definition.removesuffix(" NOT VALID"))

    return replace(
        inspection,
        constraints=tuple(valid(each) if each.kind == "f" else each for each in inspection.constraints),
        inbound_keys=tuple(valid(each) for each in inspection.inbound_keys),
    )


def _named(things: Iterable[Any]) -> dict[str, Any]:
    return {thing.name: thing for thing in things}


def _compare(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    lines = [f"{kind} {name} is gone" for name in old if name not in new]
    lines += [f"{kind} {name} is new" for name in new if name not in old]
    for name in old:
        if name in new and (changed := _changes(old[name], new[name])):
            lines.append(f"{kind} {name} changed: {changed}")
    return lines


def _changes(old: Any, new: Any) -> str:
    if isinstance(old, str):
        return ""
    return "; ".join(
        f"{field.name.replace('_', ' ')} was {getattr(old, field.name)!r}, is {getattr(new, field.name)!r}"
        for field in fields(old)
        if field.name not in _VOLATILE and getattr(old, field.name) != getattr(new, field.name)
    )


def changed_grants(old: TableFacts, new: TableFacts) -> tuple[set[Grant], set[Grant]]:
    """The privileges that are gone, and those that are new. Where no privilege was ever given, the owner has all of them without
    their being listed."""

    def listed(facts: TableFacts, other: TableFacts) -> set[Grant]:
        unlisted = not any(grant.column is None for grant in other.grants) and not other.bare
        return {g for g in facts.grants if not (unlisted and g.column is None and g.grantee == facts.owner)}

    return listed(old, new) - set(new.grants), listed(new, old) - set(old.grants)


def _table(old: TableFacts, new: TableFacts) -> list[str]:
    lines: list[str] = []
    if old.oid != new.oid:
        lines.append(
            "it is another table: dropped and made anew since, or the plan is of another database "
            f"(oid was {old.oid}, is {new.oid})"
        )
    gone, added = changed_grants(old, new)
    for word, grants in (("gone", gone), ("new", added)):
        for grant in sorted(grants, key=lambda g: (g.grantee, g.privilege, g.column or "")):
            on = f" ({grant.column})" if grant.column else ""
            lines.append(f"grant {grant.privilege}{on} to {grant.grantee or 'PUBLIC'} is {word}")
    if changed := _changes(replace(old, grants=()), replace(new, grants=())):
        lines.append(f"table changed: {changed}")
    return lines
