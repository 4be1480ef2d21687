"""I4: a pair is applied only when no batch can still land it."""

from __future__ import annotations

from .model import Break, Edit

SLICES = "apply/slices.py"
FILE = "engine/test_i4_pending_batches.py"

BREAKS = (
    Break(
        "pending-batches-ignored",
        "applied only when the batch that covers it is committed",
        (
            Edit(
                SLICES,
                "    if pending_batches and flow.direction is Direction.FORWARD:\n",
                "    if False and flow.direction is Direction.FORWARD:\n",
            ),
        ),
        f"{FILE}::test_a_change_of_a_row_that_is_not_copied_yet_waits_for_its_batch",
        "The change is applied, and the batch then lands the row as it was, or a second time.",
        quick=True,
        torture=0,
    ),
    Break(
        "open-end-covers-nothing",
        "the last batch is open above",
        (
            Edit(
                SLICES,
                '"({b}.{hi0} IS NULL OR {key} OPERATOR(pg_catalog.<) {high})"',
                '"{key} OPERATOR(pg_catalog.<) {high}"',
            ),
        ),
        f"{FILE}::test_a_time_before_or_after_everything_belongs_to_the_outermost_batches",
        "New rows are the ones that are written most, and they lie behind the last boundary.",
    ),
    Break(
        "open-beginning-covers-nothing",
        "the first batch is open below",
        (
            Edit(
                SLICES,
                '"({b}.{lo0} IS NULL OR {key} OPERATOR(pg_catalog.>=) {low}) AND "',
                '"{key} OPERATOR(pg_catalog.>=) {low} AND "',
            ),
        ),
        f"{FILE}::test_a_table_in_one_batch_applies_nothing_until_it_is_copied",
        "Changes before the first boundary are applied before their batch lands.",
    ),
    Break(
        "batch-in-flight-not-counted",
        "committed, not merely begun",
        (
            Edit(
                SLICES,
                "(SELECT x.* FROM {batch} AS x WHERE x.state = 'pending')",
                "(SELECT x.* FROM {batch} AS x WHERE x.state = 'pending' FOR UPDATE SKIP LOCKED)",
            ),
        ),
        f"{FILE}::test_a_batch_in_flight_still_counts_as_pending",
        "A batch that has read its rows and is not committed lands what was deleted meanwhile.",
    ),
    Break(
        "batches-apart-taken-for-one",
        "when the batch that covers it is committed",
        (Edit(SLICES, "IS NOT TRUE) OVER", "IS NULL) OVER"),),
        f"{FILE}::test_pending_batches_with_a_copied_one_between_them_hold_back_their_own_pairs",
        "Two pending batches are joined over one that is copied: its pairs wait until both are.",
    ),
    Break(
        "batches-joined-by-their-last-end-alone",
        "the batch that covers it",
        (Edit(SLICES, "f.{lo}, g.{hi}", "g.{lo}, g.{hi}"),),
        f"{FILE}::test_pending_batches_with_a_copied_one_between_them_hold_back_their_own_pairs",
        "Of several batches side by side only the last holds back its pairs.",
    ),
    Break(
        "applier-beside-the-copy-does-not-ask",
        "applied only when the batch that covers it is committed",
        (
            Edit(
                "strategies/workers.py",
                "work.drain(pending_batches=True, at_most_seconds=5)",
                "work.drain(pending_batches=False, at_most_seconds=5)",
            ),
        ),
        "engine/test_clauses.py::test_the_applier_beside_the_copy_leaves_a_batch_in_flight_alone",
        "The same, in the one place where copiers and the applier run side by side.",
        fails_by=("AssertionError", "Refused"),
    ),
    Break(
        "chunk-made-ahead-keeps-its-row",
        "no batch can still land it",
        (
            Edit(
                "copy/chunks.py",
                "execute(conn, statement).rowcount\n",
                "1\n",
            ),
        ),
        f"{FILE}::test_the_chunk_made_ahead_leaves_no_row_that_a_change_could_miss",
        "The row by which a chunk was made is there twice, or outlives its deletion.",
    ),
)
