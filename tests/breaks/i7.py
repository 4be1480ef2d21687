"""I7: the way back loses nothing."""

from __future__ import annotations

from .i5 import SILENT
from .model import COMMUNITY, Break, Edit

SWAP = "cutover/swap.py"
KNOWN = "ledger/known.py"
FUNCTIONS = "capture/functions.py"
FILE = "engine/test_i7_way_back.py"

BREAKS = (
    Break(
        "old-keeps-its-foreign-keys",
        "old has no FKs meanwhile",
        (Edit(SWAP, "        *hanging.drop_foreign_keys(inspection, outgoing),\n", ""),),
        f"{FILE}::test_old_refuses_nothing_and_fires_nothing_meanwhile",
        "A CASCADE on old deadlocks the application, a NO ACTION fails its deletes of parents.",
        fails_by=("AssertionError", "Failed", "DuplicateObject"),
    ),
    Break(
        "old-keeps-its-triggers",
        "old has no user triggers meanwhile",
        (Edit(SWAP, "        *hanging.drop_triggers(inspection, outgoing),\n", ""),),
        f"{FILE}::test_old_refuses_nothing_and_fires_nothing_meanwhile",
        "The application's triggers fire a second time, for changes that are carried back (here one does, in our session, and fails).",
        fails_by=("AssertionError", "Failed", "UndefinedTable"),
    ),
    Break(
        "triggers-do-not-return",
        "they return in the rollback's own transaction",
        (Edit(SWAP, "        *hanging.create_triggers(inspection),\n", ""),),
        f"{FILE}::test_old_refuses_nothing_and_fires_nothing_meanwhile",
        "The application's triggers are gone.",
    ),
    Break(
        "foreign-keys-do-not-return",
        "they return in the rollback's own transaction",
        (Edit(SWAP, "        *hanging.add_foreign_keys(inspection),\n", ""),),
        f"{FILE}::test_old_refuses_nothing_and_fires_nothing_meanwhile",
        "Rows without a parent can be written.",
    ),
    Break(
        "reverse-update-logs-the-new-pair-alone",
        "reverse capture on the hypertable",
        (
            Edit(
                FUNCTIONS,
                'return sql.SQL("BEGIN {} SELECT \'U\', {}; RETURN new; END").format(insert, pairs.of_row("old"))',
                'return sql.SQL("BEGIN {} SELECT \'U\', {}; RETURN new; END").format(insert, pairs.of_row("new"))',
            ),
        ),
        f"{FILE}::test_writes_of_several_roles_arrive_in_old",
        "A changed key or time leaves the old row behind in old.",
        quick=True,
        torture=9,
    ),
    Break(
        "pairs-compared-by-time-alone",
        "reverse capture on the hypertable: of an UPDATE that changes the pair the old one too",
        (
            Edit(
                "ledger/pairs.py",
                "else tuple(f.label for f in self.fields)",
                "else tuple(f.label for f in self.fields if f.is_time)",
            ),
        ),
        "engine/test_reverse_capture.py::test_each_kind_of_write_leaves_its_pairs",
        "A changed key leaves the old row behind in old.",
    ),
    Break(
        "older-rollouts-not-known",
        "reverse capture on the hypertable, as the rollout made it",
        (Edit("ledger/store.py", "reverse_by_event=row[11]", "reverse_by_event=False"),),
        "engine/test_reverse_capture.py::test_a_rollout_of_an_older_hyperferry_is_carried_to_its_end",
        "Functions wake up that no trigger calls: nothing that is written to the hypertable goes back.",
    ),
    Break(
        "reverse-truncate-not-captured",
        "row triggers and a TRUNCATE trigger",
        (
            Edit(
                "capture/triggers.py",
                "    by_statement = flow.direction is Direction.FORWARD\n    for event in events(flow):\n",
                "    by_statement = flow.direction is Direction.FORWARD\n"
                '    for event in events(flow) if by_statement else events(flow)[:-1]:\n',
            ),
        ),
        f"{FILE}::test_a_truncation_through_the_hypertable_arrives_in_old",
        "What was truncated comes back with the rollback.",
        fails_by=("AssertionError", "Refused"),
    ),
    Break(
        "owner-may-not-name-the-functions",
        "reverse capture on the hypertable, on its new chunks too",
        (Edit("capture/triggers.py", "        *grant_statements(reverse),\n", ""),),
        "engine/test_attacks.py::test_an_owner_who_is_not_us_gets_new_chunks_after_the_cutover",
        "The first INSERT that needs a new chunk fails.",
        fails_by=("AssertionError", "InsufficientPrivilege"),
    ),
    Break(
        "dropped-rows-come-back",
        "drop_chunks fires no trigger: recorded and shown",
        (Edit("swapping.py", "        noted = gates.refuse_dropped(conn, flow)\n", "        noted = None\n"),),
        f"{FILE}::test_rows_of_dropped_chunks_do_not_come_back_unless_accepted",
        "A rollback brings back what was deleted on purpose, in silence.",
    ),
    Break(
        "dropped-at-the-last-moment",
        "drop_chunks fires no trigger: looked for under the lock",
        (Edit("cutover/block.py", "    elif not dropped_accepted:\n", "    elif False:\n"),),
        f"{FILE}::test_a_chunk_that_is_dropped_at_the_last_moment_stops_the_rollback",
        "The same, when retention runs while we roll back.",
    ),
    Break(
        "dropped-and-noted-by-others",
        "drop_chunks fires no trigger: what was noted since the look is looked for under the lock",
        (Edit("cutover/block.py", "        if noted is not None:", "        if False:"),),
        f"{FILE}::test_a_chunk_that_somebody_else_notes_as_dropped_at_the_last_moment_stops_the_rollback",
        "The same, when a `sync` beside us notes it: noted is not judged.",
    ),
    Break(
        "carried-from-unknown-chunks",
        "drop_chunks fires no trigger: every chunk that rows were carried from is known",
        (Edit("apply/applier.py", "        if self.flow.direction is Direction.REVERSE:\n            self._chunks", "        if False:\n            self._chunks"),),
        f"{FILE}::test_a_chunk_that_came_and_went_between_two_looks_is_known",
        "A chunk that comes and goes between two looks leaves its rows in old, and a rollback brings them back in silence.",
    ),
    Break(
        "known-before-noted",
        "ranges recorded as dropped stay so, also where none was recorded before the chunk was made anew",
        (
            Edit(
                KNOWN,
                "def note(conn: Connection, flow: Flow, *, attached: bool) -> None:\n",
                "def note(conn: Connection, flow: Flow, *, attached: bool) -> None:\n    execute(conn, record(flow, attached=attached))\n",
            ),
        ),
        f"{FILE}::test_a_chunk_that_was_made_anew_between_two_looks_hides_none_that_was_dropped",
        "A late row makes a chunk anew in the range, which then counts as never dropped.",
    ),
    Break(
        "dropped-chunk-made-anew",
        "ranges recorded as dropped stay so",
        (Edit("ledger/known.sql", "SELECT FROM ({present}) AS p JOIN {known} AS o ON o.chunk = p.chunk WHERE", "SELECT FROM ({present}) AS p WHERE"),),
        f"{FILE}::test_rows_written_into_a_dropped_range_later_are_kept",
        "One late row in a dropped range, and the range counts as never dropped.",
    ),
    Break(
        "refused-by-old-in-silence",
        "what old's stricter keys would refuse is reported as soon as it is written",
        (
            Edit(
                "apply/applier.py",
                "                    self._patiently(lambda part=part, refused=refused: self._quarantine(part, refused.reason))",
                "                    execute(self.conn, slices.remove(self.flow), {\"ids\": part.text})",
            ),
        ),
        f"{FILE}::test_a_duplicate_of_the_old_key_is_told_at_once_and_stops_the_rollback",
        "The stricter unique key of old eats a row (peers, 8).",
        fails_by=("AssertionError", "Failed", "IndexError"),
    ),
    Break(
        "rollback-without-a-verification",
        "the way back needs a proof too (I5)",
        tuple(
            Edit(
                "swapping.py",
                f"    if verification is None and not unverified:\n        {then}",
                f"    if verification is None and not unverified and flow.direction is Direction.FORWARD:\n        {then}",
            )
            for then in ("blue_green", "raise")
        ),
        f"{FILE}::test_writes_that_no_trigger_saw_are_found_before_the_way_back",
        "A write in the role of a replica is not captured on a hypertable: only the comparison finds it.",
    ),
    Break(
        "chunk-writers-not-looked-for",
        "the way back loses nothing: who writes into a chunk by its own name holds no lock on the hypertable",
        (Edit("cutover/block.py", "\"IF writers IS NOT NULL THEN RAISE", "\"IF false THEN RAISE"),),
        "engine/test_unseen.py::test_a_rollback_gives_way_to_who_writes_into_a_chunk",
        "What such a session commits after the rollback stays in the log for ever: deleted rows are back.",
    ),
    Break(
        "log-not-looked-at-after-the-drain",
        "the way back loses nothing: what is committed into a chunk after the drain",
        (Edit("cutover/block.py", "            CHUNK_WRITTEN,\n            sql.SQL(\"EXISTS (SELECT", "            CHUNK_WRITTEN,\n            sql.SQL(\"false AND EXISTS (SELECT"),),
        "engine/test_unseen.py::test_what_is_committed_into_a_chunk_after_the_drain_is_not_lost",
        "The same, committed a moment earlier.",
    ),
    Break(
        "attached-chunks-known-without-a-proof",
        "rollback needs a proof too: a table attached as a chunk voids it",
        (Edit("cutover/dropped.py", "known_chunks.note(conn, flow, attached=verifying)", "known_chunks.note(conn, flow, attached=True)"),),
        "engine/test_unseen.py::test_rows_attached_as_a_chunk_after_the_verification_are_not_lost",
        "Whoever looks at the chunks, a sync say, takes its rows for proved: they are left behind in the hypertable.",
        release=COMMUNITY,
    ),
    Break(
        "attached-chunk-voids-no-proof",
        "rollback needs a proof too, checked under the lock: a table attached as a chunk voids it",
        (Edit("cutover/block.py", "_raise(NOT_PROVED, dropped.unproved(flow), ", "_raise(NOT_PROVED, sql.SQL(\"false\"), "),),
        "engine/test_unseen.py::test_rows_attached_as_a_chunk_after_the_verification_are_not_lost",
        "Its rows are left behind in the hypertable.",
        release=COMMUNITY,
    ),
    Break(
        "late-rows-of-dropped-ranges-not-compared",
        "drop_chunks and retention are recorded: what comes into their ranges later is carried as everything is",
        (Edit("verify/compare.py", "sums.source_hash == sums.target_hash and not dropped_source\n", "sums.source_hash == sums.target_hash\n"),),
        f"{SILENT}::test_what_came_into_a_dropped_range_is_verified",
        "Once a chunk of now was dropped, `verify` says that all later writes to its range are equal, whatever they are.",
    ),
    Break(
        "late-rows-of-dropped-ranges-deleted",
        "the way back loses nothing",
        (Edit("cutover/dropped.py", "\"DELETE FROM {old} AS o WHERE ({where}) AND NOT EXISTS \"", "\"DELETE FROM {old} AS o WHERE ({where}) AND NOT false AND true OR false AND EXISTS \""),),
        f"{SILENT}::test_what_came_into_a_dropped_range_survives_the_statement_that_the_refusal_shows",
        "The statement that a refusal of ours shows deletes rows that were written after the chunk was dropped.",
    ),
    Break(
        "what-was-added-is-taken-for-the-swaps",
        "the way back loses nothing of what hangs on the table",
        (Edit("swapping.py", "        if late:\n            gates.refuse_changed_by_others(rollout, noted)\n        changed = gates.changed_by_others(rollout, noted)\n", ""),),
        f"{SILENT}::test_what_was_added_before_an_interrupted_swap_was_noted_is_told",
        "A view made after an interrupted cutover reads the parked hypertable for ever after a rollback.",
        case="view",
        fails_by=("Failed",),
    ),
    Break(
        "truncation-noted-after-other-triggers",
        "TRUNCATE is a barrier: remove every log row that it covers",
        (Edit("capture/triggers.py", "sql.SQL(\"BEFORE\" if event == \"truncate\" else \"AFTER\")", "sql.SQL(\"AFTER\")"),),
        f"{SILENT}::test_rows_that_a_trigger_puts_in_after_a_truncation_arrive",
        "Rows that a user's trigger puts in after the truncation are taken for older than it.",
        case="plain table",
    ),
)
