"""I2: a copy is a committed state."""

from __future__ import annotations

from .model import Break, Edit

COPIER = "copy/copier.py"
BATCHES = "copy/batches.py"
FILE = "engine/test_i2_copy.py"

BREAKS = (
    Break(
        "no-batch-before-the-first-boundary",
        "batches cover every row that was there",
        (Edit(BATCHES, "= [nothing, *cuts, nothing]", "= [*cuts, nothing]"),),
        f"{FILE}::test_every_row_of_every_kind_of_table_is_copied_once",
        "The rows before the first boundary are never copied.",
        case="composite",
    ),
    Break(
        "no-batch-behind-the-last-boundary",
        "batches cover every row that was there",
        (Edit(BATCHES, "= [nothing, *cuts, nothing]", "= [nothing, *cuts]"),),
        f"{FILE}::test_every_row_of_every_kind_of_table_is_copied_once",
        "The rows behind the last boundary are never copied.",
        case="player_stats",
        quick=True,
        torture=3,
    ),
    Break(
        "batches-overlap",
        "each row lies in one batch",
        (Edit(COPIER, '((part.low, ">="), (part.high, "<"))', '((part.low, ">="), (part.high, "<="))'),),
        f"{FILE}::test_every_row_of_every_kind_of_table_is_copied_once",
        "A row that lies on a boundary is copied twice.",
        case="keyless",
    ),
    Break(
        "recorded-apart",
        "recorded in the transaction that wrote it",
        (
            Edit(
                COPIER,
                "            rows = execute(conn, _insert(flow, part)).rowcount\n            _done(",
                "            rows = execute(conn, _insert(flow, part)).rowcount\n"
                '            execute(conn, "COMMIT; BEGIN")\n            _done(',
            ),
        ),
        f"{FILE}::test_a_batch_is_recorded_in_the_transaction_that_wrote_it",
        "A crash in between has the batch copied twice (peers, 1).",
    ),
    Break(
        "recorded-before-it-is-written",
        "recorded in the transaction that wrote it",
        (
            Edit(
                COPIER,
                "            rows = execute(conn, _insert(flow, part)).rowcount\n            _done(conn, flow, part.id, rows)\n",
                "            _done(conn, flow, part.id, 0)\n"
                '            execute(conn, "COMMIT; BEGIN")\n            rows = execute(conn, _insert(flow, part)).rowcount\n',
            ),
        ),
        "engine/test_clauses.py::test_a_batch_whose_rows_never_came_is_still_pending",
        "The checkpoint runs ahead: a crash in between loses the batch (peers, 1).",
    ),
    Break(
        "recorded-unconditionally",
        "by an UPDATE on condition that it is still pending",
        (Edit(COPIER, "    if done.rowcount != 1:\n", "    if False:\n"),),
        f"{FILE}::test_a_batch_that_was_taken_away_while_it_was_copied_is_rolled_back",
        "Two copies of one batch land.",
    ),
    Break(
        "batch-not-claimed",
        "by an UPDATE on condition that it is still pending",
        (Edit(COPIER, " FOR UPDATE SKIP LOCKED", ""),),
        f"{FILE}::test_a_batch_that_another_copier_has_is_left_to_it",
        "Two copiers read the same batch, and one throws away what it did.",
    ),
    Break(
        "unique-violation-not-tried-again",
        "a batch that meets a unique violation has the backlog applied and is tried again",
        (
            Edit(
                "strategies/workers.py",
                "if copied.outcome is Outcome.UNIQUE and tries <= UNIQUE_RETRIES:",
                "if copied.outcome is Outcome.UNIQUE and tries < 0:",
            ),
        ),
        f"{FILE}::test_a_stale_row_in_a_batchs_way_goes_when_the_backlog_is_applied",
        "One stale row, and a batch of a hundred thousand goes row by row through the log.",
    ),
    Break(
        "refused-batch-dropped",
        "rows that the shadow cannot take go to quarantine",
        (
            Edit(
                COPIER,
                "SELECT 'W', {values} FROM {source} AS s WHERE {within}",
                "SELECT 'W', {values} FROM {source} AS s WHERE {within} AND false",
            ),
        ),
        f"{FILE}::test_an_infinite_time_in_a_batch_is_named_and_the_rest_arrives",
        "One row that a hypertable refuses takes its whole batch with it, in silence.",
    ),
    Break(
        "rows-without-a-time-in-no-batch",
        "batches cover every row that was there",
        (
            Edit(
                COPIER,
                "    if part.low[0] is None and terms and flow.rollout.plan.batch_by is BatchBy.TIME:\n",
                "    if False:\n",
            ),
        ),
        f"{FILE}::test_a_row_without_a_time_that_slips_in_before_capture_is_named",
        "A row without a time that came before capture is in no log and in no batch: nobody is told of it.",
    ),
    Break(
        "resume-begins-anew",
        "every step can be run again after a crash",
        (
            Edit(
                "strategies/copying.py",
                "    for _ in range(ORPHAN_ROUNDS):\n        _copy_round(",
                '    conn.execute(sql.SQL("TRUNCATE {}").format(flow.passive.ident))\n'
                "    for _ in range(ORPHAN_ROUNDS):\n        _copy_round(",
            ),
        ),
        f"{FILE}::test_an_interrupted_copy_goes_on_without_emptying_what_is_there",
        "The batches that were done are not copied again (peers, 13).",
        fails_by=("AssertionError", "Refused"),
    ),
    Break(
        "shadow-with-foreign-keys",
        "until the swap the shadow is bare",
        (
            Edit(
                "strategies/blue_green.py",
                "    oid = int(fetch_value(conn, \"SELECT to_regclass(%s)::oid::bigint\", [names.shadow.quoted]))\n",
                "    for key in plan.inspection.constraints:\n"
                '        if key.kind == "f":\n'
                '            execute(conn, f"ALTER TABLE {names.shadow.quoted} ADD {key.definition}")\n'
                "    oid = int(fetch_value(conn, \"SELECT to_regclass(%s)::oid::bigint\", [names.shadow.quoted]))\n",
            ),
        ),
        f"{FILE}::test_the_shadow_has_no_foreign_keys_and_no_triggers_of_the_user",
        "An ON DELETE CASCADE there deadlocks the application, a NO ACTION fails its deletes.",
    ),
)
