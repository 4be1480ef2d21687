"""The swap as one DO block in READ COMMITTED: each of its statements has a fresh snapshot, taken after the locks.

A block in REPEATABLE READ would miss what was committed while it waited for them. statement_timeout bounds a DO block as a whole.
Reasons to give up are raised under SQLSTATEs of our own, so that the runner knows what to do about each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psycopg import sql

from ..apply import cold, slices
from ..apply.barrier import pending_truncation
from ..apply.places import Places
from ..catalog import fingerprint_expression
from ..db import load_queries
from ..errors import Failed
from ..ledger import unseen
from ..ledger.flow import Flow
from ..ledger.store import MOVES
from ..model.rollout import Direction
from ..verify import excused_check
from ..verify.pairwise import Group
from . import dropped
from .swap import swap_statements, target_phase

BACKLOG_TOO_LARGE = "HF001"
NOT_PROVED = "HF002"
CHANGED = "HF003"
SNAPSHOTS = "HF004"
OLDER_SNAPSHOT = "a session holds a snapshot that is older than the swap"
QUARANTINED = "HF005"
CHUNK_GONE = "HF006"
MOVED = "HF007"
CHUNK_WRITTEN = "55P03"
"""lock_not_available: what a lock on the chunk would have met; the attempt gives way."""
MAX_UNDER_LOCK = 2_000
"""More changes than this are not applied under the lock: the swap gives up, the backlog is applied, and it is tried again."""

CHUNKS_UNDER_LOCK = 60
"""The same for changes of more chunks than this, each of which takes about a millisecond; twice as many after each few
attempts."""
ATTEMPTS_ALIKE = 10
ROOT_CHUNKS = 32
"""Before TimescaleDB 2.29 a DELETE on the root is planned over every chunk (31 ms at 1,000 that the session knows): it counts as
one in a chunk, and one more for so many chunks each."""

_DEFINITION = sql.Identifier("hyperferry_definition")
_LOW, _HIGH, _CHUNK = "hyperferry:low", "hyperferry:high", '"hyperferry:chunk"'


def prepare(flow: Flow) -> sql.Composed:
    """What the session does before the locks: the fingerprint's statement is planned, which takes longer than its execution. It
    is executed under the locks, with a snapshot of its own; here it is not, so that nothing is waited for."""
    # By indexes: the planner does not know how few rows it will meet, and reads all of pg_depend: 80,000 rows at 4,000 chunks.
    return sql.SQL(
        "DEALLOCATE ALL; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; "
        "PREPARE {name} AS SELECT {definition}; EXPLAIN EXECUTE {name}; "
        "RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_seqscan"
    ).format(name=_DEFINITION, definition=fingerprint_expression(flow.active.oid))


def _raise(state: str, condition: sql.Composable, message: str) -> sql.Composed:
    return sql.SQL("IF {} THEN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}; END IF;\n").format(
        condition, sql.Literal(state), sql.Literal(message)
    )


def _dynamic(statement: sql.Composable, *, bounded: bool, chunk: bool = False) -> sql.Composed:
    """EXECUTE of a statement with the drained ids as $1; where bounded, this group's ids, and its times as literals; with `chunk`
    the name of its chunk."""
    text: sql.Composable = sql.Literal(statement.as_string(None))
    if bounded:
        for marker, value in ((_LOW, "part.low"), (_HIGH, "part.high")):
            text = sql.SQL("pg_catalog.replace({}, {}, pg_catalog.quote_literal({}))").format(
                text, sql.Literal(sql.Literal(marker).as_string(None)), sql.SQL(value)
            )
    if chunk:
        text = sql.SQL("pg_catalog.replace({}, {}, part.chunk)").format(text, sql.Literal(_CHUNK))
    return sql.SQL("EXECUTE {} USING {};\n").format(text, sql.SQL("part.ids" if bounded else "drained"))


def _delete_among_compressed(flow: Flow, below: str) -> sql.Composed:
    """The deletion of one group: where its chunk may be compressed, row by row with constants (apply/cold.py)."""
    ids, kind = sql.SQL("$1"), flow.pairs.time.type
    existing: sql.Composable = sql.Literal(cold.existing(flow, (_LOW, _HIGH), ids).as_string(None))
    for marker, value in ((_LOW, "part.low"), (_HIGH, "part.high")):
        existing = sql.SQL("pg_catalog.replace({}, {}, pg_catalog.quote_literal({}))").format(
            existing, sql.Literal(sql.Literal(marker).as_string(None)), sql.SQL(value)
        )
    return sql.SQL(
        "IF part.low::{kind} < {below}::{kind} THEN\n"
        "FOR row_there IN EXECUTE {existing} USING part.ids LOOP\n"
        "EXECUTE {delete} || row_there.constants USING row_there.ids::bigint[];\nEND LOOP;\nELSE\n{all_at_once}END IF;\n"
    ).format(
        kind=kind,
        below=sql.Literal(below),
        existing=existing,
        delete=sql.Literal(cold.delete_one(flow, sql.SQL(""), ids).as_string(None)),
        all_at_once=_dynamic(slices.delete(flow, (_LOW, _HIGH), ids), bounded=True),
    )


def most_chunks(attempt: int) -> int:
    """Of how many chunks changes may be applied under the locks in the `attempt`-th attempt (from 1)."""
    return int(min(MAX_UNDER_LOCK, CHUNKS_UNDER_LOCK * 2 ** ((attempt - 1) // ATTEMPTS_ALIKE)))


def root_cost(chunks: int) -> int:
    """As how many statements in a chunk one on the root counts, where it is planned over so many chunks."""
    return min(CHUNKS_UNDER_LOCK // 2, 1 + chunks // ROOT_CHUNKS)


def _on_root(flow: Flow, below: str | None) -> sql.Composable:
    """How many statements on the root the groups `l` need that lie in no plain chunk: where chunks are compressed, one for each
    row that is there, of which no more is known here than the number of changes (apply/cold.py)."""
    rows: sql.Composable = sql.SQL("1")
    if below is not None:
        rows = sql.SQL("CASE WHEN l.low::{kind} < {below}::{kind} THEN pg_catalog.cardinality(l.ids) ELSE 1 END").format(
            kind=flow.pairs.time.type, below=sql.Literal(below)
        )
    return sql.SQL("COALESCE(pg_catalog.sum({}) FILTER (WHERE l.chunk IS NULL), 0)").format(rows)


def _by_chunk(
    flow: Flow,
    places: Places | None,
    below: str | None,
    most: int,
    cost: int,
    root: sql.Composable,
    chunk: sql.Composable,
) -> sql.Composed:
    """The hypertable's side of the drain: a statement for each group, in its chunk where that is plain, else on the root.

    Our lock on the root keeps off whoever makes, compresses, opens, merges or splits chunks, but not everybody who may drop or
    change one: so the chunks are locked, at once or not at all, and then looked for once more.
    """
    located = slices.located(flow, places, sql.SQL("drained"))
    lock = sql.SQL(
        "SELECT pg_catalog.array_agg(DISTINCT l.chunk) FILTER (WHERE l.chunk IS NOT NULL), {on_root} INTO chunks, on_root "
        "FROM ({located}) AS l;\n{too_many}"
    ).format(
        located=located,
        on_root=_on_root(flow, below),
        too_many=_raise(
            BACKLOG_TOO_LARGE,
            sql.SQL("COALESCE(pg_catalog.cardinality(chunks), 0) + on_root * {} > {}").format(
                sql.Literal(cost), sql.Literal(most)
            ),
            "the backlog is spread over too many chunks to be applied under the lock",
        ),
    )
    if places is not None:
        lock += sql.SQL(
            "IF chunks IS NOT NULL THEN\nBEGIN\n"
            "EXECUTE pg_catalog.concat('LOCK TABLE ONLY ', pg_catalog.array_to_string(chunks, ', ONLY '), "
            "' IN ROW EXCLUSIVE MODE NOWAIT');\n"
            "EXCEPTION WHEN undefined_table THEN RAISE EXCEPTION USING ERRCODE = {gone}, MESSAGE = {message};\n"
            "END;\nEND IF;\n"
        ).format(
            gone=sql.Literal(CHUNK_GONE),
            message=sql.Literal("a chunk was dropped or merged in this moment"),
        )
    return sql.SQL(
        "{lock}FOR part IN {located} LOOP\nIF part.chunk = ANY(chunks) THEN\n{chunk}ELSE\n{root}END IF;\nEND LOOP;\n"
    ).format(lock=lock, located=located, chunk=chunk, root=root)


def _drain(flow: Flow, places: Places | None, below: str | None, most: int, cost: int) -> sql.Composed:
    ids = sql.SQL("$1")
    bounds = (_LOW, _HIGH)

    def statement(make: Callable[..., sql.Composed], *, hypertable: bool) -> sql.Composed:
        # Chunks have to be told apart on the hypertable's side alone; the other side is one statement.
        if not hypertable:
            return _dynamic(make(flow, None, ids), bounded=False)
        deletes = make is slices.delete  # reading is planned over the chunks that are meant, in old versions too
        return _by_chunk(
            flow,
            places,
            below if deletes else None,
            most,
            cost if deletes else 1,
            _delete_among_compressed(flow, below)
            if below is not None and deletes
            else _dynamic(make(flow, bounds, ids), bounded=True),
            _dynamic(make(flow, bounds, ids, chunk=_CHUNK), bounded=True, chunk=True),
        )

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
        delete=statement(slices.delete, hypertable=flow.passive.hypertable),
        insert=statement(slices.insert, hypertable=flow.active.hypertable),
        remove=_dynamic(slices.remove(flow, ids), bounded=False),
    )


def _moved(flow: Flow) -> sql.Composable:
    """Updates that moved rows from one chunk to another, noted before or in what is still to be applied (I9)."""
    noted: sql.Composable = sql.SQL(
        "EXISTS (SELECT FROM hyperferry.event AS e WHERE e.rollout_id = {} AND e.kind = 'found' "
        "AND e.detail -> 'accept' OPERATOR(pg_catalog.?) {})"
    ).format(sql.Literal(flow.rollout.id), sql.Literal(MOVES))
    if slices.can_move(flow):
        noted = sql.SQL("{} OR ({})").format(noted, slices.moved_in_log(flow))
    return _raise(MOVED, noted, "updates moved rows from one chunk to another")


def _chunk_writers(flow: Flow) -> sql.Composable:
    """Who writes into a chunk by the chunk's own name needs no lock on the hypertable, and is not kept off by ours: after the
    swap nothing would carry that back. First who holds a lock still, then what was committed since the drain."""
    if flow.direction is Direction.FORWARD:
        return sql.SQL("")
    return sql.SQL("writers := ({});\n{}{}").format(
        load_queries(__package__, "block.sql")["chunk_writers"].format(oid=sql.Literal(flow.active.oid)),
        sql.SQL(
            "IF writers IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = {}, "
            "MESSAGE = pg_catalog.concat({}::text, writers); END IF;\n"
        ).format(sql.Literal(CHUNK_WRITTEN), sql.Literal("a chunk is being written into by its own name: ")),
        _raise(
            CHUNK_WRITTEN,
            sql.SQL("EXISTS (SELECT FROM {})").format(flow.log),
            "a chunk was written into by its own name meanwhile",
        ),
    )


def _unseen(flow: Flow) -> list[sql.Composed]:
    """Ways in for rows that no trigger of ours sees, and that the fingerprint leaves out: a child table, a subscription."""
    return [_raise(CHANGED, condition, text) for condition, text in unseen.ways_in(flow)]


def _checks(
    flow: Flow,
    verification: int | None,
    fingerprint: str,
    excused: Sequence[Group] | None,
    dropped_accepted: bool,
    moves_accepted: bool,
    noted: str | None,
    places: Places | None,
    below: str | None,
    most: int,
    cost: int,
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
    if flow.direction is Direction.REVERSE:
        # Asked for when the command began; but the session that kept others from working may be gone since.
        newest = (
            "(SELECT kind FROM hyperferry.event WHERE rollout_id = {} AND kind IN ('finishing', 'swap') "
            "ORDER BY id DESC LIMIT 1) = 'finishing'"
        )
        parts.append(_raise(CHANGED, sql.SQL(newest).format(rollout), "a finish has ended the capture of changes by now"))
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
    parts.append(sql.SQL("EXECUTE 'EXECUTE {}' INTO definition;\n").format(_DEFINITION))
    parts.append(
        _raise(
            CHANGED,
            sql.SQL("definition IS DISTINCT FROM {}").format(sql.Literal(fingerprint)),
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
    parts += _unseen(flow)
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
        parts.append(
            _raise(
                NOT_PROVED,
                sql.SQL("(SELECT report ->> 'tables' FROM hyperferry.verification WHERE id = {}) IS DISTINCT FROM {}").format(
                    sql.Literal(verification), unseen.tables(flow)
                ),
                "one of the tables was written anew, or a column of it, since it was verified",
            )
        )
        if flow.direction is Direction.REVERSE:
            parts.append(_raise(NOT_PROVED, dropped.unproved(flow), "a table was attached as a chunk since it was verified"))
        else:
            parts.append(_raise(NOT_PROVED, dropped.missing(flow), "a chunk of the hypertable was dropped since it was verified"))
    elif flow.direction is Direction.FORWARD:
        raise Failed("A cutover is tried without a verification.", facts={"rollout": flow.rollout.id})
    if flow.direction is Direction.FORWARD:
        if not moves_accepted:
            parts.append(_moved(flow))
        parts.append(
            _raise(
                NOT_PROVED,
                sql.SQL("EXISTS (SELECT FROM {} WHERE state = 'pending')").format(flow.of_ledger("batch")),
                "batches are still to be copied",
            )
        )
    elif not dropped_accepted:
        if noted is not None:  # by an applier of ours, or whoever else looks, since the rows of what was dropped were counted
            parts.append(
                _raise(
                    NOT_PROVED,
                    sql.SQL("{} IS DISTINCT FROM {}").format(dropped.noted(flow), sql.Literal(noted)),
                    "another chunk was noted as dropped since: its rows would come back",
                )
            )
        # Apart, so that the look at every chunk is not even planned where none is missing.
        parts.append(
            sql.SQL("IF {} THEN\n{}END IF;\n").format(
                dropped.missing(flow),
                _raise(
                    NOT_PROVED,
                    dropped.unnoticed(flow),
                    "a chunk was dropped since: its rows would come back",
                ),
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
    parts.append(_drain(flow, places, below, most, cost))
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
    moves_accepted: bool = True,
    noted: str | None = None,
    places: Places | None = None,
    below: str | None = None,
    most: int = MAX_UNDER_LOCK,
    cost: int = 1,
) -> sql.Composed:
    """The whole DO block: check, drain, swap, record. `verification` None: overridden by name (rollback only). `places`: how
    chunks are found; without it every statement goes to the root. `below`: the time below which chunks are compressed, if any
    are. Changes of `most` chunks may be applied at the most; a statement on the root counts as `cost` chunks.
    `noted`: what `dropped.noted` was when the rows of dropped chunks were counted; None where that is not looked at.
    Unless `moves_accepted`, updates that moved rows across chunks keep the cutover from being done, those under the lock too.
    Raises Failed for a cutover without a verification."""
    after = target_phase(flow)
    swap = sql.SQL("").join(
        sql.SQL("EXECUTE {};\n").format(sql.Literal(statement.text)) for statement in swap_statements(flow)
    )
    body = sql.SQL(
        "DECLARE changes bigint; drained bigint[]; chunks text[]; on_root bigint; definition text; writers text; part record; "
        "row_there record;\n"
        "BEGIN\n{checks}{swap}"
        "UPDATE hyperferry.rollout SET phase = {phase}, epoch = epoch + 1, updated_at = "
        "pg_catalog.clock_timestamp() WHERE id = {id};\n"
        "DELETE FROM {excused};\n"
        "INSERT INTO hyperferry.event (rollout_id, kind, detail) VALUES ({id}, 'swap', pg_catalog.jsonb_build_object("
        "'phase', {phase}::text, 'changes_under_lock', changes, 'xid', pg_catalog.pg_current_xact_id()::text));\n"
        "{chunk_writers}{snapshots}END"
    ).format(
        checks=_checks(
            flow, verification, fingerprint, excused, dropped_accepted, moves_accepted, noted, places, below, most, cost
        ),
        swap=swap,
        phase=sql.Literal(after.value),
        id=sql.Literal(flow.rollout.id),
        excused=flow.of_ledger("excused"),
        chunk_writers=_chunk_writers(flow),
        snapshots=_raise(
            SNAPSHOTS,
            snapshot_holders(snapshots_accepted),
            OLDER_SNAPSHOT,
        ),
    )
    return sql.SQL("DO {}").format(sql.Literal(body.as_string(None)))
