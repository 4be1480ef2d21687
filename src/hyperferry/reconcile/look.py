"""One look at the world: which hypertable is meant, what it has, what it makes of the file, and what stands between."""

from __future__ import annotations

from dataclasses import dataclass

from ..catalog import resolve_table
from ..catalog.lifecycle import lifecycle
from ..db.connection import Connection
from ..declared.diff import diff
from ..errors import Refused, Usage
from ..ledger import store
from ..model.declared import Declared, Retention
from ..model.difference import Difference
from ..model.lifecycle import Drops, HypertableState, Readings, ServerState
from ..model.names import TableName
from ..model.rollout import Rollout
from .queries import read_aggregates
from .readings import read_drops, read_indexes
from .refreshed import with_refreshed


@dataclass(frozen=True)
class World:
    """What was seen. `rollout` is one that is not finished; `early`: it is not cut over, and the hypertable is its shadow."""

    state: HypertableState
    server: ServerState
    difference: Difference
    rollout: Rollout | None = None
    early: bool = False


def find(conn: Connection, table: str) -> tuple[TableName, Rollout | None]:
    """The hypertable that is meant, and the rollout that is making it, if any: before the cutover that is its shadow.
    Raises Usage."""
    _, name = resolve_table(conn, table)
    rollout = store.open_rollout(conn, name)
    if rollout is None or rollout.phase.hypertable_serves:
        return name, rollout
    if rollout.hypertable_oid is None:
        raise Refused(
            f"The rollout of {name} has not made its hypertable yet.",
            facts={"phase": rollout.phase},
            remedy=f"go on with it first: `hyperferry start {name}`, then `hyperferry cutover {name}`.",
        )
    return rollout.names.shadow, rollout


def look(
    conn: Connection,
    table: TableName,
    declared: Declared,
    rollout: Rollout | None,
    prune: frozenset[str] = frozenset(),
) -> World:
    """The difference between the file and what the hypertable is now. Changes nothing. Raises Usage for what is no hypertable."""
    early = rollout is not None and not rollout.phase.hypertable_serves
    state, server = lifecycle(conn, table)
    readings = read(conn, declared, state, server)
    found = diff(declared, state, server, readings, prune=prune, before_cutover=early)
    return World(state, server, found, rollout, early)


def read(conn: Connection, declared: Declared, state: HypertableState, server: ServerState) -> Readings:
    """What the server makes of the file. Where the role has not the owner's rights, that is what is said, and nothing is
    tried."""
    if not server.acts_as_owner:
        return Readings()
    aggregates = (
        tuple(with_refreshed(conn, each, state) for each in read_aggregates(conn, declared, state, server))
        if server.community
        else ()
    )
    return Readings(
        indexes=read_indexes(conn, state.name, declared.indexes),
        aggregates=aggregates,
        drops=_drops(
            conn, declared, state, server, {each.name: each.aggregate.retention for each in aggregates}
        ),
    )


def _drops(
    conn: Connection,
    declared: Declared,
    state: HypertableState,
    server: ServerState,
    of_aggregates: dict[TableName, Retention | bool | None],
) -> tuple[tuple[TableName, Drops], ...]:
    if not server.community:
        return ()
    there = {state.name, *(each.name for each in state.aggregates)}
    wishes = {state.name: declared.retention, **of_aggregates}
    found: list[tuple[TableName, Drops]] = []
    for name, wish in wishes.items():
        if isinstance(wish, Retention) and name in there:
            drops = read_drops(conn, name, wish.after, state, server)
            if drops is not None:
                found.append((name, drops))
    return tuple(found)


def refuse_another_file(about: str | None, table: str, file_says: Declared) -> None:
    """Raises Usage where the file is about another table, or says nothing of what `diff` and `apply` are for."""
    if about is not None:
        raise Usage(
            f"The file is about {about}, not about {table}.",
            facts={"table of the file": about, "given": table},
            remedy="name the file of this table with --config, or leave TABLE out.",
        )
    if file_says.empty:
        raise Usage(
            "The file wants nothing of the hypertable.",
            facts={
                "read": "chunk_interval, updates_within, [compression], [retention], [reorder], [[index]], "
                "[[continuous_aggregate]]"
            },
            remedy="write down what it should have; docs/declared.md shows how.",
        )
