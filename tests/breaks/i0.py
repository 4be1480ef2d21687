"""I0: lock, then look; and we yield."""

from __future__ import annotations

from .model import Break, Edit

TRANSACTION = "ledger/transaction.py"
FILE = "engine/test_i0_lock_then_look.py"

BREAKS = (
    Break(
        "snapshot-before-locks",
        "locks before the first snapshot",
        (
            Edit(
                TRANSACTION,
                "            _lock(conn, flow, locks)\n",
                '            execute(conn, "SELECT 1 FROM pg_class LIMIT 1")\n            _lock(conn, flow, locks)\n',
            ),
        ),
        f"{FILE}::test_apply_that_waits_for_a_new_file_sees_it_whole",
        "A rewrite is not MVCC-safe: an older snapshot sees an empty table, and apply deletes its rows for good.",
        case="ALTER TABLE t SET UNLOGGED",
    ),
    Break(
        "no-look",
        "then checks that they are what the plan saw",
        (Edit(TRANSACTION, "            look(conn, flow)\n            yield\n", "            yield\n"),),
        f"{FILE}::test_triggers_that_somebody_touched_are_noticed_by_every_step",
        "Writes made while a trigger was gone are in no log.",
        case="dropped",
        quick=True,
    ),
    Break(
        "triggers-without-row-version",
        "our triggers: same row version in pg_trigger",
        (Edit("ledger/look.sql", "t.tgenabled, t.xmin, t.tgfoid", "t.tgenabled, t.tgfoid"),),
        f"{FILE}::test_triggers_that_somebody_touched_are_noticed_by_every_step",
        "A trigger that was off and is on again looks the same, and what was written in between is lost.",
        case="disabled and enabled as it was",
    ),
    Break(
        "triggers-without-state",
        "our triggers: enabled as made",
        (Edit("ledger/look.sql", "t.tgenabled, t.xmin, t.tgfoid", "t.tgfoid"),),
        f"{FILE}::test_triggers_that_somebody_touched_are_noticed_by_every_step",
        "A disabled trigger leaves nothing in the log.",
        case="disabled",
    ),
    Break(
        "oid-not-looked-at",
        "what the plan saw: OID",
        (Edit(TRANSACTION, "        if seen.oid != side.oid:\n", "        if seen.oid is None:\n"),),
        f"{FILE}::test_a_table_that_is_not_what_the_plan_saw_is_left_alone",
        "Somebody else's table under the name would be taken for ours with its capture tampered with, or, on the passive side, filled.",
        case="another table of the name",
        fails_by=("AssertionError", "Failed", "CaptureBroken"),
    ),
    Break(
        "columns-not-looked-at",
        "what the plan saw: columns",
        (Edit(TRANSACTION, "        if columns != seen.columns:\n", "        if False:\n"),),
        f"{FILE}::test_a_table_that_is_not_what_the_plan_saw_is_left_alone",
        "A new column would be copied as its default: every row that has a value there is stale.",
        case="a column more",
    ),
    Break(
        "row-security-on",
        "every session sets row_security = off",
        (Edit("db/connection.py", '    "row_security": "off",\n', ""),),
        f"{FILE}::test_an_owner_under_forced_row_security_copies_no_half_table",
        "An owner under FORCE ROW LEVEL SECURITY copies half a table, and verifies that half.",
    ),
    Break(
        "lock-timeout-too-long",
        "a first lock waits, and not as long as deadlock_timeout",
        (
            Edit("db/connection.py", "FIRST_LOCK_MS = 300", "FIRST_LOCK_MS = 5000"),
            Edit("db/connection.py", "LEAST(%s, setting::int / 2)", "LEAST(%s, 300000)"),
        ),
        f"{FILE}::test_no_lock_is_waited_for_as_long_as_deadlock_timeout",
        "Writers queue behind us for seconds, and in a deadlock one of them is the victim. Each of the two bounds covers the other.",
    ),
    Break(
        "limit-does-not-follow-deadlock-timeout",
        "not as long as deadlock_timeout, whatever it is set to",
        (Edit("db/connection.py", "LEAST(%s, setting::int / 2)", "LEAST(%s, 300000)"),),
        f"{FILE}::test_the_limit_follows_a_smaller_deadlock_timeout",
        "Where the server looks for deadlocks sooner than after 300 ms, the application is the victim.",
    ),
    Break(
        "active-locked-before-passive",
        "while we hold a lock that the application could want, no further one is waited for",
        (
            Edit(
                TRANSACTION,
                "    locks.append(lock_statement(flow.passive, passive_mode))\n"
                "    locks.append(lock_statement(flow.active, LockMode.ACCESS_SHARE))\n",
                "    locks.append(lock_statement(flow.active, LockMode.ACCESS_SHARE))\n"
                "    locks.append(lock_statement(flow.passive, passive_mode))\n",
            ),
        ),
        f"{FILE}::test_a_step_that_waits_for_the_shadow_holds_nothing_of_the_applications",
        "An ALTER TABLE of the application's, and everybody behind it, waits for our wait.",
        case="copy",
    ),
    Break(
        "no-second-attempt",
        "what fails releases everything and is tried again",
        (Edit("db/locks.py", "for attempt in range(1, attempts + 1):", "for attempt in range(1, 2):"),),
        f"{FILE}::test_no_lock_is_waited_for_as_long_as_deadlock_timeout",
        "One writer that takes its time, and the rollout has failed.",
        fails_by=("LockUnavailable", "AssertionError"),
    ),
    Break(
        "autovacuum-not-cancelled",
        "an autovacuum in the way is cancelled",
        (Edit("capture/triggers.py", "        cancel_autovacuum(conn, side.name)\n", ""),),
        "engine/test_autovacuum.py::test_an_autovacuum_in_the_way_is_cancelled",
        "With a lock_timeout below deadlock_timeout an autovacuum is never asked to go: 6 of 6 attempts failed.",
        fails_by=("AssertionError", "Failed", "TimeoutError", "LockUnavailable"),
    ),
    Break(
        "locks-every-chunk",
        "ONLY on a hypertable, or every chunk is locked",
        (Edit(TRANSACTION, 'sql.SQL("ONLY") if side.hypertable else', 'sql.SQL("") if side.hypertable else'),),
        "engine/test_peers_chunks.py::test_a_transaction_of_ours_does_not_lock_every_chunk",
        "One lock for each chunk: out of shared memory for everybody (peers, 23).",
    ),
    Break(
        "transaction-as-long-as-a-pause",
        "no transaction of ours outlives a batch",
        (
            Edit(
                "strategies/workers.py",
                "            with monitor.turn(worked):\n",
                '            conn.execute("BEGIN; SELECT 1 FROM pg_class LIMIT 1")\n            with monitor.turn(worked):\n'
                '                conn.execute("COMMIT")\n',
            ),
        ),
        f"{FILE}::test_no_transaction_of_ours_outlives_a_batch",
        "Vacuum is held back for as long as somebody pauses the copy.",
    ),
)
