"""What the catalogs say about a table, its server and everything that hangs on it.

`catalog` fills these, `preflight` judges them, `planner` decides on them. SQL fragments (defaults, definitions,
expressions) are as PostgreSQL prints them under an empty search_path, so every name in them is qualified.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from .names import TableName, quoted_if_needed
from .need import RightsReport

__all__ = [
    "Activity",
    "Column",
    "Constraint",
    "Dependent",
    "ExtendedStatistics",
    "Grant",
    "InboundKey",
    "Index",
    "IndexColumn",
    "Inspection",
    "IsolationDefault",
    "Membership",
    "OwnedSequence",
    "Policy",
    "ReplicationFacts",
    "Rights",
    "ScanFacts",
    "ServerFacts",
    "StatementFacts",
    "TableFacts",
    "TransactionNow",
    "Trigger",
]


@dataclass(frozen=True)
class ServerFacts:
    """The server and the session's role."""

    version_num: int  # as server_version_num: 170005
    version: str
    database: str
    role: str
    superuser: bool
    in_recovery: bool
    timescaledb_installed: str | None  # extversion, None where not created in this database
    timescaledb_available: str | None  # default_version of the control file
    timescaledb_preloaded: bool | None  # None where the setting may not be read
    timescaledb_schema: str | None  # where create_hypertable and its kin live
    edition: str | None  # 'apache', 'community'
    deadlock_timeout_ms: int
    max_locks_per_transaction: int
    max_connections: int
    max_prepared_transactions: int
    shared_buffers_bytes: int
    default_isolation: str
    transaction_pooled: bool = False  # a transaction pooler seems to stand between us and the server
    cores: int | None = None  # of the server's machine, where it is this one

    def has_timescaledb(self, major: int, minor: int) -> bool:
        """Whether TimescaleDB is this version or a later one: the one of this database, or the one that it would get."""
        match = re.match(r"(\d+)\.(\d+)", self.timescaledb_installed or self.timescaledb_available or "")
        return match is None or (int(match[1]), int(match[2])) >= (major, minor)

    @property
    def keeps_replica_identity(self) -> bool:
        """Whether a hypertable can have another REPLICA IDENTITY than its primary key: before 2.12 it is refused."""
        return self.has_timescaledb(2, 12)


@dataclass(frozen=True)
class Rights:
    """What the session's role may do."""

    select: bool
    # Row security filters what the role reads, or refuses it with row_security = off.
    row_security_active: bool = False


@dataclass(frozen=True)
class Grant:
    """One privilege of one grantee on the table (column None) or on a column."""

    grantee: str  # '' is PUBLIC
    privilege: str  # SELECT, INSERT, ...
    grantable: bool
    column: str | None = None
    grantor: str = ""  # '' where it is the owner
    as_grantor: bool = True  # the session's role can act as the grantor


@dataclass(frozen=True)
class TableFacts:
    """The relation itself. Sizes are bytes, `estimated_rows` is reltuples (-1: never analyzed)."""

    name: TableName
    oid: int
    relkind: str  # pg_class.relkind
    kind: str  # table, view, materialized view, foreign table, partitioned table, partition, inherited,
    # inheritance parent, hypertable, sequence, index, composite type, ...; the first that applies
    persistence: str  # p, u, t
    owner: str
    estimated_rows: int
    total_bytes: int
    heap_bytes: int
    index_bytes: int
    tablespace: str | None
    options: tuple[str, ...]  # reloptions, 'fillfactor=70'
    toast_options: tuple[str, ...]
    access_method: str | None
    replica_identity: str  # d, n, f, i
    row_security: bool
    row_security_forced: bool
    comment: str | None
    extension: str | None  # member of this extension
    typed_of: str | None  # CREATE TABLE ... OF type
    grants: tuple[Grant, ...] = ()
    bare: bool = False  # every privilege was taken, the owner's too


@dataclass(frozen=True)
class Column:
    """A live column of the table. Dropped ones are not listed."""

    name: str
    number: int  # attnum
    type_sql: str  # format_type(), qualified where not in pg_catalog
    type_oid: int
    base_type: str  # 'schema.typname' with domains resolved, e.g. 'pg_catalog.numeric'; as SQL has it if either has a dot in it
    type_kind: str  # typtype of the resolved base type: b, c, e, r, m; 'a' for a true array
    not_null: bool
    default: str | None  # expression, for ordinary defaults and for generated columns
    generated: str  # '', 's' stored, 'v' virtual
    identity: str  # '', 'a' always, 'd' by default
    collation: str | None  # qualified, quoted, only where it is not the type's default
    deterministic: bool  # False for a column under a nondeterministic collation
    storage: str | None  # PLAIN, ... only where not the type's default
    compression: str | None  # pglz, lz4
    statistics_target: int | None
    options: tuple[str, ...]  # attoptions
    comment: str | None
    base_collation: str | None = None  # likewise, where it is not that of the type without its domains


@dataclass(frozen=True)
class IndexColumn:
    """A key column of an index: a plain column's name or None for an expression; the text of either; and the
    qualified equality operator of its operator class (None where there is none), e.g. 'OPERATOR(pg_catalog.=)'."""

    column: str | None
    expression: str
    equals: str | None
    less: str | None  # the btree 'less than' operator, likewise


@dataclass(frozen=True)
class Index:
    """An index of the table."""

    name: str
    oid: int
    definition: str  # pg_get_indexdef
    tail: str  # the definition from 'USING' on
    columns: tuple[IndexColumn, ...]  # key columns only
    included: tuple[str, ...]
    method: str
    unique: bool
    primary: bool
    exclusion: bool
    valid: bool
    immediate: bool
    nulls_not_distinct: bool
    predicate: str | None
    constraint: str | None  # the constraint that owns it
    tablespace: str | None
    bytes: int
    comment: str | None
    clustered: bool
    replica_identity: bool
    statistics: tuple[tuple[int, int], ...] = ()  # (column number in the index, target)


@dataclass(frozen=True)
class Constraint:
    """A constraint of the table: p primary key, u unique, c check, x exclusion, f foreign key, n not null (18+)."""

    name: str
    kind: str
    definition: str  # pg_get_constraintdef
    columns: tuple[str, ...]
    validated: bool
    enforced: bool
    deferrable: bool
    deferred: bool
    no_inherit: bool
    index: str | None
    references: TableName | None
    references_oid: int | None
    comment: str | None
    references_hypertable: bool = False
    ordinary: bool = True  # the triggers that see to it are enabled as they are made


@dataclass(frozen=True)
class InboundKey:
    """A foreign key of another (or this) table that points at ours."""

    name: str
    table: TableName
    table_oid: int
    definition: str
    referenced_columns: tuple[str, ...]
    validated: bool
    enforced: bool = True
    table_kind: str = "r"  # relkind of the referencing table
    hypertable: bool = False  # the referencing table is one
    owner: str = ""  # of the referencing table
    owned: bool = True  # by a role that the session's role is a member of
    ordinary: bool = True  # its triggers are enabled as they are made
    comment: str | None = None

    @property
    def identity(self) -> str:
        """`schema.table.constraint`, quoted where needed: as --drop-inbound-fk takes it."""
        return f"{self.table}.{quoted_if_needed(self.name)}"


@dataclass(frozen=True)
class Trigger:
    """A user's trigger on the table (internal ones and ours are left out)."""

    name: str
    definition: str  # pg_get_triggerdef
    function: str
    enabled: str  # O, A, R, D
    row_level: bool
    before: bool
    transition_tables: bool
    constraint: bool
    comment: str | None


@dataclass(frozen=True)
class Policy:
    """A row security policy, with the statement that would create it, `{table}` for the table's name; and the one
    that points its sub-selects of the table at whatever has the name (None where it has none)."""

    name: str
    create: str
    comment: str | None
    again: str | None = None


@dataclass(frozen=True)
class Dependent:
    """A view, function, rule, policy or anything else that depends on the table (or on such a view: depth > 1).

    `via` says through what a direct one does: 'columns', 'rowtype' (whole rows: it would break or keep the old table), 'key'
    (a GROUP BY that relies on the primary key, an ON CONFLICT ON CONSTRAINT), 'index', 'sequence' (an identity's). For views
    `definition` is pg_get_viewdef; for functions, rules and policies the statement that puts them on whatever has the
    table's name.
    """

    kind: str  # view, materialized view, function, procedure, type, table, ...
    name: TableName
    oid: int
    identity: str  # as pg_identify_object prints it, for messages
    definition: str | None
    options: tuple[str, ...]
    owner: str
    owned: bool  # by a role that the session's role is a member of
    via: tuple[str, ...]
    depth: int
    comment: str | None
    rules: bool = False  # a view with rules or INSTEAD OF triggers besides its own
    direct: bool = (
        True  # it names the table itself, whatever else it reads; `depth` is the longest way to the table
    )
    of: TableName | None = None  # whose rule or policy it is
    of_kind: str | None = None  # relkind of that: v, r, p, ...
    writes: bool = False  # a stored SQL body that does more than read
    leakproof: bool = False  # a function that only a superuser may define
    session: int | None = None  # pid of the session whose temporary object it is, from PostgreSQL 16 on

    @property
    def temporary(self) -> bool:
        """Whether it is in a session's temporary schema, or the rule or policy of something there."""
        return any(name is not None and name.schema.startswith("pg_temp_") for name in (self.name, self.of))


@dataclass(frozen=True)
class OwnedSequence:
    """A sequence of a serial (`identity` False) or identity column."""

    column: str
    name: TableName
    oid: int
    identity: bool
    type_sql: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cache: int
    cycle: bool
    grants: tuple[Grant, ...] = ()
    comment: str | None = None
    bare: bool = False  # every privilege was taken, the owner's too


@dataclass(frozen=True)
class ExtendedStatistics:
    """A CREATE STATISTICS object; `tail` is its definition from the kinds on, up to FROM."""

    name: TableName
    definition: str
    target: int | None
    comment: str | None
    owner: str = ""
    owned: bool = True  # by a role that the session's role is a member of


@dataclass(frozen=True)
class ScanFacts:
    """What reading the rows found, or their index. Times are text as PostgreSQL prints them in ISO and UTC.

    `rows` is by the statistics where they were read through an index (`rows_exact` False); all else was counted.

    `buckets` counts the distinct intervals (chunks) that the rows fall in at `interval`; `far_buckets` those among them that are
    separated from the bulk (outside the 0.1 to 99.9 percentiles widened by ten times their distance).

    `ranges_on_page`: in how many batches the rows of a page would lie, on average, if they were cut by the time, by a sample of
    the pages; None where it was not looked at. `in_order`: the columns in whose order the rows lie, or against it."""

    rows: int
    nulls: int
    infinite: int
    minimum: str | None
    maximum: str | None
    buckets: int
    far_rows: int  # rows that lie absurdly far from the rest
    far_examples: tuple[str, ...]
    check_violations: tuple[tuple[str, int], ...]  # NOT VALID constraint -> rows that violate it today
    seconds: float
    interval: str
    far_buckets: int = 0
    not_uuid_v7: int = 0  # for a uuid time column: values that carry no time
    rows_exact: bool = True
    ranges_on_page: float | None = None
    in_order: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """What to say before the number of rows: 'about ' where it is an estimate."""
        return "" if self.rows_exact else "about "


@dataclass(frozen=True)
class TransactionNow:
    """A transaction that is open now. `seconds` is its age. `holds_snapshot`: idle in transaction with a backend_xmin."""

    pid: int
    user: str
    application: str
    state: str
    seconds: float
    query: str
    holds_snapshot: bool
    touches_table: bool
    prepared: str | None = None  # gid of a prepared transaction


@dataclass(frozen=True)
class IsolationDefault:
    """default_transaction_isolation set for a database or role to something above READ COMMITTED."""

    role: str | None
    database: str | None
    isolation: str


@dataclass(frozen=True)
class Membership:
    """A publication that names the table, with what it publishes of it: a list of columns (None: all), a filter of rows."""

    name: str
    columns: tuple[str, ...] | None
    filter: str | None
    owner: str
    owned: bool  # by a role that the session's role is a member of


@dataclass(frozen=True)
class ReplicationFacts:
    """Replicas and slots. Lags are bytes of WAL."""

    publications: tuple[str, ...]  # that name the table (or its schema)
    all_tables_publications: tuple[str, ...]
    subscriptions: tuple[str, ...]  # whose target the table is
    replicas: tuple[tuple[str, int], ...]
    slots: tuple[tuple[str, int, bool], ...]  # name, lag, active
    memberships: tuple[Membership, ...] = ()  # publications that name the table itself
    schema_publications: tuple[str, ...] = ()  # that name its schema
    other_replication: tuple[str, ...] = ()  # by pglogical and the like into this database: origin and extension


@dataclass(frozen=True)
class StatementFacts:
    """What pg_stat_statements shows, None where it cannot be read. Texts are normalized statements, at most five each."""

    available: bool
    conflict_targets: tuple[str, ...] = ()  # INSERT ... ON CONFLICT on the table
    time_updates: tuple[str, ...] = ()  # UPDATE ... SET time
    isolation: tuple[str, ...] = ()  # BEGIN/SET TRANSACTION above READ COMMITTED
    # Functions of this database whose source does the same, by signature (for ON CONFLICT with the statement behind a
    # colon); seen without pg_stat_statements.
    conflict_functions: tuple[str, ...] = ()
    time_update_functions: tuple[str, ...] = ()
    parent_alone: tuple[str, ...] = ()  # ONLY the table, or COPY of it
    parent_alone_functions: tuple[str, ...] = ()
    hidden: int = 0  # statements of other roles whose text this role may not read


@dataclass(frozen=True)
class Activity:
    """What changes from minute to minute: not part of the fingerprint."""

    transactions: tuple[TransactionNow, ...] = ()
    free_disk_bytes: int | None = None  # None: cannot be known from here
    leftovers: tuple[str, ...] = ()  # identities of objects that an earlier rollout left on this table
    open_rollout: str | None = None  # phase of an unfinished rollout of this table
    transactions_visible: bool = True  # False: other roles' sessions cannot be seen (no pg_monitor)
    # Whose the ledger is, where this role may not read or trust it: what looks left over may be a rollout's at work.
    foreign_ledger: str | None = None


@dataclass(frozen=True)
class Inspection:
    """Everything known of one table."""

    server: ServerFacts
    table: TableFacts
    rights: Rights
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    constraints: tuple[Constraint, ...]
    inbound_keys: tuple[InboundKey, ...]
    triggers: tuple[Trigger, ...]
    policies: tuple[Policy, ...]
    rules: tuple[str, ...]
    dependents: tuple[Dependent, ...]
    sequences: tuple[OwnedSequence, ...]
    extended_statistics: tuple[ExtendedStatistics, ...]
    security_labels: tuple[str, ...]
    replication: ReplicationFacts
    isolation_defaults: tuple[IsolationDefault, ...]
    statements: StatementFacts
    activity: Activity
    time_column: str
    scan: ScanFacts | None
    fingerprint: str
    taken_at: datetime
    event_triggers: tuple[str, ...] = field(default=())
    overloads: tuple[str, ...] = field(default=())  # others' functions under the names of TimescaleDB's
    needs: RightsReport | None = None  # what the session's role needs for a rollout, and what of it it has
    odd_parts: tuple[str, ...] = field(
        default=()
    )  # what a part of the table has that cannot be carried over, a sentence each

    def column(self, name: str) -> Column | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def time(self) -> Column | None:
        """The time column, if the table has it."""
        return self.column(self.time_column)

    @property
    def has_time_index(self) -> bool:
        """Whether a valid btree index over every row has the time column first."""
        return any(
            index.valid
            and index.method == "btree"
            and index.predicate is None
            and bool(index.columns)
            and index.columns[0].column == self.time_column
            for index in self.indexes
        )

    @property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns that are stored: all but virtual generated ones."""
        return tuple(column for column in self.columns if column.generated != "v")

    @property
    def writable_columns(self) -> tuple[Column, ...]:
        """The columns that an INSERT may name: not the generated ones."""
        return tuple(column for column in self.columns if column.generated == "")
