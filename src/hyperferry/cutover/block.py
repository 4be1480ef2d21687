"""The swap as one DO block in READ COMMITTED: each of its statements has a fresh snapshot, taken after the locks.

A block in REPEATABLE READ would miss what was committed while it waited for them. statement_timeout bounds a DO block as a whole.
Reasons to give up are raised under SQLSTATEs of our own, so that the runner knows what to do about each.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from ..apply import slices
from ..apply.barrier import pending_truncation
from ..catalog import fingerprint_expression
from ..ledger.flow import Flow
from ..model.rollout import Direction
from ..verify import excused_check
from ..verify.pairwise import Group
from . import dropped
from .swap import swap_statements, target_phase

BACKLOG_TOO_LARGE = "HF001"
NOT_PROVED = "HF002"
CHANGED = "HF003"
SNAPSHOTS = "HF004"
QUARANTINED = "HF005"
MAX_UNDER_LOCK = 2_000
"""More changes than this are not applied under the lock: the swap gives up, the backlog is applied, and it is tried again."""

_LOW, _HIGH = "hyperferry:low", "hyperferry:high"


def _raise(state: str, condition: sql.Composable, message: str) -> sql.Composed:
    return sql.SQL("IF {} THEN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}; END IF;\n").format(
        condition, sql.Literal(state), sql.Literal(message)
    )


def _dynamic(statement: sql.Composable, *, bounded: bool) -> sql.Composed:
    """EXECUTE of a statement with the drained ids as $1; where bounded, this group's ids, and its times as literals."""
    text: sql.Composable = sql.Literal(statement.as_string(None))
    if bounded:
        for marker, value in ((_LOW, "part.low"), (_HIGH, "part.high")):
            text = sql.SQL("pg_catalog.replace({}, {}, pg_catalog.quote_literal({}))").format(
                text, sql.Literal(sql.Literal(marker).as_string(None)), sql.SQL(value)
            )
    return sql.SQL("EXECUTE {} USING {};\n").format(text, sql.SQL("part.ids" if bounded else "drained"))


def _drain(flow: Flow) -> sql.Composed:
    ids = sql.SQL("$1")
    loop = sql.SQL("FOR part IN {} LOOP\n{}END LOOP;\n")
    groups = slices.groups(flow, sql.SQL("drained"))
    bounds = (_LOW, _HIGH)
    return sql.SQL(
        "SELECT pg_catalog.count(*) INTO changes FROM {log};\n"
        "{too_large}"
        "{truncated}"
        "{timeless}"
        "SELECT COALESCE(pg_catalog.array_agg(id), '{{}}') INTO drained FROM {log};\n"
        "IF changes > 0 THEN\n{delete}{insert}{remove}END IF;\n"
    ).format(
        log=flow.log,
        too_large=_raise(
            BACKLOG_TOO_LARGE,
            sql.SQL("changes > {}").format(sql.Literal(MAX_UNDER_LOCK)),
            "the backlog is too large to be applied under the lock",
        ),
        truncated=_raise(
            BACKLOG_TOO_LARGE,
            sql.SQL("({}) IS NOT NULL").format(pending_truncation(flow)),
            "a truncation waits in the backlog",
        ),
        timeless=_raise(
            BACKLOG_TOO_LARGE,
            sql.SQL("EXISTS (SELECT FROM {} WHERE t IS NULL)").format(flow.log),
            "a row without a time waits in the backlog",
        ),
        # Chunks have to be excluded on the hypertable's side alone; the other side is one statement.
        delete=loop.format(groups, _dynamic(slices.delete(flow, bounds, ids), bounded=True))
        if flow.passive.hypertable
        else _dynamic(slices.delete(flow, None, ids), bounded=False),
        insert=loop.format(groups, _dynamic(slices.insert(flow, bounds, ids), bounded=True))
        if flow.active.hypertable
        else _dynamic(slices.insert(flow, None, ids), bounded=False),
        remove=_dynamic(slices.remove(flow, ids), bounded=False),
    )


def _checks(
    flow: Flow,
    verification: int | None,
    fingerprint: str,
    excused: Sequence[Group] | None,
    dropped_accepted: bool,
) -> sql.Composed:
    rollout = sql.Literal(flow.rollout.id)
    parts: list[sql.Composable] = [
        _raise(
            CHANGED,
            sql.SQL(
                "(SELECT phase FROM hyperferry.rollout WHERE id = {} FOR UPDATE) IS DISTINCT FROM {}"
            ).format(rollout, sql.Literal(flow.rollout.phase.value)),
            "the rollout is in another phase by now",
        )
    ]
    for side in (flow.active, flow.passive):
        parts.append(
            _raise(
                CHANGED,
                sql.SQL("pg_catalog.to_regclass({})::oid::bigint IS DISTINCT FROM {}").format(
                    sql.Literal(side.name.quoted), sql.Literal(side.oid)
                ),
                f"{side.name} is no longer the table that this rollout works on",
            )
        )
    parts.append(
        _raise(
            CHANGED,
            sql.SQL("{} IS DISTINCT FROM {}").format(
                fingerprint_expression(flow.active.oid), sql.Literal(fingerprint)
            ),
            f"the definition of {flow.active.name} (or what hangs on it) was changed since it was verified",
        )
    )
    parts.append(
        _raise(
            CHANGED,
            sql.SQL(
                "(SELECT COALESCE(pg_catalog.jsonb_object_agg(t.tgname, pg_catalog.concat_ws(':', t.tgenabled, t.xmin, "
                "t.tgfoid::bigint)), '{{}}') FROM pg_catalog.pg_trigger t WHERE t.tgrelid = {oid} AND NOT t.tgisinternal "
                "AND pg_catalog.starts_with(t.tgname, 'hyperferry_')) IS DISTINCT FROM "
                "(SELECT triggers FROM hyperferry.expectation WHERE rollout_id = {rollout} AND table_oid = {oid})"
            ).format(oid=sql.Literal(flow.active.oid), rollout=rollout),
            f"the triggers that capture writes on {flow.active.name} were changed",
        )
    )
    if verification is not None:
        parts.append(
            _raise(
                NOT_PROVED,
                sql.SQL(
                    "NOT EXISTS (SELECT FROM hyperferry.verification v JOIN hyperferry.rollout r ON r.id = v.rollout_id "
                    "WHERE v.id = {id} AND v.match AND v.epoch = r.epoch AND v.direction = {direction} AND NOT EXISTS "
                    "(SELECT FROM hyperferry.verification n WHERE n.rollout_id = v.rollout_id "
                    "AND n.direction = v.direction AND n.id > v.id))"
                ).format(id=sql.Literal(verification), direction=sql.Literal(flow.direction.value)),
                "the verification no longer counts: something was copied, swapped, repaired or verified since",
            )
        )
    if flow.direction is Direction.FORWARD:
        parts.append(
            _raise(
                NOT_PROVED,
                sql.SQL("EXISTS (SELECT FROM {} WHERE state = 'pending')").format(flow.of_ledger("batch")),
                "batches are still to be copied",
            )
        )
    elif not dropped_accepted:
        parts.append(
            _raise(
                NOT_PROVED,
                dropped.unnoticed(flow),
                "a chunk was dropped since: its rows would come back",
            )
        )
    parts.append(
        _raise(
            QUARANTINED,
            sql.SQL("EXISTS (SELECT FROM {} WHERE direction = {})").format(
                flow.of_ledger("quarantine"), sql.Literal(flow.direction.value)
            ),
            "there are pairs that the other side cannot take",
        )
    )
    parts.append(_drain(flow))
    if excused is not None:
        # Apart, so that the comparison is not even planned (over every chunk) when there is nothing to compare.
        parts.append(
            sql.SQL("IF EXISTS (SELECT FROM {}) THEN\n{}END IF;\n").format(
                flow.of_ledger("excused"),
                _raise(
                    NOT_PROVED,
                    sql.SQL("NOT ({})").format(excused_check(flow, excused)),
                    "a pair that the verification excused differs although its change was applied",
                ),
            )
        )
    return sql.Composed(parts)


def snapshot_holders(accepted: bool) -> sql.Composable:
    """Sessions whose snapshot is older than the swap: REPEATABLE READ or SERIALIZABLE. They would read the hypertable without
    the last changes (I9). They are idle in a transaction and hold a snapshot; or they wait for a lock, in a transaction
    that is older than ours, under a snapshot from before the oldest transaction that runs now: a statement in READ
    COMMITTED that began to wait after us seldom has such a one."""
    if accepted:
        return sql.SQL("false")
    return sql.SQL(
        "EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database() "
        "AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_xmin IS NOT NULL "
        "AND NOT pg_catalog.starts_with(COALESCE(a.application_name, ''), 'hyperferry') "
        "AND (a.state IN ('idle in transaction', 'idle in transaction (aborted)') OR a.wait_event_type = 'Lock' "
        "AND a.xact_start < pg_catalog.now() AND pg_catalog.age(a.backend_xmin) > "
        "pg_catalog.age(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid)))"
    )


def swap_block(
    flow: Flow,
    *,
    verification: int | None,
    fingerprint: str,
    excused: Sequence[Group] | None,
    snapshots_accepted: bool,
    dropped_accepted: bool,
) -> sql.Composed:
    """The whole DO block: check, drain, swap, record. `verification` None: overridden by name (rollback only)."""
    after = target_phase(flow)
    swap = sql.SQL("").join(
        sql.SQL("EXECUTE {};\n").format(sql.Literal(statement.text)) for statement in swap_statements(flow)
    )
    body = sql.SQL(
        "DECLARE changes bigint; drained bigint[]; part record;\nBEGIN\n{checks}{swap}"
        "UPDATE hyperferry.rollout SET phase = {phase}, epoch = epoch + 1, updated_at = "
        "pg_catalog.clock_timestamp() WHERE id = {id};\n"
        "DELETE FROM {excused};\n"
        "INSERT INTO hyperferry.event (rollout_id, kind, detail) VALUES ({id}, 'swap', pg_catalog.jsonb_build_object("
        "'phase', {phase}::text, 'changes_under_lock', changes, 'xid', pg_catalog.pg_current_xact_id()::text));\n"
        "{snapshots}END"
    ).format(
        checks=_checks(flow, verification, fingerprint, excused, dropped_accepted),
        swap=swap,
        phase=sql.Literal(after.value),
        id=sql.Literal(flow.rollout.id),
        excused=flow.of_ledger("excused"),
        snapshots=_raise(
            SNAPSHOTS,
            snapshot_holders(snapshots_accepted),
            "a session holds a snapshot that is older than the swap",
        ),
    )
    return sql.SQL("DO {}").format(sql.Literal(body.as_string(None)))
