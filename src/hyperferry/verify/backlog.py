"""Whether the backlog explains why a range differs: looked up pair by pair, instead of reading the range once more.

While writers run nearly every range differs, by the few pairs whose changes are not applied yet. At one snapshot the rows of
those pairs are found by index on both sides and taken out of the sums: what is left is equal exactly when no other pair
differs (as exact as the sums themselves).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import psycopg
from psycopg import sql

from ..db import execute, fetch_all, fetch_one
from ..db.connection import Connection
from ..ledger.compressed import compressed_below
from ..ledger.flow import Flow
from . import statements
from .pairwise import BY_INDEX, Group, both_of_pair, bucket_of, groups_of, within_group
from .ranges import Range, pair_condition

MOST_PAIRS = 50_000
MOST_GROUPS = 500
"""Beyond these, reading the range again is cheaper."""


@dataclass(frozen=True)
class Sums:
    """Rows and sums of image hashes of one range on both sides."""

    source_rows: int
    target_rows: int
    source_hash: Decimal
    target_hash: Decimal


def _groups(conn: Connection, flow: Flow, within: Range) -> list[Group]:
    rows = fetch_all(
        conn,
        statements.query("backlog_groups").format(
            log=flow.log,
            within=pair_condition(flow, within, "x"),
            bucket=bucket_of(flow, compressed_below(conn, flow)),
        ),
    )
    return groups_of(rows)


def _settle(flow: Flow, within: Range, group: Group) -> sql.Composed:
    of_source, of_target = both_of_pair(flow, group)
    return statements.query("settle_backlog").format(
        columns=flow.pairs.columns(),
        columns_l=flow.pairs.columns("l"),
        columns_e=flow.pairs.columns("e"),
        log=flow.log,
        excused=flow.of_ledger("excused"),
        within=pair_condition(flow, within, "l"),
        group=within_group(flow, group, sql.Identifier("l", "t")),
        of_source=of_source,
        of_target=of_target,
    )


def explained_by_backlog(
    conn: Connection, flow: Flow, within: Range, sums: Sums, started: object
) -> int | None:
    """The number of excused pairs (kept as of `started`) where the backlog explains the whole difference; None where it
    does not, or where it is too large to be looked up so. In the range's own transaction."""
    groups = _groups(conn, flow, within)
    if not groups or len(groups) > MOST_GROUPS or sum(group.pairs for group in groups) > MOST_PAIRS:
        return None
    excused = 0
    rows, hashes = sums.source_rows - sums.target_rows, sums.source_hash - sums.target_hash
    try:
        with conn.transaction():
            for name, value in BY_INDEX.items():
                execute(conn, sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            for group in groups:
                found = fetch_one(conn, _settle(flow, within, group), {"started": started})
                assert found is not None
                rows -= found[0]
                hashes -= found[1]
                excused += found[2]
            if rows or hashes:
                raise psycopg.Rollback
    except psycopg.Rollback:
        return None
    return excused if not (rows or hashes) else None
