"""The SQL of the operations, the same online and in a script.

Each is one statement that looks at the state itself when it runs: a DO block, or something with IF NOT EXISTS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from ..db import load_queries
from ..model.declared import OrderBy
from ..model.names import quote_ident

MOST_ROWS = 100_000
"""Rows that a revision rewrites without being told that it may: a second or two."""

LOCK_TIMEOUT = "3s"
"""How long a revision waits for a lock that everybody else then waits behind."""

PHASES = ("planned", "prepared", "copying", "synced", "cut_over", "finished")
Interval = str | int
"""A PostgreSQL interval as text, or a number of an integer column's units."""


@dataclass(frozen=True)
class Table:
    """A table as a revision names it: without a schema it is found by the search path when the statement runs."""

    name: str
    schema: str | None = None

    @property
    def quoted(self) -> str:
        """Safe to stand in SQL."""
        return ".".join(quote_ident(part) for part in (self.schema, self.name) if part is not None)

    @property
    def flag(self) -> str:
        """The variable that lifts the guard: FORCE_PLAYER_STATS_HT."""
        return f"FORCE_{re.sub('[^A-Za-z0-9]', '_', self.name).upper()}_HT"

    @property
    def setting(self) -> str:
        """The same as a setting of a psql session."""
        return f"hyperferry.{self.flag.lower()}"


@dataclass(frozen=True)
class Guard:
    """Up to how many rows a table is rewritten, and whether the environment says that it may be whatever it has."""

    rows: int = MOST_ROWS
    environ: Mapping[str, str] | None = None

    def forced(self, table: Table) -> bool:
        """Whether FORCE_<TABLE>_HT is set."""
        environ = os.environ if self.environ is None else self.environ
        return environ.get(table.flag, "").strip().lower() in ("1", "on", "true", "yes")


def create_hypertable(
    table: Table,
    time: str,
    *,
    chunk_interval: Interval | None = None,
    primary_key: Sequence[str] | None = None,
    default_indexes: bool = False,
    guard: Guard | None = None,
    lock_timeout: str = LOCK_TIMEOUT,
) -> str:
    """Makes the table a hypertable, in place, rows and all."""
    interval = "" if chunk_interval is None else f"chunk_time_interval => {interval_text(chunk_interval)}, "
    return _do(
        "create_hypertable",
        **_known(table),
        guard=_guard(table, guard or Guard(), _online(table, time)),
        time=_text(time),
        lock_timeout=_text(lock_timeout),
        widen=_boolean(primary_key is not None),
        key=_array(primary_key or ()),
        key_name=_text(f"{table.name}_pkey"),
        key_columns=_text(", ".join(map(quote_ident, primary_key or ()))),
        interval=_text(interval),
        default_indexes=_text(str(default_indexes).lower()),
    )


def revert_hypertable(table: Table, *, guard: Guard | None = None, lock_timeout: str = LOCK_TIMEOUT) -> str:
    """Makes the hypertable a plain table again; what it cannot take along it names, and does nothing."""
    hint = f"Copy it online by other means, or set {table.flag}=1 in alembic's environment; in psql: SET {table.setting} = 1;"
    return _do(
        "revert_hypertable",
        **_known(table),
        guard=_guard(table, guard or Guard(), hint),
        lock_timeout=_text(lock_timeout),
    )


def set_chunk_interval(table: Table, interval: Interval) -> str:
    """The width of chunks from now on."""
    return _do("set_chunk_interval", **_known(table), interval=_text(interval_text(interval)))


def create_index(
    name: str,
    table: Table,
    columns: Sequence[str],
    *,
    unique: bool = False,
    using: str | None = None,
    include: Sequence[str] = (),
    where: str | None = None,
    per_chunk: bool = False,
    aggregate: bool = False,
    skip_on_apache: bool = False,
) -> tuple[str, ...]:
    """An index. `columns`: a column's name, or an expression in parentheses, or either with what follows it in CREATE INDEX
    (`game_date DESC`). With `per_chunk` the second statement must run outside of transactions. Of an `aggregate` there is
    none on the Apache edition."""
    words = [
        "CREATE",
        *(["UNIQUE"] if unique else []),
        "INDEX",
        *(["IF NOT EXISTS"] if per_chunk else []),  # the block before has seen whether it is this table's
        quote_ident(name),
    ]
    words += ["ON", table.quoted, *(["USING", quote_ident(using)] if using else [])]
    words.append(f"({', '.join(map(column_text, columns))})")
    if include:
        words.append(f"INCLUDE ({', '.join(map(quote_ident, include))})")
    if per_chunk:
        words.append("WITH (timescaledb.transaction_per_chunk)")
    if where:
        words.append(f"WHERE {where}")
    create = " ".join(words)
    block = _do(
        "create_index",
        **_known(table),
        community=_community("continuous aggregates", skip_on_apache) if aggregate else sql.SQL(""),
        name=_text(name),
        aggregate=_boolean(aggregate),
        build=_boolean(not per_chunk),
        create=_text(create),
    )
    return (block, create) if per_chunk else (block,)


def alone(name: str) -> str:
    """For a script: fails where the index that follows it cannot be made chunk by chunk."""
    return _do("alone", name=_text(name))


def drop_index(name: str, schema: str | None) -> str:
    """An index, with those of its chunks."""
    return _briefly(f"DROP INDEX IF EXISTS {Table(name, schema).quoted}")


def add_compression(
    table: Table,
    *,
    segment_by: Sequence[str] | None = None,
    order_by: Sequence[OrderBy] | None = None,
    after: Interval | None = None,
    schedule: str | None = None,
    skip_on_apache: bool = False,
    aggregate: bool = False,
) -> str:
    """How chunks (of an `aggregate`, or else a hypertable) are compressed, and from which age a policy does it. By the old
    names, which every version knows. None: as it is, or the server's own choice; an empty list is a wish."""
    from ..declared.statements import order_text

    options = ["timescaledb.compress = true"]
    if segment_by is not None:
        options.append(
            f"timescaledb.compress_segmentby = {_text(', '.join(map(quote_ident, segment_by))).as_string(None)}"
        )
    if order_by is not None:
        options.append(
            f"timescaledb.compress_orderby = {_text(', '.join(map(order_text, order_by))).as_string(None)}"
        )
    policy = sql.SQL("") if after is None else _policy("compression", after, schedule)
    return _do(
        "add_compression",
        **_known(table),
        community=_community("compression", skip_on_apache),
        alter=_text("ALTER MATERIALIZED VIEW " if aggregate else "ALTER TABLE "),
        options=_text(", ".join(options)),
        policy=policy,
    )


def remove_compression(table: Table) -> str:
    """The policy of a hypertable or of a continuous aggregate goes, and compression where no chunk is compressed."""
    return _do("remove_compression", **_known(table))


def remove_policy(table: Table, kind: str) -> str:
    """The policy of that kind (compression, reorder, refresh, retention) of a hypertable or of a continuous aggregate goes."""
    remove = (
        ".remove_continuous_aggregate_policy($1, true)"
        if kind == "refresh"
        else f".remove_{kind}_policy($1, if_exists => true)"
    )
    return _do("remove_policy", **_known(table), remove=_text(remove))


def add_retention(
    table: Table,
    after: Interval,
    *,
    schedule: str | None = None,
    skip_on_apache: bool = False,
    after_aggregates: bool = False,
) -> str:
    """A policy that drops chunks of an age. With `after_aggregates` it is left out, with a notice, while there are rows that a
    continuous aggregate was never made from, unless the policy that is there drops no less."""
    return _do(
        "add_policy",
        **_known(table),
        community=_community("policies", skip_on_apache),
        policy=_after_aggregates(after, schedule) if after_aggregates else _policy("retention", after, schedule),
    )


def add_reorder(
    table: Table, index: str, *, schedule: str | None = None, skip_on_apache: bool = False
) -> str:
    """A policy that rewrites closed chunks in the order of an index."""
    added = f".add_reorder_policy($1, {_text(index).as_string(None)})"
    policy = _step("policy").format(
        of_target=_template("of_target"),
        kind=_text("policy_reorder"),
        same=sql.SQL("j.config ->> 'index_name' = {}{}").format(_text(index), _scheduled(schedule)),
        remove=_text(".remove_reorder_policy($1, if_exists => true)"),
        # It takes no schedule, and gives back the number of the job.
        add=_added(added)
        if schedule is None
        else sql.SQL("functions || '.alter_job(' || functions || {}").format(_text(f"{added}{_every(schedule)})")),
    )
    return _do("add_policy", **_known(table), community=_community("policies", skip_on_apache), policy=policy)


def create_continuous_aggregate(
    name: Table,
    query: str,
    *,
    materialized_only: bool | None = None,
    skip_on_apache: bool = False,
    change: bool = False,
) -> str:
    """The aggregate, empty: a refresh, or its policy, fills it. With `change` one that is there is brought to
    `materialized_only`; else a notice says that it is otherwise."""
    options = ["timescaledb.continuous"]
    if materialized_only is not None:
        options.append(f"timescaledb.materialized_only = {str(materialized_only).lower()}")
    query = query.strip().rstrip(";")
    create = (
        f"CREATE MATERIALIZED VIEW {name.quoted} WITH ({', '.join(options)}) AS\n{query}\nWITH NO DATA"
    )
    return _do(
        "create_continuous_aggregate",
        **_known(name),
        community=_community("continuous aggregates", skip_on_apache),
        materialized_only=sql.SQL("NULL::boolean") if materialized_only is None else _boolean(materialized_only),
        change=_boolean(change),
        query=_text(query),
        create=_text(create),
    )


def refresh_policy(
    name: Table,
    *,
    start_offset: Interval | None,
    end_offset: Interval | None,
    schedule: str,
    skip_on_apache: bool = False,
) -> str:
    """A policy that refreshes an aggregate. Of an integer time an offset of 0 is the present itself."""
    start, end = (
        ("NULL" if each is None else interval_text(each, zero=True)) for each in (start_offset, end_offset)
    )
    same = sql.SQL(
        "j.schedule_interval = {schedule}::interval AND j.config ->> 'start_offset' IS NOT DISTINCT FROM {start} "
        "AND j.config ->> 'end_offset' IS NOT DISTINCT FROM {end}"
    ).format(schedule=_text(schedule), start=_stored(start_offset), end=_stored(end_offset))
    policy = _step("policy").format(
        of_target=_template("of_target"),
        kind=_text("policy_refresh_continuous_aggregate"),
        same=same,
        remove=_text(".remove_continuous_aggregate_policy($1, true)"),
        add=_added(
            f".add_continuous_aggregate_policy($1, start_offset => {start}, end_offset => {end}, "
            f"schedule_interval => {interval_text(schedule)})"
        ),
    )
    return _do(
        "add_policy",
        **_known(name),
        community=_community("policies", skip_on_apache),
        policy=policy,
    )


def drop_continuous_aggregate(name: Table) -> str:
    """The aggregate goes, with its rows and its policies."""
    return _briefly(f"DROP MATERIALIZED VIEW IF EXISTS {name.quoted}")


def require_rollout(table: Table, phase: str, *, or_small: bool = False) -> str:
    """Fails unless the table's rollout has come to the phase, or, for one that makes it a hypertable, it is one."""
    if phase not in PHASES:
        raise ValueError(f"{phase!r} is no phase of a rollout: {', '.join(PHASES)}")
    hint = f"hyperferry status {table.quoted} says how it stands; hyperferry start and cutover bring it on."
    return _do(
        "require_rollout",
        **_known(table),
        by_hypertable=_boolean(phase in ("cut_over", "finished")),
        phase=_text(phase),
        or_small=_boolean(or_small),
        hint=_text(hint),
    )


def interval_text(interval: Interval, *, zero: bool = False) -> str:
    """An interval or a number as SQL. Raises ValueError for a number that is not positive; `zero`: 0 is a length too."""
    if isinstance(interval, int):
        if interval < 0 or (interval == 0 and not zero):
            what, least = ("offset", "0 or a number above it") if zero else ("width", "a number above 0")
            raise ValueError(f"{interval} is no {what}: {least}, or an interval such as '7 days'")
        return str(interval)
    return f"INTERVAL {_text(interval).as_string(None)}"


def column_text(column: str) -> str:
    """A column as it stands in CREATE INDEX: a plain name is quoted, what is more than a name stands as it is."""
    return quote_ident(column) if re.fullmatch(r"\w+", column) else column


def _online(table: Table, time: str) -> str:
    return (
        f"Convert it online: hyperferry start {table.quoted} --time {quote_ident(time)}, then hyperferry cutover, and let the "
        f"revision say op.require_rollout. Or set {table.flag}=1 in alembic's environment; in psql: SET {table.setting} = 1; "
        f"or let the database approve it: hyperferry flag on --name {table.flag}"
    )


def _known(table: Table) -> dict[str, sql.Composable]:
    name = _text(table.quoted)
    return {
        "table": name,
        "target": _step("target").format(table=name),
        "is_hypertable": _template("is_hypertable"),
        "is_aggregate": _template("is_aggregate"),
        "holder": _step("holder"),
        "wait": _wait(),
    }


def _guard(table: Table, guard: Guard, hint: str) -> sql.Composed:
    return _step("guard").format(
        forced=_boolean(guard.forced(table)),
        setting=_text(table.setting),
        flag=_text(table.flag),
        rows=sql.Literal(guard.rows),
        hint=_text(hint),
    )


def _community(what: str, skip: bool) -> sql.Composed:
    return _step("community").format(what=_text(what), skip=_boolean(skip))


def _policy(kind: str, after: Interval, schedule: str | None = None) -> sql.Composed:
    key = {"compression": "compress_after", "retention": "drop_after"}[kind]
    return _step("policy").format(
        of_target=_template("of_target"),
        kind=_text(f"policy_{kind}"),
        same=sql.SQL("{}{}").format(_as_old(key, "=", after), _scheduled(schedule)),
        remove=_text(f".remove_{kind}_policy($1, if_exists => true)"),
        add=_added(f".add_{kind}_policy($1, {key} => {interval_text(after)}{_every(schedule)})"),
    )


def _added(call: str) -> sql.Composed:
    """The call of a function of TimescaleDB as an expression within a block."""
    return sql.SQL("functions || {}").format(_text(call))


def _every(schedule: str | None) -> str:
    return "" if schedule is None else f", schedule_interval => {interval_text(schedule)}"


def _scheduled(schedule: str | None) -> sql.Composable:
    """Whether a policy j runs so often, as one more condition."""
    return (
        sql.SQL("")
        if schedule is None
        else sql.SQL(" AND j.schedule_interval = {}::interval").format(_text(schedule))
    )


def _after_aggregates(after: Interval, schedule: str | None) -> sql.Composed:
    stored = sql.SQL("{}::bigint" if isinstance(after, int) else "{}::interval::text").format(_text(str(after)))
    return _step("retention_after_aggregates").format(
        of_target=_template("of_target"),
        same=sql.SQL("{}{}").format(_as_old("drop_after", "=", after), _scheduled(schedule)),
        no_less=_as_old("drop_after", "<=", after),
        waiting=_step("waiting").format(after=_text(interval_text(after))),
        stored=sql.SQL("pg_catalog.to_jsonb({})").format(stored),
        schedule=sql.SQL("NULL::interval") if schedule is None else sql.SQL("{}::interval").format(_text(schedule)),
        add=_added(f".add_retention_policy($1, drop_after => {interval_text(after)}{_every(schedule)})"),
    )


def _as_old(key: str, compared: str, after: Interval) -> sql.Composed:
    """Whether a policy j goes by an age that compares so with this one, and by nothing else."""
    test, kind = "(j.config ->> {key})::interval {compared} {value}::interval", "string"
    if isinstance(after, int):
        test, kind = "(j.config ->> {key})::numeric {compared} {value}", "number"
    elif compared != "=":  # a month has no fixed length: counted back from today as well
        test += " AND pg_catalog.now() - {value}::interval {compared} pg_catalog.now() - (j.config ->> {key})::interval"
    # Only what it is: the server may read every policy of the database before it looks whose it is.
    words = f"CASE pg_catalog.jsonb_typeof(j.config -> {{key}}) WHEN '{kind}' THEN {test} ELSE false END"
    if key == "drop_after":
        words += " AND j.config ->> 'drop_created_before' IS NULL"
    return sql.SQL(words).format(key=_text(key), compared=sql.SQL(compared), value=sql.Literal(after))


def _wait() -> sql.Composed:
    return _step("wait").format(lock_timeout=_text(LOCK_TIMEOUT))


def _briefly(statement: str) -> str:
    return _do("briefly", wait=_wait(), statement=_text(statement))


def _stored(interval: Interval | None) -> sql.Composable:
    """An offset as a policy's settings keep it."""
    if interval is None:
        return sql.SQL("NULL")
    return (
        _text(str(interval))
        if isinstance(interval, int)
        else sql.SQL("{}::interval::text").format(_text(interval))
    )


def _do(body_of: str, /, **parts: sql.Composable) -> str:
    """A DO block of that body. The tag of its quotes stands nowhere in it."""
    body = _template(body_of).format(**parts).as_string(None)
    tag, number = "$hyperferry$", 0
    while tag in body:
        number += 1
        tag = f"$hyperferry{number}$"
    return f"DO {tag}\n{body}\n{tag}"


def _step(name: str) -> sql.SQL:
    """A part that is whole statements: the loader takes the last semicolon off."""
    return sql.SQL(_template(name).as_string(None) + ";")


def _template(name: str) -> sql.SQL:
    """The part of the file, without the sentence that says what it does."""
    lines = load_queries(__package__, "blocks.sql")[name].as_string(None).splitlines()
    while lines[0].startswith("--"):
        del lines[0]
    return sql.SQL("\n".join(lines))


def _text(value: str) -> sql.Literal:
    return sql.Literal(value)


def _boolean(value: bool) -> sql.SQL:
    return sql.SQL("true" if value else "false")


def _array(values: Sequence[str]) -> sql.Composed:
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(map(_text, values)))
