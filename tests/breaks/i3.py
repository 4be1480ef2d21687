"""I3: a change is applied by state, pair by pair."""

from __future__ import annotations

from .model import Break, Edit

APPLIER = "apply/applier.py"
SLICES = "apply/slices.py"
BARRIER = "apply/barrier.py"
WIDEN = "apply/widen.py"
PLACES = "apply/places.sql"
TRANSACTION = "ledger/transaction.py"
FILE = "engine/test_i3_apply.py"

BREAKS = (
    Break(
        "two-appliers",
        "one applier at a time",
        (Edit(TRANSACTION, "    if applier:\n", "    if False:\n"),),
        f"{FILE}::test_a_second_applier_waits_until_the_first_has_ended",
        "A reads a pair, the application deletes its row, B removes the pair, A inserts the row: it is back.",
    ),
    Break(
        "appliers-lock-after-the-snapshot",
        "a lock taken before the snapshot",
        (
            Edit(
                TRANSACTION,
                "    if applier:\n",
                '    if applier:\n        locks.append(sql.SQL("SELECT 1 FROM pg_class LIMIT 1"))\n',
            ),
        ),
        f"{FILE}::test_the_appliers_lock_is_taken_before_the_snapshot",
        "The second applier waits, and then reads the log as it was before the first one.",
        fails_by=("AssertionError", "SerializationFailure", "LockUnavailable"),
    ),
    Break(
        "apply-in-read-committed",
        "in the same snapshot as the reading of the log",
        (
            Edit(
                TRANSACTION,
                "psycopg.IsolationLevel.REPEATABLE_READ if snapshot else",
                "psycopg.IsolationLevel.READ_COMMITTED if snapshot else",
            ),
        ),
        f"{FILE}::test_a_slice_is_applied_as_of_one_moment",
        "Between the deletes and the inserts the source has changed: half of one state and half of another arrive.",
    ),
    Break(
        "log-removed-by-range",
        "log rows are removed by the ids that were read, never by a range of them",
        (
            Edit(
                SLICES,
                'sql.SQL("DELETE FROM {} WHERE id = ANY({})").format(flow.log, ids)',
                'sql.SQL("DELETE FROM {} WHERE id <= (SELECT max(x) FROM unnest({}) x)").format(flow.log, ids)',
            ),
        ),
        "engine/test_i4_pending_batches.py::test_a_change_of_a_row_that_is_not_copied_yet_waits_for_its_batch",
        "Lower ids are left in the log for their batch, and are removed unread. (One that commits late, as in peers 7, is spared by the "
        "snapshot too: each of the two covers the other there.)",
    ),
    Break(
        "matched-by-key-alone",
        "both sides are matched on the whole pair",
        (
            Edit(
                "ledger/pairs.py",
                "        for f in self.fields:\n            if f.is_time and null_time:\n",
                "        for f in self.fields:\n            if f.is_time and not self.by_image:\n                continue\n"
                "            if f.is_time and null_time:\n",
            ),
        ),
        f"{FILE}::test_a_row_that_moves_in_time_and_back_is_there_once",
        "A row that moves in time is inserted once for each of its pairs.",
        case="1000",
        quick=True,
        torture=3,
    ),
    Break(
        "slice-not-widened",
        "on a unique violation the slice widens",
        (Edit(APPLIER, "wide = widen(self.conn, self.flow, there)", "wide = there"),),
        f"{FILE}::test_two_rows_swap_a_unique_value_across_two_slices",
        "Two rows that swap a unique value never get past each other (peers, 6).",
        case="1",
    ),
    Break(
        "slice-widened-once",
        "until it is closed",
        (Edit(WIDEN, "MAX_ROUNDS = 50", "MAX_ROUNDS = 1"),),
        f"{FILE}::test_a_ring_of_eight_unique_values_is_applied_whole",
        "A ring of rows that pass a unique value on is longer than one step.",
    ),
    Break(
        "nulls-taken-for-distinct",
        "by the pairs of the target rows in the way",
        (Edit(WIDEN, "    if index.nulls_not_distinct:\n", "    if False:\n"),),
        f"{FILE}::test_null_that_is_not_distinct_passes_from_row_to_row",
        "A NULL that must be unique stands in the way and is not found.",
    ),
    Break(
        "inserts-before-deletes",
        "all deletes before all inserts",
        (
            Edit(
                APPLIER,
                "        for group, chunk in self._of_side(timed, ids, self.flow.passive):\n",
                "        for group, chunk in self._of_side(timed, ids, self.flow.passive)[:1]:\n",
            ),
        ),
        f"{FILE}::test_one_slice_over_many_chunks_deletes_everywhere_and_inserts_each_row_once",
        "Rows of the later chunks are inserted beside what should have been deleted there.",
        fails_by=("AssertionError", "UniqueViolation"),
    ),
    Break(
        "pairs-not-distinct",
        "insert every source row with that pair",
        (Edit(SLICES, "(SELECT DISTINCT {columns} FROM {log} l", "(SELECT {columns} FROM {log} l"),),
        f"{FILE}::test_one_slice_over_many_chunks_deletes_everywhere_and_inserts_each_row_once",
        "A row that changed twice is inserted twice.",
    ),
    Break(
        "chunk-of-the-first-change-alone",
        "delete every target row with that pair",
        (Edit(PLACES, "WHERE found.range_end > {high}", "WHERE found.range_end > {low}"),),
        "engine/test_i3_places.py::test_chunks_narrower_than_the_plan_says_lose_nothing",
        "A group of changes that lies in several chunks is looked for in the first of them, and the rest is lost.",
    ),
    Break(
        "chunk-of-the-next-time",
        "delete every target row with that pair",
        (Edit(PLACES, "slice.range_start <= {low} ORDER", "slice.range_start < {low} ORDER"),),
        "engine/test_i3_places.py::test_a_row_lies_in_the_chunk_that_is_found_for_its_time",
        "A row at the very beginning of its chunk is looked for in the chunk before.",
        case="bigint",
    ),
    Break(
        "second-dimension-passed-over",
        "delete every target row with that pair",
        (Edit(PLACES, "CASE WHEN count(*) = 1\n", "CASE WHEN count(*) > 0\n"),),
        "engine/test_i3_places.py::test_a_hypertable_with_a_second_dimension_is_used_as_a_whole",
        "Chunks that share a time are told apart by another column: the row may stand in the other one.",
    ),
    Break(
        "second-dimension-added-later",
        "delete every target row with that pair",
        (Edit(PLACES, "d.hypertable_id = k.hypertable_id AND d.id <> {dimension}", "false"),),
        "engine/test_i3_places.py::test_a_dimension_that_is_added_later_is_seen_by_an_applier_that_goes_on",
        "What dimensions there are was looked for once, and a slice of the time is of several chunks now.",
    ),
    Break(
        "null-time-not-inserted",
        "matching both sides on the whole pair makes NULLs harmless",
        (
            Edit(
                SLICES,
                'matches("p", "s", null_time=null_time, by_key',
                'matches("p", "s", null_time=False, by_key',
            ),
        ),
        f"{FILE}::test_a_row_whose_time_becomes_null_is_named_and_stops_nothing_else",
        "A row whose time becomes NULL is deleted from the shadow, and nobody is told.",
    ),
    Break(
        "quarantine-dropped",
        "the pair is quarantined, named in status",
        (
            Edit(
                SLICES,
                "o ON {known}) ",
                "o ON {known} WHERE false) ",
            ),
        ),
        f"{FILE}::test_a_row_whose_time_becomes_null_is_named_and_stops_nothing_else",
        "A row that the shadow refuses is taken from the log and forgotten.",
    ),
    Break(
        "quarantines-the-whole-slice",
        "and stops nothing else",
        (Edit(APPLIER, "                if part.size == 1:\n", "                if part:\n"),),
        f"{FILE}::test_only_the_rows_that_are_refused_are_quarantined_out_of_a_large_slice",
        "One bad row, and a slice of twenty thousand is in quarantine.",
    ),
    Break(
        "quarantine-never-ends",
        "a mended row is let go",
        (Edit(APPLIER, "            execute(self.conn, slices.forget_quarantine(self.flow), params)\n", "            pass\n"),),
        f"{FILE}::test_a_quarantined_row_that_the_application_mends_is_let_go",
        "The cutover stays blocked by a row that is long in order.",
    ),
    Break(
        "truncation-passed-over",
        "TRUNCATE is a barrier",
        (
            Edit(
                APPLIER,
                "                    raise _Truncated\n                if not ahead:\n",
                "                    pass\n                if not ahead:\n",
            ),
        ),
        f"{FILE}::test_truncate_empties_the_shadow_and_the_log",
        "The shadow keeps what was truncated.",
    ),
    Break(
        "barrier-keeps-the-shadow",
        "empty the shadow",
        (Edit(BARRIER, '        execute(conn, sql.SQL("TRUNCATE {}").format(flow.passive.ident))\n', ""),),
        f"{FILE}::test_truncate_empties_the_shadow_and_the_log",
        "The shadow keeps what was truncated.",
    ),
    Break(
        "barrier-removes-what-came-after",
        "remove the log rows that the truncation covers",
        (Edit(BARRIER, '"DELETE FROM {} WHERE id <= {}"', '"DELETE FROM {} WHERE id <= {} OR true"'),),
        f"{FILE}::test_truncate_and_insert_in_one_transaction",
        "What was inserted after the TRUNCATE never arrives.",
    ),
)
