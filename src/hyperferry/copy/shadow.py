"""The statements that build the shadow: a hypertable that is the source in all but its keys.

The table is written out column by column. `CREATE TABLE (LIKE ... INCLUDING ALL)` would turn NOT VALID checks
into valid ones, take keys along that a hypertable refuses, and share nothing with an identity column's
sequence but its options. Not here, by invariant I2: foreign keys and user triggers. They come with the
cutover.
"""

from __future__ import annotations

from psycopg import sql

from ..errors import Refused
from ..ledger.rights import Kind, owner_alone
from ..model.definitions import statistics_body
from ..model.inspection import ExtendedStatistics
from ..model.names import Names, TableName, quote_ident
from ..model.plan import Plan
from ..model.statement import Statement, fragment
from .shadow_columns import column_definition, column_settings, late_not_nulls
from .shadow_compression import compression_statements
from .shadow_keys import chunk_index_statements, index_groups, key_groups, plain_indexes, root_alone_statement
from .shadow_rights import comment_statements, owner_statements, policy_statements, privilege_statements

__all__ = [
    "chunk_index_statements",
    "compression_statements",
    "hypertable_statement",
    "index_groups",
    "index_statements",
    "key_groups",
    "key_statements",
    "plain_indexes",
    "root_alone_statement",
    "shadow_statements",
]


def shadow_statements(plan: Plan, names: Names) -> tuple[Statement, ...]:
    """The shadow without keys and indexes: schema, table, checks, hypertable, owner, grants, comments,
    policies, statistics."""
    shadow = names.shadow
    return (
        _schema(plan, names),
        owner_alone(Kind.SCHEMA, quote_ident(names.new_schema), step="schema"),
        _table(plan, names),
        *column_settings(plan.inspection, shadow),
        *_checks(plan, shadow),
        *owner_statements(plan.inspection, names),
        hypertable_statement(plan, shadow, migrate_data=False),
        *privilege_statements(plan.inspection, names),
        *policy_statements(plan.inspection, shadow),
        *_replica_identity(plan, shadow),
        *_extended_statistics(plan, names),
        *comment_statements(plan.inspection, names),
    )


def key_statements(plan: Plan, names: Names) -> tuple[Statement, ...]:
    """The shadow's keys: the primary key, unique and exclusion constraints, unique indexes (see
    `key_groups`)."""
    return tuple(s for _, group in key_groups(plan, names.shadow) for s in group)


def index_statements(plan: Plan, names: Names) -> tuple[Statement, ...]:
    """The shadow's other indexes, cheapest to build after the load (see `index_groups`)."""
    return tuple(s for _, group in index_groups(plan, names.shadow) for s in group)


def hypertable_statement(plan: Plan, table: TableName, *, migrate_data: bool) -> Statement:
    """`create_hypertable` in the form that every TimescaleDB from 2.9 on takes, without its own time
    index."""
    schema = plan.inspection.server.timescaledb_schema
    if schema is None:
        raise Refused(
            "TimescaleDB is not installed in this database, so no hypertable can be made.",
            facts={"database": plan.inspection.server.database},
            remedy="run CREATE EXTENSION timescaledb, then make the plan again.",
        )
    migrate = sql.SQL(", migrate_data => true") if migrate_data else sql.SQL("")
    interval = f"{plan.interval.literal}::bigint" if plan.interval.integer else plan.interval.literal
    return Statement(
        "hypertable",
        f"{table} becomes a hypertable by {plan.time_column}"
        + (": every row is moved into its chunk" if migrate_data else ""),
        sql.SQL(
            "SELECT {}({}::pg_catalog.regclass, {}, chunk_time_interval => {}, create_default_indexes => "
            "false{})"
        ).format(
            sql.Identifier(schema, "create_hypertable"),
            sql.Literal(table.quoted),
            sql.Literal(plan.time_column),
            fragment(interval),
            migrate,
        ),
    )


def _schema(plan: Plan, names: Names) -> Statement:
    # The owner's, since a table can only be given to a role that may create tables in its schema.
    return Statement(
        "schema",
        "a schema of this rollout's own, in which the table keeps its name",
        sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
            sql.Identifier(names.new_schema), sql.Identifier(plan.inspection.table.owner)
        ),
    )


def _table(plan: Plan, names: Names) -> Statement:
    facts = plan.inspection.table
    columns = [
        column_definition(plan.inspection, column, names)
        for column in sorted(plan.inspection.columns, key=lambda c: c.number)
    ]
    parts: list[sql.Composable] = [
        sql.SQL("CREATE UNLOGGED TABLE " if facts.persistence == "u" else "CREATE TABLE "),
        sql.Identifier(names.shadow.schema, names.shadow.name),
        sql.SQL(" (\n  "),
        sql.SQL(",\n  ").join(columns),
        sql.SQL("\n)"),
    ]
    if facts.access_method:
        parts += [sql.SQL("\nUSING "), sql.Identifier(facts.access_method)]
    options = [*facts.options, *(f"toast.{option}" for option in facts.toast_options)]
    if options:
        parts += [sql.SQL("\nWITH ("), sql.SQL(", ").join(map(_option, options)), sql.SQL(")")]
    if facts.tablespace:
        parts += [sql.SQL("\nTABLESPACE "), sql.Identifier(facts.tablespace)]
    return Statement("table", "the table as it is, without keys and indexes", sql.Composed(parts))


def _option(option: str) -> sql.Composed:
    """`toast.autovacuum_enabled=false` as pg_class has it -> `"toast"."autovacuum_enabled"='false'`."""
    name, _, value = option.partition("=")
    return sql.SQL("{}={}").format(sql.Identifier(*name.split(".")), sql.Literal(value))


def _checks(plan: Plan, shadow: TableName) -> list[Statement]:
    """CHECK constraints under their names; those that are NOT VALID stay so, as their definitions say."""
    checks = [
        Statement(
            "check",
            f"the check {constraint.name}" + ("" if constraint.validated else ", which stays NOT VALID"),
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                sql.Identifier(shadow.schema, shadow.name),
                sql.Identifier(constraint.name),
                fragment(constraint.definition),
            ),
        )
        for constraint in sorted(plan.inspection.constraints, key=lambda c: c.name)
        if constraint.kind == "c"
    ]
    return [*checks, *late_not_nulls(plan.inspection, shadow)]


def _replica_identity(plan: Plan, shadow: TableName) -> list[Statement]:
    """FULL and NOTHING, where a hypertable can have them; one that uses an index comes with its index."""
    word = {"f": "FULL", "n": "NOTHING"}.get(plan.inspection.table.replica_identity)
    if word is None or not plan.inspection.server.keeps_replica_identity:
        return []
    return [
        Statement(
            "table",
            f"replica identity {word}, as the table has it",
            sql.SQL("ALTER TABLE {} REPLICA IDENTITY {}").format(
                sql.Identifier(shadow.schema, shadow.name), sql.SQL(word)
            ),
        )
    ]


def _extended_statistics(plan: Plan, names: Names) -> list[Statement]:
    statements: list[Statement] = []
    for statistics in plan.inspection.extended_statistics:
        statements += _one_extended_statistics(plan, names, statistics)
    return statements


def _one_extended_statistics(plan: Plan, names: Names, statistics: ExtendedStatistics) -> list[Statement]:
    name = sql.Identifier(names.new_schema, statistics.name.name)
    statements = [
        Statement(
            "statistics",
            f"the extended statistics {statistics.name.name}",
            sql.SQL("CREATE STATISTICS {} {} FROM {}").format(
                name,
                fragment(statistics_body(statistics.definition)),
                sql.Identifier(names.shadow.schema, names.shadow.name),
            ),
        ),
        Statement(
            "statistics",
            f"{statistics.name.name} belongs to the same owner",
            _statistics_owner(plan, names, name, statistics),
        ),
    ]
    if statistics.target is not None:
        statements.append(
            Statement(
                "statistics",
                f"the target of {statistics.name.name}",
                sql.SQL("ALTER STATISTICS {} SET STATISTICS {}").format(name, sql.Literal(statistics.target)),
            )
        )
    if statistics.comment is not None:
        statements.append(
            Statement(
                "comment",
                f"the comment on {statistics.name.name}",
                sql.SQL("COMMENT ON STATISTICS {} IS {}").format(name, sql.Literal(statistics.comment)),
            )
        )
    return statements


def _statistics_owner(
    plan: Plan, names: Names, name: sql.Identifier, statistics: ExtendedStatistics
) -> sql.Composed:
    """ALTER STATISTICS ... OWNER. Who is not the table's owner needs CREATE in our schema for as long as that takes."""
    table_owner = plan.inspection.table.owner
    owner = sql.Identifier(statistics.owner or table_owner)
    alter = sql.SQL("ALTER STATISTICS {} OWNER TO {}").format(name, owner)
    if statistics.owner in ("", table_owner):
        return alter
    return sql.SQL(
        "GRANT CREATE ON SCHEMA {schema} TO {owner}; {alter}; REVOKE CREATE ON SCHEMA {schema} FROM {owner}"
    ).format(schema=sql.Identifier(names.new_schema), owner=owner, alter=alter)
