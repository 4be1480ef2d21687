"""I6: the cutover is one transaction, and short."""

from __future__ import annotations

from .model import Break, Edit

BLOCK = "cutover/block.py"
RUNNER = "cutover/runner.py"
BEFORE = "cutover/before.py"
SWAP = "cutover/swap.py"
BOUND = "cutover/bound.py"
FUNCTIONS = "capture/functions.py"
FILE = "engine/test_i6_swap.py"
YIELDS = "engine/test_i6_yields.py"
LOST = "engine/test_i6_lost_client.py"
HANGS = "engine/test_hanging.py"

BREAKS = (
    Break(
        "block-in-repeatable-read",
        "one DO block in READ COMMITTED",
        (
            Edit(
                RUNNER,
                "        conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED\n",
                "        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ\n",
            ),
        ),
        f"{FILE}::test_the_last_rows_written_before_the_lock_are_not_lost",
        "The snapshot is from before the wait for the lock: what committed meanwhile is missed (peers, 4).",
        case="cutover",
        fails_by=("AssertionError", "Failed", "LockUnavailable"),
    ),
    Break(
        "no-drain-under-the-lock",
        "drain the backlog to empty",
        (Edit(BLOCK, "    parts.append(_drain(flow, places, below, most, cost))\n", '    parts.append(sql.SQL("changes := 0;\\n"))\n'),),
        f"{FILE}::test_the_last_rows_written_before_the_lock_are_not_lost",
        "The last rows before the lock are lost (peers, 4).",
        case="cutover",
        quick=True,
        torture=3,
    ),
    Break(
        "one-slice-under-the-lock",
        "drain the backlog to empty",
        (
            Edit(
                BLOCK,
                "\"SELECT COALESCE(pg_catalog.array_agg(id), '{{}}') INTO drained FROM {log};\\n\"",
                "\"SELECT COALESCE(pg_catalog.array_agg(id), '{{}}') INTO drained FROM (SELECT id FROM {log} ORDER BY id LIMIT 20) AS l;\\n\"",
            ),
        ),
        "engine/test_peers.py::test_more_than_one_slice_is_applied_under_the_lock",
        "Only one batch is replayed under the lock, and the rest of the log is dropped (peers, 10).",
    ),
    Break(
        "backlog-without-a-bound",
        "give up and retry if it is larger than a bound",
        (Edit(BLOCK, 'sql.SQL("changes > {}")', 'sql.SQL("changes < 0 AND changes > {}")'),),
        f"{FILE}::test_a_backlog_that_is_too_large_gives_way",
        "A burst in the last second, and the table is locked for as long as its changes take.",
    ),
    Break(
        "chunks-without-a-bound",
        "give up and retry if it is larger than a bound",
        (Edit(BLOCK, 'sql.SQL("COALESCE(pg_catalog.cardinality(chunks), 0) +', 'sql.SQL("0 * COALESCE(pg_catalog.cardinality(chunks), 0) +'),),
        f"{FILE}::test_a_backlog_that_is_spread_over_too_many_chunks_gives_way",
        "Changes of hundreds of chunks are applied while everybody waits: a millisecond each.",
    ),
    Break(
        "the-root-without-a-bound",
        "give up and retry if it is larger than a bound",
        (Edit(BLOCK, "+ on_root * {} > {}", "+ 0 * on_root * {} > {}"),),
        f"{FILE}::test_changes_that_no_chunk_takes_yet_count_too",
        "Each change that lies in no plain chunk is planned over all of them while everybody waits: a second for twenty.",
    ),
    Break(
        "block-without-statement-timeout",
        "with statement_timeout set before it",
        (Edit(RUNNER, "sql.Literal(timeout)))", "sql.Literal(0)))"),),
        f"{LOST}::test_a_swap_that_takes_too_long_is_ended_by_the_server",
        "A swap that hangs keeps the table.",
    ),
    Break(
        "too-slow-a-swap-again-and-again",
        "tried again a bounded number of times",
        (Edit(RUNNER, "    if state.too_long < TOO_LONG:\n", "    if state.too_long < 100 * TOO_LONG:\n"),),
        f"{LOST}::test_a_swap_that_can_never_be_quick_enough_is_given_up_after_the_longest_time_twice",
        "Each of sixty attempts keeps writers waiting for five seconds, in vain.",
    ),
    Break(
        "block-without-idle-timeout",
        "a vanished client cannot hold the table",
        (
            Edit(
                RUNNER,
                'sql.SQL("SET idle_in_transaction_session_timeout = {}").format(sql.Literal(IDLE_TIMEOUT_MS))',
                'sql.SQL("SET idle_in_transaction_session_timeout = {}").format(sql.Literal(0))',
            ),
        ),
        f"{LOST}::test_a_client_that_hangs_while_it_holds_the_lock_cannot_keep_it",
        "A client that hangs between the block and its COMMIT keeps every lock (peers, 16).",
        fails_by=("AssertionError", "TimeoutError"),
    ),
    Break(
        "capture-kept-by-the-gone",
        "a vanished client cannot hold the table",
        (Edit("db/locks.py", "sql.Literal(GONE_MS)))", "sql.Literal(0)))"),),
        "engine/test_hanging_connection.py::test_a_connection_that_hangs_while_capture_comes_or_goes",
        "Not the swap alone takes locks that writers want: the ends of capture do.",
        case="abort",
        fails_by=("AssertionError", "LockNotAvailable"),
    ),
    Break(
        "further-locks-are-waited-for",
        "a further lock is asked for with NOWAIT, else all are released",
        (
            Edit(RUNNER, "\"SET LOCAL lock_timeout = '1ms'\"", "\"SET LOCAL lock_timeout = '5s'\""),
        ),
        f"{YIELDS}::test_a_session_that_waits_behind_us_is_no_victim_of_our_next_lock",
        "A session that waits behind us and holds what we come for is the victim of the deadlock.",
        case="at once-{}-sequence",
        fails_by=("AssertionError", "DeadlockDetected", "TimeoutError"),
    ),
    Break(
        "parents-are-waited-for",
        "a further lock is asked for with NOWAIT, else all are released",
        (
            Edit(RUNNER, "\"SET LOCAL lock_timeout = '1ms'\"", "\"SET LOCAL lock_timeout = '5s'\""),
            Edit(SWAP, 'sql.SQL("LOCK TABLE {} NOWAIT").format(mode)', 'sql.SQL("LOCK TABLE {}").format(mode)'),
        ),
        f"{YIELDS}::test_a_session_that_waits_behind_us_is_no_victim_of_our_next_lock",
        "The same with a writer of a foreign key's parent. NOWAIT and the 1 ms of patience cover each other.",
        case="at once-{}-parent",
        fails_by=("AssertionError", "DeadlockDetected", "TimeoutError"),
    ),
    Break(
        "further-lock-waits-into-a-deadlock-check",
        "a further lock waits only where no session's deadlock check can fall into it",
        (Edit("db/locks.sql", "    IF {budget} - spent < 1 OR EXISTS (", "    IF {budget} - spent < 1 OR false AND EXISTS ("),),
        "engine/test_further_locks.py::test_no_wait_while_somebodys_deadlock_check_is_near",
        "The session whose check falls into our wait finds the deadlock, and is its victim.",
        case="0.7-relation",
    ),
    Break(
        "chunks-met-behind-the-locks",
        "a further lock is asked for with NOWAIT, else all are released",
        (Edit(RUNNER, "            if on_every_chunk(flow):  #", "            if False:  #"),),
        f"{YIELDS}::test_whoever_is_at_work_on_a_chunk_that_the_swap_changes_is_named_and_nobody_waits",
        "Writers wait behind attempts that a VACUUM of one chunk lets come to nothing.",
        case="cutover",
    ),
    Break(
        "who-is-on-a-chunk-not-named",
        "names the blockers",
        (Edit(RUNNER, "if chunks else [])], chunks=chunks)", "if chunks else [])], chunks=False)"),),
        f"{YIELDS}::test_whoever_is_at_work_on_a_chunk_that_the_swap_changes_is_named_and_nobody_waits",
        "Sixty attempts give way to a VACUUM of one chunk, and nobody is told of it.",
        case="cutover",
    ),
    Break(
        "autovacuum-goes-on-with-the-next-chunk",
        "what fails releases everything and is tried again",
        (
            Edit(
                BEFORE,
                "    with closing(connect()) as guard, autovacuum_sent_off(guard, hypertable.oid):\n        yield\n",
                "    cancel_autovacuum(conn, hypertable.name)\n    yield\n",
            ),
        ),
        "engine/test_autovacuum.py::test_the_swap_ends_while_autovacuum_is_at_work_on_chunks_that_it_changes",
        "With a foreign key or a row trigger no attempt meets all chunks free: a worker that is cancelled is on the next one.",
        fails_by=("AssertionError", "LockUnavailable", "TimeoutError"),
    ),
    Break(
        "attempts-without-end",
        "tried again a bounded number of times, and names the blockers",
        (Edit(RUNNER, "        while state.number < attempts:\n", "        while state.number < 4 * attempts:\n"),),
        f"{YIELDS}::test_attempts_are_bounded_and_name_who_is_in_the_way",
        "A cutover that retries for ever (peers, 14).",
        case="table",
    ),
    Break(
        "blockers-not-named",
        "names the blockers",
        (Edit("db/locks.py", "blocker in enumerate(blockers[:5], 1)}", "blocker in enumerate(blockers[:0], 1)}"),),
        f"{YIELDS}::test_attempts_are_bounded_and_name_who_is_in_the_way",
        "Nobody learns whom to ask.",
        case="table",
    ),
    Break(
        "lost-connection-taken-for-failure",
        "after a lost connection the ledger and the transaction's id tell whether it happened",
        (
            Edit(
                "cutover/loss.py",
                "return changes_recorded(conn, flow) if phase[0] == target_phase(flow).value else None",
                "return None",
            ),
        ),
        f"{LOST}::test_a_connection_that_is_lost_at_the_commit",
        "The swap is tried once more on tables that have changed places.",
        case="after",
        fails_by=("AssertionError", "SchemaChanged", "CaptureBroken"),
    ),
    Break(
        "lost-connection-taken-for-success",
        "after a lost connection the ledger and the transaction's id tell whether it happened",
        (
            Edit(
                "cutover/loss.py",
                "return changes_recorded(conn, flow) if phase[0] == target_phase(flow).value else None",
                "return 0",
            ),
        ),
        f"{LOST}::test_a_connection_that_is_lost_at_the_commit",
        "`cut over`, and it is not.",
        case="before",
    ),
    Break(
        "older-snapshots-not-waited-for",
        "sessions that hold an older snapshot are looked for as the last act before commit (I9)",
        (Edit(BLOCK, "    if accepted:\n        return", "    if True:\n        return"),),
        f"{FILE}::test_one_that_takes_its_snapshot_after_the_look_is_seen_by_the_swap",
        "A REPEATABLE READ session reads and updates the hypertable without the last changes.",
    ),
    Break(
        "older-snapshots-not-looked-for-before-the-locks",
        "sessions that hold one are waited for as blockers (I9)",
        (Edit(RUNNER, "if not gate.snapshots_accepted and (holders := older_snapshots(", "if False and (holders := older_snapshots("),),
        f"{FILE}::test_nobody_waits_behind_an_attempt_that_an_older_snapshot_forbids",
        "Writers stand still behind attempts that cannot succeed.",
    ),
    Break(
        "reverse-capture-stays-asleep",
        "capture of the active side awake",
        (Edit(SWAP, "        *wake_statements(after),\n", ""),),
        "engine/test_i7_way_back.py::test_a_truncation_through_the_hypertable_arrives_in_old",
        "From the cutover on the way back loses everything.",
        torture=3,
    ),
    Break(
        "forward-capture-stays-awake",
        "capture of the passive side off",
        (Edit(SWAP, "        *sleep_statements(flow),\n", ""),),
        f"{FILE}::test_capture_of_the_passive_side_is_off",
        "What is carried back is logged again, for the next cutover to apply.",
    ),
    Break(
        "capture-switched-by-a-flag",
        "by a change of the catalog, never by data that a trigger reads",
        (
            Edit(FUNCTIONS, "_create(flow, event, _ASLEEP))", "_awake(flow, event, flow.log))"),
            Edit(
                FUNCTIONS,
                "else _by_row(flow, event, log)\n",
                "else _by_row(flow, event, log)\n"
                '    body = sql.SQL("BEGIN IF (SELECT (phase = \'cut_over\') = {} FROM hyperferry.rollout WHERE id = {}) THEN {}; END IF; "\n'
                '        "RETURN NULL; END").format(sql.Literal(flow.direction is Direction.REVERSE), sql.Literal(flow.rollout.id), body)\n',
            ),
        ),
        f"{FILE}::test_writes_of_a_session_older_than_the_swap_are_captured",
        "An old snapshot reads the old value of the flag: its writes are in no log.",
        case="cutover",
    ),
    Break(
        "views-dropped-and-made-anew",
        "CREATE OR REPLACE VIEW, never DROP",
        (
            Edit(
                BOUND,
                '"CREATE OR REPLACE VIEW {}{} AS {}"',
                '"DROP VIEW {0} CASCADE; CREATE VIEW {0}{1} AS {2}"',
            ),
        ),
        f"{FILE}::test_views_keep_their_oids_and_tables_theirs",
        "Grants on the views and all that hangs on them go.",
    ),
    Break(
        "views-lose-their-options",
        "with the view's options restated",
        (Edit(BOUND, "    if view.options:\n", "    if False:\n"),),
        f"{HANGS}::test_all_that_hangs_on_the_table_moves_and_comes_back",
        "A view that was security_invoker shows what its owner may see.",
    ),
    Break(
        "views-stay-with-the-old-table",
        "CREATE OR REPLACE VIEW",
        (Edit(SWAP, "        *bound.bind_statements(inspection),\n", ""),),
        f"{HANGS}::test_every_view_reads_the_table_that_serves",
        "Readers through views see the table as it was at the cutover, for ever.",
    ),
    Break(
        "serials-go-with-the-old-table",
        "owned sequences do not follow as wished: handle them",
        (
            Edit(SWAP, "        *hanging.release_serials(inspection),\n", ""),
            Edit(SWAP, "        *hanging.attach_serials(inspection),\n", ""),
        ),
        f"{HANGS}::test_sequences_go_on_and_stay",
        "SET SCHEMA takes the sequence along, and `finish` drops it.",
        fails_by=("AssertionError", "UndefinedTable", "Failed", "DependentObjectsStillExist"),
    ),
    Break(
        "identities-begin-anew",
        "sequences of identity columns: their last values",
        (Edit(SWAP, "        *hanging.hand_over_identities(inspection, parked),\n", ""),),
        f"{HANGS}::test_sequences_go_on_and_stay",
        "The hypertable gives out the numbers from 1 on once more.",
        fails_by=("AssertionError", "UniqueViolation"),
    ),
    Break(
        "statistics-stay",
        "extended statistics do not follow as wished: handle them",
        (Edit(SWAP, "        *hanging.swap_statistics(inspection, parked, incoming.schema),\n", ""),),
        f"{HANGS}::test_all_that_hangs_on_the_table_moves_and_comes_back",
        "The application's statistics are in our schema, and go with `finish`.",
    ),
    Break(
        "foreign-keys-validated-in-the-swap",
        "put on the hypertable NOT VALID, to be validated afterwards",
        (Edit("cutover/inbound.py", '    return f"{definition} NOT VALID"\n', "    return definition\n"),),
        "engine/test_attacks.py::test_foreign_keys_are_validated_although_we_died_behind_the_swap",
        "The whole table is read under ACCESS EXCLUSIVE.",
    ),
    Break(
        "ledger-after-the-swap",
        "the cutover is one transaction, the ledger in it",
        (
            Edit(BLOCK, "UPDATE hyperferry.rollout SET phase = {phase}, epoch", "UPDATE hyperferry.rollout SET phase = phase, epoch"),
            Edit(
                RUNNER,
                "        committed = True\n    except psycopg.Error as error:\n",
                '        execute(conn, "UPDATE hyperferry.rollout SET phase = %s WHERE id = %s", [target_phase(flow).value, flow.rollout.id])\n'
                "        committed = True\n    except psycopg.Error as error:\n",
            ),
        ),
        f"{LOST}::test_a_connection_that_is_lost_at_the_commit",
        "A crash between the two, and the ledger says of tables that have changed places that they have not.",
        case="after",
        fails_by=("AssertionError", "SchemaChanged", "CaptureBroken"),
    ),
)
