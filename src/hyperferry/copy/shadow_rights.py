"""The shadow's owner, privileges, policies and comments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from psycopg import sql

from ..ledger.rights import Kind, owner_alone
from ..model.definitions import with_table
from ..model.inspection import Grant, Inspection
from ..model.names import Names, TableName
from ..model.statement import Statement, fragment
from .shadow_columns import identity_sequence

_TABLE_PRIVILEGES = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"})
_SEQUENCE_PRIVILEGES = frozenset({"SELECT", "UPDATE", "USAGE"})
_MAINTAIN_SINCE = 170000


def _identifier(name: TableName) -> sql.Identifier:
    return sql.Identifier(name.schema, name.name)


def owner_statements(inspection: Inspection, names: Names) -> list[Statement]:
    """The owner; an identity's sequence follows its table. Before the grants, so that they are the
    owner's."""
    return [
        Statement(
            "owner",
            "the same owner",
            sql.SQL("ALTER TABLE {} OWNER TO {}").format(
                _identifier(names.shadow), sql.Identifier(inspection.table.owner)
            ),
        )
    ]


def privilege_statements(inspection: Inspection, names: Names) -> list[Statement]:
    """The privileges of the table, its columns and its identity sequences: those of the source, and no
    others."""
    every = _TABLE_PRIVILEGES | ({"MAINTAIN"} if inspection.server.version_num >= _MAINTAIN_SINCE else set())
    table = inspection.table
    statements = _privileges("TABLE", names.shadow, table.grants, table.owner, every, bare=table.bare)
    for column in inspection.columns:
        sequence = identity_sequence(inspection, column) if column.identity else None
        if sequence is not None:
            name = TableName(names.new_schema, sequence.name.name)
            statements += _privileges(
                "SEQUENCE", name, sequence.grants, table.owner, _SEQUENCE_PRIVILEGES, bare=sequence.bare
            )
    return statements


def _privileges(
    kind: str, name: TableName, grants: Iterable[Grant], owner: str, every: frozenset[str], *, bare: bool
) -> list[Statement]:
    statements = [owner_alone(Kind[kind], name.quoted, step="grant")]
    groups: defaultdict[tuple[str, str, bool, str | None], list[str]] = defaultdict(list)
    for grant in _in_order(grants):
        groups[grant.grantor, grant.grantee, grant.grantable, grant.column].append(grant.privilege)
    if bare or any(column is None for _, _, _, column in groups):
        own = ("", owner, False, None)
        if frozenset(groups.get(own, ())) == every and not groups.get(("", owner, True, None)):
            del groups[own]
        else:
            statements.append(
                Statement(
                    "grant",
                    "the owner has fewer privileges than an owner has by default",
                    sql.SQL("REVOKE ALL ON {} {} FROM {}").format(
                        sql.SQL(kind), _identifier(name), sql.Identifier(owner)
                    ),
                )
            )
    for (grantor, grantee, grantable, column), privileges in groups.items():
        on = sql.SQL("") if column is None else sql.SQL(" ({})").format(sql.Identifier(column))
        grant_ = sql.SQL("GRANT {} ON {} {} TO {}{}").format(
            sql.SQL(", ").join(sql.Composed([fragment(p), on]) for p in sorted(set(privileges))),
            sql.SQL(kind),
            _identifier(name),
            sql.Identifier(grantee) if grantee else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION") if grantable else sql.SQL(""),
        )
        statements.append(
            Statement(
                "grant",
                f"privileges of {grantee or 'PUBLIC'}"
                + (f" on the column {column}" if column else "")
                + (f", granted by {grantor}" if grantor else ""),
                _as(grantor, name.schema, grant_) if grantor else grant_,
            )
        )
    return statements


def _in_order(grants: Iterable[Grant]) -> list[Grant]:
    """The owner's grants first, then those of whoever was given the right to grant by one before."""
    left = list(grants)
    ordered = [grant for grant in left if not grant.grantor]
    left = [grant for grant in left if grant.grantor]
    while left:
        able = {(grant.grantee, grant.privilege) for grant in ordered if grant.grantable}
        ready = [grant for grant in left if (grant.grantor, grant.privilege) in able] or left
        ordered += ready
        left = [grant for grant in left if grant not in ready]
    return ordered


def _as(role: str, schema: str, statement: sql.Composed) -> sql.Composed:
    """The statement run as another role, who may look into our schema for as long as that takes."""
    return sql.SQL(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; SET ROLE {role}; {statement}; RESET ROLE; "
        "REVOKE USAGE ON SCHEMA {schema} FROM {role}"
    ).format(schema=sql.Identifier(schema), role=sql.Identifier(role), statement=statement)


def policy_statements(inspection: Inspection, shadow: TableName) -> list[Statement]:
    """Row security and its policies."""
    statements: list[Statement] = []
    for policy in inspection.policies:
        statements.append(
            Statement(
                "policy",
                f"the policy {policy.name}",
                sql.Composed([fragment(with_table(policy.create, shadow.quoted))]),
            )
        )
        if policy.comment is not None:
            statements.append(
                Statement(
                    "comment",
                    f"the comment on the policy {policy.name}",
                    sql.SQL("COMMENT ON POLICY {} ON {} IS {}").format(
                        sql.Identifier(policy.name), _identifier(shadow), sql.Literal(policy.comment)
                    ),
                )
            )
    switches = (
        (inspection.table.row_security, "ENABLE", "row level security, as it was"),
        (inspection.table.row_security_forced, "FORCE", "row level security for the owner too, as it was"),
    )
    for on, word, comment in switches:
        if on:
            statements.append(
                Statement(
                    "policy",
                    comment,
                    sql.SQL("ALTER TABLE {} {} ROW LEVEL SECURITY").format(
                        _identifier(shadow), sql.SQL(word)
                    ),
                )
            )
    return statements


def comment_statements(inspection: Inspection, names: Names) -> list[Statement]:
    """Comments on the table, its columns, checks and identity sequences."""
    shadow = _identifier(names.shadow)
    found: list[tuple[str, sql.Composed, str]] = []
    if inspection.table.comment is not None:
        found.append(("the table", sql.SQL("TABLE {}").format(shadow), inspection.table.comment))
    for column in inspection.columns:
        if column.comment is not None:
            target = sql.Identifier(names.shadow.schema, names.shadow.name, column.name)
            found.append((column.name, sql.SQL("COLUMN {}").format(target), column.comment))
        sequence = identity_sequence(inspection, column) if column.identity else None
        if sequence is not None and sequence.comment is not None:
            target = sql.Identifier(names.new_schema, sequence.name.name)
            found.append((sequence.name.name, sql.SQL("SEQUENCE {}").format(target), sequence.comment))
    for constraint in inspection.constraints:
        if constraint.kind in ("c", "n") and constraint.comment is not None:
            target = sql.Identifier(constraint.name)
            on = sql.SQL("CONSTRAINT {} ON {}").format(target, shadow)
            found.append((constraint.name, on, constraint.comment))
    return [
        Statement(
            "comment",
            f"the comment on {what}",
            sql.SQL("COMMENT ON {} IS {}").format(target, sql.Literal(text)),
        )
        for what, target, text in found
    ]
