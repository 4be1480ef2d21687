"""The SQL of one slice. `%(ids)s` are the log rows that the slice consists of, as the text of an array."""

from __future__ import annotations

from psycopg import sql

from ..ledger.flow import Flow, Side
from ..ledger.objects import column_list, range_columns
from ..model.rollout import Direction
from ..model.statement import fragment
from .places import INTEGERS, POINTS, Places
from .window import Bounds

IDS = sql.SQL("%(ids)s::bigint[]")
"""Where the ids of the slice come from: a parameter, or a variable of the swap's own block."""


def covers(flow: Flow, batch: str, pair: str) -> sql.Composable:
    """That the batch (alias) covers the pair (alias): lo inclusive, hi exclusive, NULL open."""
    columns = range_columns(flow)
    if not columns:
        return sql.SQL("true")
    names = [name for name, _ in columns]
    key = sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier(pair, name) for name in names))
    low = sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier(batch, f"lo_{name}") for name in names))
    high = sql.SQL("ROW({})").format(
        sql.SQL(", ").join(sql.Identifier(batch, f"hi_{name}") for name in names)
    )
    return sql.SQL(
        "({b}.{lo0} IS NULL OR {key} OPERATOR(pg_catalog.>=) {low}) AND "
        "({b}.{hi0} IS NULL OR {key} OPERATOR(pg_catalog.<) {high})"
    ).format(
        b=sql.Identifier(batch),
        lo0=sql.Identifier(f"lo_{names[0]}"),
        hi0=sql.Identifier(f"hi_{names[0]}"),
        key=key,
        low=low,
        high=high,
    )


def _pending(flow: Flow) -> sql.Composed:
    """The pending batches as a FROM item, those that adjoin each other as one: each log row is compared with each of them, and
    hundreds are often but two or three ranges."""
    names = [name for name, _ in range_columns(flow)]

    def each(text: str) -> sql.Composed:
        return sql.SQL(", ").join(
            sql.SQL(text).format(
                lo=sql.Identifier(f"lo_{name}"), hi=sql.Identifier(f"hi_{name}"), end=sql.Identifier(f"end_{name}")
            )
            for name in names
        )

    batch = flow.of_ledger("batch")
    if not names:
        return sql.SQL("(SELECT x.* FROM {batch} AS x WHERE x.state = 'pending')").format(batch=batch)
    # The ends are taken from the batches themselves: array_agg would make one array of keys that are arrays.
    return sql.SQL(
        "(SELECT {ends} FROM (SELECT pg_catalog.min(z.id) AS first, pg_catalog.max(z.id) AS last FROM (SELECT y.id, "
        "pg_catalog.count(*) FILTER (WHERE (ROW({end}) OPERATOR(pg_catalog.=) ROW({lo})) IS NOT TRUE) OVER (ORDER BY y.id) "
        "AS island FROM (SELECT x.*, {before} FROM {batch} AS x WHERE x.state = 'pending') AS y) AS z GROUP BY z.island) AS i "
        "JOIN {batch} AS f ON f.id = i.first JOIN {batch} AS g ON g.id = i.last)"
    ).format(
        ends=each("f.{lo}, g.{hi}"),
        end=each("y.{end}"),
        lo=each("y.{lo}"),
        before=each("pg_catalog.lag(x.{hi}) OVER (ORDER BY x.id) AS {end}"),
        batch=batch,
    )


def read_window(flow: Flow, *, pending_batches: bool) -> sql.Composed:
    """The next log rows that may be applied (I4), oldest first, at most `%(limit)s`, in groups as `groups` gives them and in the
    order of the time: ids as text, how many they are, and whether an UPDATE is among them. A pair with a NULL time lies in no
    batch by time. A place is not kept from one transaction to the next: `located` looks for it in each."""
    blocked: sql.Composable = sql.SQL("")
    if pending_batches and flow.direction is Direction.FORWARD:
        blocked = sql.SQL(
            " AND NOT EXISTS (SELECT FROM {pending} AS b WHERE {covers})"
        ).format(pending=_pending(flow), covers=covers(flow, "b", "l"))
    return sql.SQL(
        "SELECT {low}, {high}, pg_catalog.array_agg(p.id)::text, pg_catalog.count(*), pg_catalog.bool_or(p.op = 'U') FROM "
        "(SELECT l.id, l.op, l.t FROM {log} l WHERE l.op <> 'T'{blocked} ORDER BY l.id LIMIT %(limit)s) AS p "
        "GROUP BY p.t IS NULL, {bucket} ORDER BY p.t IS NULL, {bucket}"
    ).format(log=flow.log, blocked=blocked, bucket=_bucket(flow), **_ends(flow))


def still_there(flow: Flow) -> sql.Composed:
    """Those of the ids whose log rows this snapshot still sees."""
    return sql.SQL("SELECT id FROM {} WHERE id = ANY({})").format(flow.log, IDS)


def of_excused(flow: Flow) -> sql.Composed:
    """The log rows of the pairs that stand excused since `%(started)s`."""
    return sql.SQL(
        "SELECT l.id FROM {log} AS l WHERE l.op <> 'T' AND EXISTS (SELECT FROM {excused} AS e "
        "WHERE e.verification_started = %(started)s AND {same})"
    ).format(log=flow.log, excused=flow.of_ledger("excused"), same=flow.pairs.same("l", "e"))


def _kind(flow: Flow) -> str:
    column = flow.rollout.plan.inspection.time
    assert column is not None
    return column.base_type


def _bucket(flow: Flow) -> sql.Composable:
    """The number of the chunk width since the origin in which the pair `p` lies. In double precision, which is much faster than
    numeric: only a time less than a microsecond from a boundary may come out beyond it, and that costs a statement, no more."""
    width, kind = sql.Literal(flow.rollout.plan.interval.width), _kind(flow)
    if kind in INTEGERS:
        return sql.SQL(
            "p.t::bigint / {w}::bigint - CASE WHEN pg_catalog.mod(p.t::bigint, {w}::bigint) < 0 THEN 1 ELSE 0 END"
        ).format(w=width)
    if kind in POINTS:
        return sql.SQL(
            "CASE WHEN pg_catalog.isfinite(p.t) THEN "
            "pg_catalog.floor(pg_catalog.date_part('epoch', p.t) * 1000000 / {}::float8) END"
        ).format(width)
    if kind == "pg_catalog.uuid":
        # RFC 9562: 48 bits of milliseconds, then the version.
        return sql.SQL(
            "CASE WHEN pg_catalog.substr(p.t::text, 15, 1) = '7' THEN 1000 * ('x' || pg_catalog.left("
            "pg_catalog.replace(p.t::text, '-', ''), 12))::pg_catalog.bit(48)::bigint / {}::bigint END"
        ).format(width)
    return sql.SQL("0::bigint")


def _ends(flow: Flow) -> dict[str, sql.Composable]:
    """The least and the greatest time of the pairs `p`, as text."""
    if _kind(flow) in INTEGERS | POINTS:
        return {"low": sql.SQL("pg_catalog.min(p.t)::text"), "high": sql.SQL("pg_catalog.max(p.t)::text")}
    # uuid has no min() before PostgreSQL 18; an ordered array serves every type.
    return {
        "low": sql.SQL("(pg_catalog.array_agg(p.t ORDER BY p.t))[1]::text"),
        "high": sql.SQL("(pg_catalog.array_agg(p.t ORDER BY p.t DESC))[1]::text"),
    }


def groups(flow: Flow, ids: sql.Composable = IDS) -> sql.Composed:
    """The slice in groups no wider than a chunk: the least and the greatest time (NULL for pairs without one), the ids."""
    return sql.SQL(
        "SELECT {low} AS low, {high} AS high, pg_catalog.array_agg(p.id) AS ids "
        "FROM {log} p WHERE p.id = ANY({ids}) GROUP BY p.t IS NULL, {bucket}"
    ).format(log=flow.log, ids=ids, bucket=_bucket(flow), **_ends(flow))


def located(flow: Flow, places: Places | None, ids: sql.Composable) -> sql.Composed:
    """The groups with the chunk (its quoted name) in which each lies; NULL where the root is to be used."""
    if places is None:
        return sql.SQL("SELECT g.*, NULL::text AS chunk FROM ({}) AS g").format(groups(flow, ids))
    kind = flow.pairs.time.type
    return sql.SQL("SELECT g.*, {chunk} AS chunk FROM ({groups}) AS g").format(
        chunk=places.chunk_of(sql.SQL("g.low::{}").format(kind), sql.SQL("g.high::{}").format(kind)),
        groups=groups(flow, ids),
    )


def chunks_of(flow: Flow, places: Places) -> sql.Composed:
    """For each of the bounds `%(lows)s` and `%(highs)s`, in their order, the chunk as `located` gives it."""
    kind = flow.pairs.time.type
    return sql.SQL(
        "SELECT {chunk} FROM ROWS FROM (pg_catalog.unnest(%(lows)s::text[]), pg_catalog.unnest(%(highs)s::text[])) "
        "WITH ORDINALITY AS g(low, high, place) ORDER BY g.place"
    ).format(
        chunk=places.chunk_of(sql.SQL("g.low::{}").format(kind), sql.SQL("g.high::{}").format(kind))
    )


def _table(side: Side, chunk: str | None) -> sql.Composable:
    """A side, or the one chunk of it that is meant."""
    return side.ident if chunk is None else sql.SQL("ONLY {}").format(fragment(chunk))


def _plain(side: Side, chunk: str | None) -> bool:
    """Whether rows are looked for in one table; in a hypertable the time tells in which of many."""
    return chunk is not None or not side.hypertable


def _distinct(flow: Flow, ids: sql.Composable) -> sql.Composed:
    """The pairs of these log rows, each once, as a FROM item, in the order of their time: rows in any order change the chunk and
    the index pages with each row, which takes twice as long, for deletes and inserts alike."""
    names = ["t", *(field.name for field in flow.pairs.fields if not field.is_time)]
    return sql.SQL(
        "(SELECT DISTINCT {columns} FROM {log} l WHERE l.id = ANY({ids}) ORDER BY {order}) AS p"
    ).format(
        columns=flow.pairs.columns("l"),
        log=flow.log,
        ids=ids,
        order=sql.SQL(", ").join(sql.Identifier("l", name) for name in names),
    )


def _within(value: sql.Composable, flow: Flow, bounds: Bounds) -> sql.Composed:
    kind = flow.pairs.time.type
    return sql.SQL(
        "{value} OPERATOR(pg_catalog.>=) {low}::{kind} AND {value} OPERATOR(pg_catalog.<=) {high}::{kind}"
    ).format(value=value, low=sql.Literal(bounds[0]), high=sql.Literal(bounds[1]), kind=kind)


def limits(flow: Flow, alias: str, bounds: Bounds | None) -> sql.Composable:
    """` AND` that the row's time lies within the bounds, as literals."""
    if bounds is None:
        return sql.SQL("")
    return sql.SQL(" AND {}").format(_within(flow.pairs.time.of_row(alias), flow, bounds))


def _limits_of(flow: Flow, alias: str, bounds: Bounds | None, chunk: str | None) -> sql.Composable:
    """The limits of a statement on a side. In the chunk itself there is nothing to exclude, and limits do harm: where the planner
    has no statistics of its newest rows and takes it for nearly empty between them, it reads all that lies between them again for
    each pair (25 million rows for 5,000 pairs of one day). Without a key they are what keeps any plan short."""
    return sql.SQL("") if chunk is not None and not flow.pairs.by_image else limits(flow, alias, bounds)


def delete(
    flow: Flow, bounds: Bounds | None, ids: sql.Composable = IDS, *, chunk: str | None = None
) -> sql.Composed:
    """Deletes every target row with one of the slice's pairs, which all lie in `chunk` (quoted), if that is given."""
    return sql.SQL("DELETE FROM {target} AS t USING {pairs} WHERE {match}{limits}").format(
        target=_table(flow.passive, chunk),
        pairs=_distinct(flow, ids),
        match=flow.pairs.matches("p", "t", by_key=_plain(flow.passive, chunk)),
        limits=_limits_of(flow, "t", bounds, chunk),
    )


def insert(
    flow: Flow,
    bounds: Bounds | None,
    ids: sql.Composable = IDS,
    *,
    null_time: bool = False,
    chunk: str | None = None,
) -> sql.Composed:
    """Inserts every source row with one of the slice's pairs; with `null_time` those whose time is NULL, and no others. `chunk`:
    the source's, quoted, in which all of them lie."""
    return sql.SQL(
        "INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {pairs} JOIN "
        "{source} AS s ON {match}{limits}"
    ).format(
        target=flow.passive.ident,
        columns=column_list(flow),
        values=column_list(flow, "s"),
        pairs=_distinct(flow, ids),
        source=_table(flow.active, chunk),
        match=flow.pairs.matches("p", "s", null_time=null_time, by_key=_plain(flow.active, chunk)),
        limits=_limits_of(flow, "s", bounds, chunk),
    )


def remove(flow: Flow, ids: sql.Composable = IDS) -> sql.Composed:
    """Removes the log rows that were read, by their ids, never by a range of them: sequence order is not commit order."""
    return sql.SQL("DELETE FROM {} WHERE id = ANY({})").format(flow.log, ids)


def moved_across_chunks(flow: Flow) -> sql.Composed:
    """Whether an UPDATE in the slice moved a row of some key from one chunk to another: after the cutover such an UPDATE of the
    application's fails (I9). Only for tables with a key."""
    return sql.SQL("SELECT {}").format(_moved(flow, sql.SQL("p.id = ANY({}) AND ").format(IDS)))


def moved_in_log(flow: Flow) -> sql.Composed:
    """The same of all that is still to be applied, as a condition."""
    return _moved(flow, sql.SQL(""))


def can_move(flow: Flow) -> bool:
    """Whether a row can be followed from one time to another: by a key that is more than the time."""
    return not flow.pairs.by_image and len(flow.pairs.fields) > 1


def _moved(flow: Flow, which: sql.Composable) -> sql.Composed:
    keys = sql.SQL(", ").join(sql.Identifier("p", f.name) for f in flow.pairs.fields if not f.is_time)
    return sql.SQL(
        "EXISTS (SELECT FROM {log} p WHERE {which}p.op = 'U' GROUP BY {keys} "
        "HAVING pg_catalog.min({bucket}) <> pg_catalog.max({bucket}))"
    ).format(log=flow.log, which=which, keys=keys, bucket=_bucket(flow))


def moved_excused(flow: Flow) -> sql.Composed:
    """The same of all log rows of the excused pairs' keys: of an UPDATE's two pairs one alone may stand excused."""
    keys = [field for field in flow.pairs.fields if not field.is_time]
    return sql.SQL(
        "SELECT EXISTS (SELECT FROM {log} p WHERE p.op = 'U' AND EXISTS (SELECT FROM {excused} AS e "
        "WHERE e.verification_started = %(started)s AND {same}) GROUP BY {keys} "
        "HAVING pg_catalog.min({bucket}) <> pg_catalog.max({bucket}))"
    ).format(
        log=flow.log,
        excused=flow.of_ledger("excused"),
        same=sql.SQL(" AND ").join(
            sql.SQL("{} {} {}").format(sql.Identifier("p", f.name), f.equals, sql.Identifier("e", f.name)) for f in keys
        ),
        keys=sql.SQL(", ").join(sql.Identifier("p", f.name) for f in keys),
        bucket=_bucket(flow),
    )


def forget_quarantine(flow: Flow) -> sql.Composed:
    """The slice's pairs are no longer in quarantine: they were just applied."""
    return sql.SQL(
        "DELETE FROM {quarantine} AS q USING {log} AS p WHERE q.direction = {direction} AND p.id = ANY({ids}) AND {same}"
    ).format(
        ids=IDS,
        quarantine=flow.of_ledger("quarantine"),
        log=flow.log,
        direction=sql.Literal(flow.direction.value),
        same=flow.pairs.same("q", "p"),
    )


def to_quarantine(flow: Flow) -> sql.Composed:
    """Moves the slice's pairs from the log to quarantine, with the reason; one that was there already keeps its `since`. Gives
    each pair as JSON, and whether it is new there."""
    return sql.SQL(
        "WITH gone AS (DELETE FROM {log} WHERE id = ANY({ids}) RETURNING {columns}), "
        "old AS (DELETE FROM {quarantine} AS q USING gone g WHERE q.direction = {direction} AND {same} "
        "RETURNING {old}, q.since), "
        "pair AS (SELECT DISTINCT {columns} FROM gone), "
        "put AS (INSERT INTO {quarantine} (direction, {columns}, reason, since) "
        "SELECT {direction}, {pair}, %(reason)s, COALESCE(o.since, pg_catalog.clock_timestamp()) "
        "FROM pair p LEFT JOIN (SELECT {columns}, pg_catalog.min(since) AS since FROM old GROUP BY {columns}) o ON {known}) "
        "SELECT {json}, NOT EXISTS (SELECT FROM old o WHERE {known}) FROM pair p"
    ).format(
        log=flow.log,
        ids=IDS,
        columns=flow.pairs.columns(),
        old=flow.pairs.columns("q"),
        pair=flow.pairs.columns("p"),
        quarantine=flow.of_ledger("quarantine"),
        direction=sql.Literal(flow.direction.value),
        same=flow.pairs.same("q", "g"),
        known=flow.pairs.same("o", "p"),
        json=flow.pairs.as_json("p"),
    )


def from_quarantine(flow: Flow, most: int | None) -> sql.Composed:
    """Puts quarantined pairs of this direction (`most`: so many, drawn by lot) into the log, to be tried once more. They stay in
    quarantine until they succeed."""
    return sql.SQL(
        "INSERT INTO {log} (op, {columns}) SELECT 'W', {columns} FROM {quarantine} WHERE direction = {direction}{some}"
    ).format(
        quarantine=flow.of_ledger("quarantine"),
        direction=sql.Literal(flow.direction.value),
        columns=flow.pairs.columns(),
        log=flow.log,
        some=sql.SQL(" ORDER BY pg_catalog.random() LIMIT {}").format(sql.Literal(most)) if most else sql.SQL(""),
    )
