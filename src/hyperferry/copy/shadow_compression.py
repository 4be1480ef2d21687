"""What has the shadow's chunks be compressed: the hypertable's settings alone, no policy."""

from __future__ import annotations

from psycopg import sql

from ..model.names import Names, quote_ident
from ..model.plan import CompressedOrder, Plan
from ..model.statement import Statement


def compression_statements(plan: Plan, names: Names) -> tuple[Statement, ...]:
    """Comes after the keys, which a compressed hypertable takes no longer in every version. Under the names that all versions
    have.
    Both lists are always said: left out, TimescaleDB would choose by statistics that are not there yet."""
    wish = plan.compression
    if wish is None:
        return ()
    return (
        Statement(
            "compression",
            "how chunks are compressed; each is, when it is copied whole and old enough",
            sql.SQL(
                "ALTER TABLE {} SET (timescaledb.compress, timescaledb.compress_segmentby = {}, "
                "timescaledb.compress_orderby = {})"
            ).format(
                sql.Identifier(names.shadow.schema, names.shadow.name),
                sql.Literal(", ".join(quote_ident(name) for name in wish.segment_by)),
                sql.Literal(", ".join(map(_order, wish.order_by))),
            ),
        ),
    )


def _order(order: CompressedOrder) -> str:
    way, nulls = ("DESC" if order.descending else "ASC"), ("FIRST" if order.nulls_first else "LAST")
    return f"{quote_ident(order.column)} {way} NULLS {nulls}"
