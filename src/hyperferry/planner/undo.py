"""How to take off a table what was added to it: for what a swap would leave behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..model.definitions import with_table
from ..model.inspection import Grant, Inspection
from ..model.names import TableName, quote_ident
from .stale import changed_grants


def undo_statements(before: Inspection, now: Inspection) -> tuple[str, ...]:
    """A statement for each thing that `now` has and `before` has not, as far as one statement undoes it; with the definition
    by which it can be made again, where the server knows one."""
    table = now.table.name
    on = f"ON {table.quoted}"
    owned = {constraint.name for constraint in now.constraints}
    lines: list[str] = []
    for index in _added(before.indexes, now.indexes):
        if index.name not in owned:
            lines.append(_undo(f"DROP INDEX {TableName(table.schema, index.name).quoted}", index.definition))
    for constraint in _added(before.constraints, now.constraints):
        name = quote_ident(constraint.name)
        definition = f"ALTER TABLE {table.quoted} ADD CONSTRAINT {name} {constraint.definition}"
        lines.append(_undo(f"ALTER TABLE {table.quoted} DROP CONSTRAINT {name}", definition))
    for trigger in _added(before.triggers, now.triggers):
        lines.append(_undo(f"DROP TRIGGER {quote_ident(trigger.name)} {on}", trigger.definition))
    for policy in _added(before.policies, now.policies):
        create = with_table(policy.create, table.quoted)
        lines.append(_undo(f"DROP POLICY {quote_ident(policy.name)} {on}", create))
    for each in _added(before.extended_statistics, now.extended_statistics):
        lines.append(_undo(f"DROP STATISTICS {each.name.quoted}", each.definition))
    known = {dependent.identity for dependent in before.dependents}
    for dependent in sorted(now.dependents, key=lambda d: d.depth, reverse=True):
        if dependent.identity not in known:
            lines.append(_undo_dependent(dependent.kind, dependent.identity, dependent.definition or ""))
    return (*lines, *_grants(before, now), *_comments(before, now))


def _added(before: Iterable[Any], now: Iterable[Any]) -> list[Any]:
    known = {each.name for each in before}
    return [each for each in now if each.name not in known]


def _undo(statement: str, definition: str) -> str:
    return f"{statement}; (it was: {' '.join(definition.split())})"


def _undo_dependent(kind: str, identity: str, definition: str) -> str:
    # pg_identify_object writes a rule's or policy's table behind "on", as DROP wants it.
    made = f"CREATE {kind.upper()} {identity} AS {definition}" if kind.endswith("view") else definition
    return _undo(f"DROP {kind.upper()} {identity}", made)


def _grants(before: Inspection, now: Inspection) -> Iterator[str]:
    table = now.table.name.quoted

    def text(verb: str, grant: Grant) -> str:
        columns = f" ({quote_ident(grant.column)})" if grant.column else ""
        to = quote_ident(grant.grantee) if grant.grantee else "PUBLIC"
        return f"{verb} {grant.privilege}{columns} ON {table} {'FROM' if verb == 'REVOKE' else 'TO'} {to};"

    gone, added = changed_grants(before.table, now.table)
    for verb, grants in (("REVOKE", added), ("GRANT", gone)):
        for grant in sorted(grants, key=lambda g: (g.grantee, g.privilege, g.column or "")):
            yield text(verb, grant)


def _comments(before: Inspection, now: Inspection) -> Iterator[str]:
    def literal(comment: str | None) -> str:
        return "NULL" if comment is None else "'" + comment.replace("'", "''") + "'"

    table = now.table.name.quoted
    if before.table.comment != now.table.comment:
        yield f"COMMENT ON TABLE {table} IS {literal(before.table.comment)};"
    for column in now.columns:
        old = before.column(column.name)
        if old is not None and old.comment != column.comment:
            yield f"COMMENT ON COLUMN {table}.{quote_ident(column.name)} IS {literal(old.comment)};"
