"""The tables of one rollout in the ledger's schema."""

from __future__ import annotations

from psycopg import sql

from ..db import fetch_value
from ..db.connection import Connection
from ..model.names import LEDGER_SCHEMA, TableName
from ..model.plan import BatchBy
from ..model.rollout import Direction, Rollout
from ..model.statement import Statement
from .flow import Flow
from .pairs import PairField
from .rights import Kind, owner_alone

STEP = "ledger"


def column_list(flow: Flow, alias: str | None = None) -> sql.Composed:
    """The columns that an INSERT names: all but generated ones."""
    names = [column.name for column in flow.rollout.plan.inspection.writable_columns]
    return sql.SQL(", ").join(
        sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names
    )


def range_fields(flow: Flow) -> list[PairField]:
    """The fields of the pair by which batches are cut: the time, or the identity's columns, or none."""
    pairs, plan = flow.pairs, flow.rollout.plan
    if plan.batch_by is BatchBy.TIME:
        return [pairs.time]
    if plan.batch_by is BatchBy.KEY:
        by_label = {field.label: field for field in pairs.fields}
        return [by_label[column.name] for column in plan.identity.columns]
    return []


def range_columns(flow: Flow) -> list[tuple[str, sql.Composable]]:
    """Their names in the ledger, with their types."""
    return [(field.name, field.type) for field in range_fields(flow)]


# Vacuum gives pages back under ACCESS EXCLUSIVE, and every writer writes to the log; `apply.tidy` does it where nobody writes.
_NO_TRUNCATION = sql.SQL("vacuum_truncate = false, toast.vacuum_truncate = false")
_LOG_OPTIONS = sql.SQL(
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, "
    "autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0, {}"
).format(_NO_TRUNCATION)


def not_truncated(part: sql.Composable) -> sql.Composed:
    """Has vacuum leave the size of a part of the log, or of a log of an older hyperferry's, as it is. Locks no writer out."""
    return sql.SQL("ALTER TABLE {} SET ({})").format(part, _NO_TRUNCATION)


def create_statements(flow: Flow) -> tuple[Statement, ...]:
    """Logs, applier locks, batches, quarantine and excused pairs of this rollout. Idempotent."""
    pairs = flow.pairs
    out: list[Statement] = []
    for direction in Direction:
        log, lock = flow.of_ledger(f"{direction}_log"), flow.of_ledger(f"{direction}_lock")
        out.append(
            Statement(
                STEP,
                f"the change log of the {direction} direction: pairs of changed rows that are not applied yet",
                sql.SQL(
                    'CREATE TABLE IF NOT EXISTS {log} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, op "char" NOT NULL, '
                    "{pair}) WITH ({options})"
                ).format(log=log, pair=pairs.definition(), options=_LOG_OPTIONS),
            )
        )
        spare = flow.of_ledger(f"{direction}_spare_log")
        sequence = sql.Identifier(LEDGER_SCHEMA, f"{direction}_log_{flow.rollout.id}_id_seq").as_string(None)
        out.append(
            Statement(
                STEP,
                "a second part of it, so that one can be emptied while writers write to the other",
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {spare} (id bigint DEFAULT pg_catalog.nextval({sequence}) PRIMARY KEY) "
                    "INHERITS ({log}) WITH ({options})"
                ).format(spare=spare, sequence=sql.Literal(sequence), log=log, options=_LOG_OPTIONS),
            )
        )
        for name, part in (("log", log), ("spare_log", spare)):
            out.append(
                Statement(
                    STEP,
                    "truncations stand apart, so that they are found at once",
                    sql.SQL("CREATE INDEX IF NOT EXISTS {name} ON {log} (id) WHERE op = 'T'").format(
                        name=sql.Identifier(f"{direction}_{name}_{flow.rollout.id}_truncations"), log=part
                    ),
                )
            )
        out.append(
            Statement(
                STEP,
                f"who holds this is the one applier of the {direction} direction",
                sql.SQL("CREATE TABLE IF NOT EXISTS {} ()").format(lock),
            )
        )
    by_name = {field.name: field for field in pairs.fields}
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(f"{end}_{name}"), by_name[name].definition)
        for end in ("lo", "hi")
        for name, _ in range_columns(flow)
    ]
    out.append(
        Statement(
            STEP,
            "the batches: lo inclusive, hi exclusive, NULL is open",
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {batch} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
                "state text NOT NULL DEFAULT 'pending', rows bigint, started_at timestamptz, done_at timestamptz, "
                "seconds double precision{columns})"
            ).format(
                batch=flow.of_ledger("batch"),
                columns=sql.SQL("").join(sql.SQL(", {}").format(column) for column in columns),
            ),
        )
    )
    out.append(
        Statement(
            STEP,
            "pairs that the other side cannot take",
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (direction text NOT NULL, {}, reason text NOT NULL, "
                "since timestamptz NOT NULL DEFAULT clock_timestamp())"
            ).format(flow.of_ledger("quarantine"), pairs.definition()),
        )
    )
    out.append(
        Statement(
            STEP,
            "pairs that differed in a verification while their change stood in the backlog",
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (verification_started timestamptz NOT NULL DEFAULT now(), {})"
            ).format(flow.of_ledger("excused"), pairs.definition()),
        )
    )
    out.append(
        Statement(
            STEP,
            "the hypertable's chunks since the cutover, and which of them were dropped",
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (chunk text PRIMARY KEY, low {span} NOT NULL, high {span} NOT NULL, "
                "dropped_at timestamptz)"
            ).format(
                flow.of_ledger("chunk"),
                span=sql.SQL("bigint" if counts(flow) else "timestamptz"),
            ),
        )
    )
    out += [owner_alone(Kind.TABLE, name.quoted) for name in table_names(flow.rollout)]
    out += [
        owner_alone(Kind.SEQUENCE, sql.Identifier(LEDGER_SCHEMA, f"{kind}_{flow.rollout.id}_id_seq").as_string(None))
        for kind in ("forward_log", "reverse_log", "batch")
    ]
    return tuple(out)


_OF_DIRECTION = ("spare_log", "log", "lock")
"""In the order in which they can be dropped."""
_OTHERS = ("batch", "quarantine", "excused", "chunk")


def log_bytes(conn: Connection, flow: Flow) -> int:
    """The size of the flow's change log on disk, dead rows and indexes included."""
    parts = [flow.log.as_string(conn), flow.spare_log.as_string(conn)]
    return int(
        fetch_value(
            conn,
            "SELECT sum(pg_total_relation_size(to_regclass(p))) FROM unnest(%s::text[]) AS p",
            [parts],
        )
    )


def counts(flow: Flow) -> bool:
    """The time is an integer: it counts, and is no point in time."""
    time = flow.rollout.plan.inspection.time
    return time is not None and time.base_type.startswith("pg_catalog.int")


def table_names(rollout: Rollout) -> tuple[TableName, ...]:
    """What `create_statements` makes, in the order in which it can be dropped."""
    kinds = [f"{direction}_{what}" for direction in Direction for what in _OF_DIRECTION]
    return tuple(rollout.names.of_ledger(kind) for kind in (*kinds, *_OTHERS))


def drop_statements(flow: Flow) -> tuple[Statement, ...]:
    """Drops what `create_statements` made."""
    return tuple(
        Statement(
            "ledger",
            "the rollout's own tables",
            sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name.schema, name.name)),
        )
        for name in table_names(flow.rollout)
    )
