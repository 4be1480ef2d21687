"""Keys and indexes as statements, for the shadow and for a table that becomes a hypertable in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from psycopg import sql

from ..model.definitions import insert_clause
from ..model.inspection import Index
from ..model.names import TableName, quote_ident
from ..model.plan import Plan, PlannedIndex, PlannedKey
from ..model.statement import Statement, fragment

Group = tuple[str, tuple[Statement, ...]]


def key_groups(plan: Plan, table: TableName) -> tuple[Group, ...]:
    """The planned keys on `table`: for each its index's name, and its statement followed by its comments and
    marks.

    A group is meant for one transaction: where the index stands, all of it does.
    """
    groups: list[Group] = []
    for key in plan.keys:
        statements = [_key(key, table)]
        index = _source_index(plan, key.name)
        if key.constraint and key.comment is not None:
            statements.append(
                Statement(
                    "comment",
                    f"the comment on {key.name}",
                    sql.SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                        sql.Identifier(key.name), _identifier(table), sql.Literal(key.comment)
                    ),
                )
            )
        if index is not None:
            statements += _index_marks(index, table)
        groups.append((key.name, tuple(statements)))
    return tuple(groups)


def index_groups(plan: Plan, table: TableName) -> tuple[Group, ...]:
    """The planned indexes that are no keys, likewise."""
    groups: list[Group] = []
    for index in plan.indexes:
        statements = [_index(index, _identifier(table))]
        source = _source_index(plan, index.name)
        if source is not None:
            statements += _index_marks(source, table)
        groups.append((index.name, tuple(statements)))
    return tuple(groups)


def plain_indexes(plan: Plan) -> tuple[str, ...]:
    """Those of `index_groups`, by name, that a chunk can have before the root: nothing is said of them but how they are made."""
    groups = dict(index_groups(plan, plan.table))
    return tuple(
        index.name for index in plan.indexes if len(groups[index.name]) == 1 and index.tablespace is None
    )


def chunk_index_statements(
    plan: Plan, chunk: TableName, names: Sequence[tuple[str, str]]
) -> tuple[Statement, ...]:
    """Some of `plain_indexes` on a chunk: the index of the root, and what it is called on the chunk."""
    own = {index.name: index for index in plan.indexes}
    return tuple(_index(replace(own[root], name=name), _identifier(chunk)) for root, name in names)


def root_alone_statement(plan: Plan, table: TableName, name: str) -> Statement:
    """One of `plain_indexes` on the hypertable alone, which takes its chunks' for its own."""
    made = _index(next(index for index in plan.indexes if index.name == name), sql.SQL("ONLY {}").format(_identifier(table)))
    return replace(made, comment=f"{made.comment}, from those of the chunks")


def _identifier(table: TableName) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


def _source_index(plan: Plan, key_name: str) -> Index | None:
    """The source's index of that key or index (a constraint's index has its name), as the hypertable can have it."""
    found = next((i for i in plan.inspection.indexes if key_name in (i.constraint or i.name, i.name)), None)
    if found is not None and not plan.inspection.server.keeps_replica_identity:
        return replace(found, replica_identity=False)
    return found


def _key(key: PlannedKey, table: TableName) -> Statement:
    comment = f"the key {key.name}" + (
        f", widened: ({', '.join(key.columns)})" if key.widened else ", as it was"
    )
    if not key.constraint:
        return Statement(
            "key",
            comment,
            sql.SQL("CREATE UNIQUE INDEX {} ON {} {}").format(
                sql.Identifier(key.name),
                _identifier(table),
                fragment(_in_tablespace(key.definition, key.tablespace, "TABLESPACE")),
            ),
        )
    return Statement(
        "key",
        comment,
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
            _identifier(table),
            sql.Identifier(key.name),
            fragment(_in_tablespace(key.definition, key.tablespace, "USING INDEX TABLESPACE")),
        ),
    )


def _index(index: PlannedIndex, on: sql.Composable) -> Statement:
    return Statement(
        "index",
        f"the index {index.name}, as it was",
        sql.SQL("CREATE INDEX {} ON {} {}").format(
            sql.Identifier(index.name),
            on,
            fragment(_in_tablespace(index.tail, index.tablespace, "TABLESPACE")),
        ),
    )


def _in_tablespace(definition: str, tablespace: str | None, words: str) -> str:
    return insert_clause(definition, f"{words} {quote_ident(tablespace)}" if tablespace else "")


def _index_marks(index: Index, table: TableName) -> list[Statement]:
    """An index's comment and statistics targets, and what the table says of it: clustered by it, replica
    identity."""
    own = sql.Identifier(table.schema, index.name)
    statements: list[Statement] = []
    for column, target in index.statistics:
        statements.append(
            Statement(
                "index",
                f"statistics of column {column} of {index.name}",
                sql.SQL("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}").format(
                    own, sql.Literal(column), sql.Literal(target)
                ),
            )
        )
    if index.comment is not None:
        statements.append(
            Statement(
                "comment",
                f"the comment on {index.name}",
                sql.SQL("COMMENT ON INDEX {} IS {}").format(own, sql.Literal(index.comment)),
            )
        )
    if index.clustered:
        statements.append(
            Statement(
                "index",
                f"the table is marked as clustered by {index.name}",
                sql.SQL("ALTER TABLE {} CLUSTER ON {}").format(
                    _identifier(table), sql.Identifier(index.name)
                ),
            )
        )
    if index.replica_identity:
        statements.append(
            Statement(
                "index",
                f"replica identity by {index.name}",
                sql.SQL("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}").format(
                    _identifier(table), sql.Identifier(index.name)
                ),
            )
        )
    return statements
