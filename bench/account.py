"""What the ledger says of a rollout's own times."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from .place import Connection


@dataclass(frozen=True)
class Account:
    """Moments of the newest rollout that was copied, in seconds since 1970: the first batch begun, the last one done, all
    indexes built, statistics made, the verification begun and ended. `analyze`: seconds of ANALYZE; `rows`: copied."""

    copying: float
    copied: float
    indexed: float
    analyzed: float
    verifying: float
    verified: float
    analyze: float
    rows: int


def own_account(conn: Connection) -> Account:
    """Asks the ledger, while the rollout is not aborted or finished. Raises RuntimeError where it does not know."""
    rollout = _row(conn, "SELECT max(id) FROM hyperferry.rollout")[0]
    first, last, rows = _row(
        conn,
        sql.SQL(
            "SELECT EXTRACT(epoch FROM min(started_at))::float8, EXTRACT(epoch FROM max(done_at))::float8, "
            "sum(rows)::bigint FROM {}"
        ).format(sql.Identifier("hyperferry", f"batch_{rollout}")),
    )
    at, seconds = _row(
        conn,
        "SELECT EXTRACT(epoch FROM at)::float8, (detail ->> 'seconds')::float8 FROM hyperferry.event "
        "WHERE kind = 'analyzed' ORDER BY id DESC LIMIT 1",
    )
    began, ended = _row(
        conn,
        "SELECT EXTRACT(epoch FROM started_at)::float8, EXTRACT(epoch FROM ended_at)::float8 FROM hyperferry.verification "
        "ORDER BY id DESC LIMIT 1",
    )
    return Account(first, last, at - seconds, at, began, ended, seconds, int(rows))


def last_swap(conn: Connection) -> tuple[float, float]:
    """When the last cutover or rollback was, in seconds since 1970; before it, when its verification had ended: all attempts lie
    between the two."""
    verified, at = _row(
        conn,
        "SELECT EXTRACT(epoch FROM max(v.ended_at))::float8, EXTRACT(epoch FROM e.at)::float8 "
        "FROM hyperferry.event AS e LEFT JOIN hyperferry.verification AS v ON v.rollout_id = e.rollout_id AND v.ended_at <= e.at "
        "WHERE e.kind = 'swap' GROUP BY e.id, e.at ORDER BY e.id DESC LIMIT 1",
    )
    return verified, at


def _row(conn: Connection, query: str | sql.Composed) -> tuple[float, ...]:
    row = conn.execute(query).fetchone()
    if row is None or None in row:
        raise RuntimeError(
            f"the ledger does not know: {query if isinstance(query, str) else query.as_string(None)}"
        )
    return tuple(row)  # type: ignore[arg-type]
