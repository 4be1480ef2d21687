"""Reads and writes rollouts, events and verifications. Every function runs in the caller's transaction, if there is one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from ..db import execute, fetch_all, fetch_one, fetch_value, load_queries
from ..db.connection import Connection
from ..errors import Failed, Refused
from ..model.names import TableName
from ..model.plan import Plan, Strategy
from ..model.rollout import Control, Phase, Rollout
from .codec import dump_plan_json, load_plan_json
from .rights import Kind, owner_alone

MOVES = "cross-chunk-updates"
"""The rule of I9 about updates that move a row from one chunk to another, which fail on a hypertable."""
LEDGER_VERSION = 3
_UPGRADES: dict[int, tuple[str, tuple[str, ...]]] = {2: ("version_2", ("throttle", "probe")), 3: ("version_3", ())}
"""The statements that lead to each version from the one before it, and the tables that they make."""


def _sql(name: str) -> Any:
    return load_queries(__package__, "store.sql")[name]


def installed_version(conn: Connection) -> int | None:
    """The version of the ledger's schema in this database, None where there is none.

    Raises Refused for a schema of that name whose owner is nobody whom this session's role trusts: what stands in it would
    run in our name.
    """
    row = fetch_one(conn, load_queries(__package__, "schema.sql")["schema_version"])
    if row is None:
        return None
    version, owner, trusted = row
    if not trusted:
        raise Refused(
            f"The schema hyperferry of this database is {owner}'s, and not this role's to use.",
            facts={"schema's owner": owner, "connected as": fetch_value(conn, "SELECT current_user::text")},
            remedy=f"use one role for all of hyperferry's work in a database: connect as {owner} (or with PGOPTIONS='-c "
            f"role={owner}'), or become its member. If {owner} is not who you expect, look into the schema before you use it.",
        )
    return None if version is None else int(version)


def _refuse_newer(version: int) -> None:
    if version > LEDGER_VERSION or version < 1:
        raise Failed(
            "The ledger in this database was made by another version of hyperferry.",
            facts={"ledger version": version, "this program's": LEDGER_VERSION},
            remedy="use the hyperferry version that made it, or upgrade this one.",
        )


def install(conn: Connection) -> None:
    """Makes the ledger's schema where it is missing, and brings an older one up to date. Raises Failed for one made by a newer
    hyperferry."""
    queries = load_queries(__package__, "schema.sql")
    with conn.transaction():
        execute(conn, queries["install_lock"])
        version = installed_version(conn)
        if version is None:
            execute(conn, queries["install"])
            execute(conn, owner_alone(Kind.SCHEMA, "hyperferry").sql)
            for table in ("rollout", "event", "expectation", "verification"):
                execute(conn, owner_alone(Kind.TABLE, f"hyperferry.{table}").sql)
                if table != "expectation":
                    execute(conn, owner_alone(Kind.SEQUENCE, f"hyperferry.{table}_id_seq").sql)
            version = 1
        _refuse_newer(version)
        for step in range(version + 1, LEDGER_VERSION + 1):
            name, tables = _UPGRADES[step]
            execute(conn, queries[name])
            for table in tables:
                execute(conn, owner_alone(Kind.TABLE, f"hyperferry.{table}").sql)


def _rollout(row: tuple[Any, ...]) -> Rollout:
    return Rollout(
        id=row[0],
        table=TableName(row[1], row[2]),
        source_oid=row[3],
        hypertable_oid=row[4],
        strategy=Strategy(row[5]),
        phase=Phase(row[6]),
        control=Control(row[7]),
        plan=load_plan_json(row[8]),
        created_at=row[9],
        updated_at=row[10],
        reverse_by_event=row[11],
    )


def create(conn: Connection, plan: Plan) -> Rollout:
    """Records a new rollout in phase `planned`. Raises Refused where one is under way for this table."""
    if open_rollout(conn, plan.table) is not None:
        raise Refused(f"A rollout of {plan.table} is under way already.", remedy="see `hyperferry status`.")
    table = plan.inspection.table
    row = fetch_one(
        conn,
        _sql("create"),
        {
            "schema": plan.table.schema,
            "name": plan.table.name,
            "oid": table.oid,
            "strategy": plan.strategy.value,
            "phase": Phase.PLANNED.value,
            "plan": dump_plan_json(plan),
        },
    )
    if row is None:  # another starter was faster
        raise Refused(f"A rollout of {plan.table} is under way already.", remedy="see `hyperferry status`.")
    return _rollout(row)


def get(conn: Connection, rollout_id: int) -> Rollout:
    """The rollout of that number. Raises Failed where there is none."""
    row = fetch_one(conn, _sql("get"), {"id": rollout_id})
    if row is None:
        raise Failed("The ledger has no such rollout.", facts={"rollout": rollout_id})
    return _rollout(row)


def open_rollout(conn: Connection, table: TableName) -> Rollout | None:
    """The unfinished rollout of the table, if there is one. Raises Failed where a newer hyperferry made the ledger: what stands
    on the tables is not what this one knows."""
    version = installed_version(conn)
    if version is None:
        return None
    _refuse_newer(version)
    row = fetch_one(conn, _sql("open"), {"schema": table.schema, "name": table.name})
    return None if row is None else _rollout(row)


def latest(conn: Connection, table: TableName | None) -> list[Rollout]:
    """The newest rollout of the table, or of every table."""
    if installed_version(conn) is None:
        return []
    rows = fetch_all(
        conn,
        _sql("latest"),
        {"schema": table.schema if table else None, "name": table.name if table else None},
    )
    return [_rollout(row) for row in rows]


def set_phase(
    conn: Connection, rollout: Rollout, phase: Phase, *, only_from: tuple[Phase, ...] = ()
) -> Rollout:
    """Moves the rollout to a phase, on condition that it is in one of `only_from` (or in the one we know).

    Raises Refused where it is in another by now.
    """
    allowed = [p.value for p in only_from] or [rollout.phase.value]
    row = fetch_one(conn, _sql("set_phase"), {"id": rollout.id, "phase": phase.value, "allowed": allowed})
    if row is None:
        now = get(conn, rollout.id).phase
        raise Refused(
            f"The rollout of {rollout.table} is in phase {now}, so it cannot become {phase}.",
            facts={"rollout": rollout.id},
            remedy="another hyperferry has moved it; see `hyperferry status`.",
        )
    event(conn, rollout.id, "phase", {"phase": phase.value})
    return _rollout(row)


def hold(conn: Connection, rollout_id: int) -> Phase | None:
    """The rollout's phase, which nobody can change until the end of the caller's transaction; None where there is no such one."""
    found = fetch_value(conn, _sql("hold"), {"id": rollout_id})
    return None if found is None else Phase(found)


def set_hypertable(conn: Connection, rollout: Rollout, oid: int) -> Rollout:
    """Records the OID of the shadow."""
    row = fetch_one(conn, _sql("set_hypertable"), {"id": rollout.id, "oid": oid})
    assert row is not None
    return _rollout(row)


def set_control(conn: Connection, rollout: Rollout, control: Control) -> Rollout:
    """Asks whoever works on the rollout to pause or to go on."""
    row = fetch_one(conn, _sql("set_control"), {"id": rollout.id, "control": control.value})
    assert row is not None
    return _rollout(row)


def control(conn: Connection, rollout_id: int) -> Control:
    """What was asked for."""
    return Control(fetch_value(conn, _sql("control"), {"id": rollout_id}))


def bump_epoch(conn: Connection, rollout_id: int) -> None:
    """Makes every verification so far too old for a cutover."""
    execute(conn, _sql("bump_epoch"), {"id": rollout_id})


def epoch(conn: Connection, rollout_id: int) -> int:
    """The rollout's epoch now."""
    return int(fetch_value(conn, _sql("epoch"), {"id": rollout_id}))


def event(conn: Connection, rollout_id: int, kind: str, detail: dict[str, Any] | None = None) -> None:
    """Records that something happened."""
    execute(conn, _sql("event"), {"id": rollout_id, "kind": kind, "detail": Jsonb(detail or {})})


def last_events(
    conn: Connection, rollout_id: int, kinds: list[str], limit: int = 1
) -> list[tuple[datetime, str, Any]]:
    """The newest events of some kinds: when, what, detail."""
    rows = fetch_all(conn, _sql("last_events"), {"id": rollout_id, "kinds": kinds, "limit": limit})
    return [(row[0], row[1], row[2]) for row in rows]


def record_verification(
    conn: Connection,
    rollout_id: int,
    *,
    direction: str,
    epoch: int,
    fingerprint: str,
    started_at: datetime,
    match: bool,
    source_rows: int,
    target_rows: int,
    report: dict[str, Any],
) -> int:
    """Records a verification and returns its number. `epoch` and `fingerprint` are those of its start."""
    return int(
        fetch_value(
            conn,
            _sql("record_verification"),
            {
                "id": rollout_id,
                "direction": direction,
                "epoch": epoch,
                "fingerprint": fingerprint,
                "started_at": started_at,
                "match": match,
                "source_rows": source_rows,
                "target_rows": target_rows,
                "report": Jsonb(report),
            },
        )
    )


@dataclass(frozen=True)
class Verification:
    """A recorded verification: `epoch`, `fingerprint` and `tables` (unseen.py; None before it was recorded) are those of its
    start."""

    id: int
    ended_at: datetime
    match: bool
    epoch: int
    fingerprint: str
    tables: str | None = None


def last_verification(conn: Connection, rollout_id: int, direction: str) -> Verification | None:
    """The newest verification of a direction."""
    row = fetch_one(conn, _sql("last_verification"), {"id": rollout_id, "direction": direction})
    return None if row is None else Verification(*row)


def all_accepted(conn: Connection, rollout_id: int) -> set[str]:
    """The rules that were accepted for this rollout so far (I9)."""
    return {row[0] for row in fetch_all(conn, _sql("accepted"), {"id": rollout_id})}


def found(conn: Connection, rollout_id: int) -> set[str]:
    """What the change log showed that changes for the application (I9)."""
    return {row[0] for row in fetch_all(conn, _sql("found"), {"id": rollout_id})}


def note_moves(conn: Connection, rollout_id: int) -> None:
    """Records, once, that the application updates the time across chunks (I9)."""
    if MOVES not in found(conn, rollout_id):
        event(conn, rollout_id, "found", {"accept": [MOVES]})
