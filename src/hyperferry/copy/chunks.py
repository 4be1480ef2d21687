"""Makes the shadow's chunks before any batch is copied.

Making a chunk locks the hypertable until the transaction ends: done within batches, it would make the workers run one after the
other. In every edition a chunk is made by a row in its range; deleting the row again leaves the empty chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import psycopg
from psycopg import sql

from ..db import LockMode, execute, fetch_all, is_row_refused, is_transient, is_unique_violation, load_queries
from ..db.connection import Connection
from ..ledger import store
from ..ledger.flow import Flow
from ..ledger.objects import column_list, range_fields
from ..ledger.transaction import UNFLUSHED, flow_transaction
from ..model.rollout import Phase
from ..model.statement import fragment
from .batches import Bound

AT_ONCE = 20
"""So many chunks are made in one transaction: less than a tenth of a second."""


def make_chunks(conn: Connection, flow: Flow, firsts: Sequence[Bound], should_stop: Callable[[], None]) -> None:
    """Makes the chunks of the rows with these times or keys, as far as the source has them. Can be run again.

    Only an optimization: a batch makes the chunks that it lacks, and meets itself what is refused here.
    """
    todo = iter(firsts)
    while group := list(islice(todo, AT_ONCE)):
        should_stop()
        try:
            if not _make(conn, flow, group):
                return
        except psycopg.Error as error:
            if not (is_transient(error) or is_unique_violation(error) or is_row_refused(error)):
                raise


def _make(conn: Connection, flow: Flow, firsts: list[Bound]) -> bool:
    """One transaction; False where the rollout is not `prepared` any more.

    While it is, and we hold its row, nobody copies or applies: the rows that are deleted are those inserted.
    """
    queries = load_queries(__package__, "chunks.sql")
    fields = range_fields(flow)
    names = [sql.Identifier(f"v{number}") for number in range(len(fields))]
    with flow_transaction(conn, flow, snapshot=False, passive_mode=LockMode.ROW_EXCLUSIVE, settings=UNFLUSHED):
        if store.hold(conn, flow.rollout.id) is not Phase.PREPARED:
            return False
        made = fetch_all(
            conn,
            queries["make"].format(
                target=flow.passive.ident,
                columns=column_list(flow),
                values=column_list(flow, "s"),
                source=flow.active.ident,
                texts=sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(fields)),
                names=sql.SQL(", ").join(names),
                same=sql.SQL(" AND ").join(
                    sql.SQL("{} {} f.{}::{}").format(field.of_row("s"), field.equals, name, field.type)
                    for field, name in zip(fields, names, strict=True)
                ),
                pair=sql.SQL(", ").join(
                    sql.SQL("({})::text").format(field.of_row(flow.passive.name.name)) for field in flow.pairs.fields
                ),
            ),
            [list(values) for values in zip(*firsts, strict=True)],
        )
        deleted = 0
        for chunk, *pair in made:
            same = sql.SQL(" AND ").join(
                sql.SQL("{} {} {}::{}").format(field.of_row("t"), field.equals, sql.Literal(value), field.type)
                for field, value in zip(flow.pairs.fields, pair, strict=True)
            )
            # From the chunk: a DELETE on the root is planned over every chunk that is there by now (2.19).
            statement = sql.SQL("DELETE FROM ONLY {} AS t WHERE {}").format(fragment(chunk), same)
            deleted += execute(conn, statement).rowcount
        if deleted != len(made):  # a key whose text does not give it back: a row left here would be there twice after the copy
            raise psycopg.Rollback
    return True
