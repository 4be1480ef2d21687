"""The statements of the steps. TimescaleDB's own functions are called by their schema, so that nothing of a search path's
is reached.

Compression goes by the names of the columnstore from 2.18, where they came, and by its old names before.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from ..model.declared import ContinuousAggregate, DeclaredIndex, OrderBy, Refresh, Span
from ..model.lifecycle import ServerState
from ..model.names import TableName, quote_ident
from ..model.statement import Fragment

SETTINGS = {
    False: {
        "on": "timescaledb.compress",
        "segment": "timescaledb.compress_segmentby",
        "order": "timescaledb.compress_orderby",
    },
    True: {
        "on": "timescaledb.enable_columnstore",
        "segment": "timescaledb.segmentby",
        "order": "timescaledb.orderby",
    },
}


class Statements:
    """Builds statements for this server."""

    def __init__(self, server: ServerState) -> None:
        self.server, self.columnstore = server, server.columnstore

    def _call(self, name: str, *arguments: sql.Composable, procedure: bool = False) -> sql.Composed:
        return sql.SQL("{} {}({})").format(
            sql.SQL("CALL" if procedure else "SELECT"),
            sql.Identifier(self.server.functions, name),
            sql.SQL(", ").join(arguments),
        )

    def chunk_interval(self, table: TableName, interval: Span) -> sql.Composed:
        """set_chunk_time_interval."""
        return self._call("set_chunk_time_interval", _relation(table), span_literal(interval))

    def compression(
        self,
        table: TableName,
        aggregate: bool,
        segment_by: Sequence[str] | None,
        order_by: Sequence[OrderBy] | None,
    ) -> sql.Composed:
        """Enables compression with these settings; None: the server's own choice."""
        names = SETTINGS[self.columnstore]
        parts: list[sql.Composable] = [sql.SQL(names["on"] + " = true")]
        if segment_by is not None:
            parts.append(
                sql.SQL(names["segment"] + " = {}").format(
                    sql.Literal(", ".join(map(quote_ident, segment_by)))
                )
            )
        if order_by is not None:
            parts.append(
                sql.SQL(names["order"] + " = {}").format(sql.Literal(", ".join(map(order_text, order_by))))
            )
        return _alter(table, aggregate, sql.SQL(", ").join(parts))

    def no_compression(self, table: TableName, aggregate: bool) -> sql.Composed:
        """Disables compression."""
        return _alter(table, aggregate, sql.SQL(SETTINGS[self.columnstore]["on"] + " = false"))

    def materialized_only(self, aggregate: TableName, wanted: bool) -> sql.Composed:
        """Whether a query of the aggregate leaves out rows that are not materialized yet."""
        return _alter(aggregate, True, sql.SQL(f"timescaledb.materialized_only = {str(wanted).lower()}"))

    def add_compression(self, table: TableName, after: Span, schedule: Span | None) -> sql.Composed:
        """A policy that compresses chunks."""
        arguments = [
            _relation(table),
            _named("after" if self.columnstore else "compress_after", span_literal(after)),
        ]
        name = "add_columnstore_policy" if self.columnstore else "add_compression_policy"
        return self._call(name, *arguments, *_scheduled(schedule), _IF_NOT, procedure=self.columnstore)

    def remove_compression(self, table: TableName) -> sql.Composed:
        """The policy goes; chunks stay compressed."""
        name = "remove_columnstore_policy" if self.columnstore else "remove_compression_policy"
        return self._call(name, _relation(table), _IF, procedure=self.columnstore)

    def add_retention(self, table: TableName, after: Span, schedule: Span | None) -> sql.Composed:
        """A policy that drops chunks."""
        return self._call(
            "add_retention_policy",
            _relation(table),
            _named("drop_after", span_literal(after)),
            *_scheduled(schedule),
            _IF_NOT,
        )

    def remove_retention(self, table: TableName) -> sql.Composed:
        """The policy goes."""
        return self._call("remove_retention_policy", _relation(table), _IF)

    def add_reorder(self, table: TableName, index: str) -> sql.Composed:
        """A policy that rewrites chunks in an index's order."""
        return self._call("add_reorder_policy", _relation(table), sql.Literal(index), _IF_NOT)

    def remove_reorder(self, table: TableName) -> sql.Composed:
        """The policy goes."""
        return self._call("remove_reorder_policy", _relation(table), _IF)

    def add_refresh(self, aggregate: TableName, refresh: Refresh) -> sql.Composed:
        """A policy that refreshes an aggregate."""
        return self._call(
            "add_continuous_aggregate_policy",
            _relation(aggregate),
            _named("start_offset", _offset(refresh.start_offset)),
            _named("end_offset", _offset(refresh.end_offset)),
            _named("schedule_interval", span_literal(refresh.schedule)),
            _IF_NOT,
        )

    def remove_refresh(self, aggregate: TableName) -> sql.Composed:
        """The policy goes. Its argument has had two names, and the first place always."""
        return self._call("remove_continuous_aggregate_policy", _relation(aggregate), sql.SQL("true"))

    def alter_job(
        self,
        job: int,
        schedule: Span | None,
        config: Sequence[tuple[str, Span | None]],
        scheduled: bool | None = None,
    ) -> sql.Composed:
        """Changes a policy where it stands, so that its number and its history are kept. `config`: what of it changes;
        `scheduled`: whether it runs, None where that stays as it is."""
        arguments: list[sql.Composable] = [sql.SQL("job_id")]
        if schedule is not None:
            arguments.append(_named("schedule_interval", span_literal(schedule)))
        if scheduled is not None:
            arguments.append(_named("scheduled", sql.SQL(str(scheduled).lower())))
        if config:
            merged: sql.Composable = sql.SQL("config")
            for name, value in config:
                merged = sql.SQL("jsonb_set({}, {}, {})").format(
                    merged, sql.Literal(f"{{{name}}}"), _json(value)
                )
            arguments.append(_named("config", merged))
        return sql.SQL("SELECT {}({}) FROM timescaledb_information.jobs WHERE job_id = {}").format(
            sql.Identifier(self.server.functions, "alter_job"),
            sql.SQL(", ").join(arguments),
            sql.Literal(job),
        )

    def create_aggregate(self, name: TableName, wanted: ContinuousAggregate) -> sql.Composed:
        """The aggregate, empty."""
        options = [sql.SQL("timescaledb.continuous")]
        if wanted.materialized_only is not None:
            options.append(
                sql.SQL(f"timescaledb.materialized_only = {str(wanted.materialized_only).lower()}")
            )
        return sql.SQL("CREATE MATERIALIZED VIEW {} WITH ({}) AS\n{}\nWITH NO DATA").format(
            _identifier(name), sql.SQL(", ").join(options), Fragment(wanted.query)
        )

    def drop_aggregate(self, name: TableName) -> sql.Composed:
        """The aggregate goes with its rows."""
        return sql.SQL("DROP MATERIALIZED VIEW {}").format(_identifier(name))

    def refresh(self, aggregate: TableName) -> sql.Composed:
        """All of it, as one statement; it is done in windows."""
        return self._call(
            "refresh_continuous_aggregate", _relation(aggregate), sql.NULL, sql.NULL, procedure=True
        )


def create_index(
    table: TableName, index: DeclaredIndex, name: str | None, tail: str, option: bool
) -> sql.Composed:
    """An index, as one statement; it is built chunk by chunk where `option` (TimescaleDB's) or the version allows it."""
    with_option = " WITH (timescaledb.transaction_per_chunk)" if option else ""
    head, where, rest = tail.partition(" WHERE ")
    return sql.SQL("CREATE {}{} ON {} {}").format(
        sql.SQL("UNIQUE INDEX" if index.unique else "INDEX"),
        sql.SQL("") if name is None else sql.SQL(" {}").format(sql.Identifier(name)),
        _identifier(table),
        Fragment(head + with_option + where + rest),
    )


def drop_index(schema: str, name: str) -> sql.Composed:
    """An index of the root, and those of its chunks with it."""
    return sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, name))


def span_literal(span: Span) -> sql.Composable:
    """A length of time as SQL: an interval, or a number of an integer column's units."""
    return sql.Literal(span.units) if span.integer else sql.SQL("INTERVAL {}").format(sql.Literal(str(span)))


def order_text(column: OrderBy) -> str:
    """A column of the order with what is not the default spelled out."""
    text = quote_ident(column.column) + (" DESC" if column.descending else "")
    if column.nulls_come_first != column.descending:
        text += " NULLS FIRST" if column.nulls_come_first else " NULLS LAST"
    return text


def _alter(table: TableName, aggregate: bool, options: sql.Composable) -> sql.Composed:
    kind = sql.SQL("MATERIALIZED VIEW" if aggregate else "TABLE")
    return sql.SQL("ALTER {} {} SET ({})").format(kind, _identifier(table), options)


def _identifier(name: TableName) -> sql.Identifier:
    return sql.Identifier(name.schema, name.name)


def _relation(name: TableName) -> sql.Literal:
    return sql.Literal(name.quoted)


def _named(name: str, value: sql.Composable) -> sql.Composed:
    return sql.SQL(name + " => {}").format(value)


def _scheduled(schedule: Span | None) -> tuple[sql.Composable, ...]:
    return () if schedule is None else (_named("schedule_interval", span_literal(schedule)),)


def _offset(span: Span | None) -> sql.Composable:
    return sql.NULL if span is None else span_literal(span)


def _json(span: Span | None) -> sql.Composable:
    if span is None:
        return sql.SQL("'null'")
    return sql.Literal(str(span.units)) if span.integer else sql.Literal(f'"{span}"')


_IF_NOT = sql.SQL("if_not_exists => true")
_IF = sql.SQL("if_exists => true")
