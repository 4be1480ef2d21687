"""I5: nothing is cut over unproved."""

from __future__ import annotations

from .model import Break, Edit

BLOCK = "cutover/block.py"
GATES = "gates.py"
FILE = "engine/test_i5_proof.py"
SILENT = "engine/test_silent_changes.py"

BREAKS = (
    Break(
        "epoch-not-compared",
        "newer than the last copy, swap and repair",
        (Edit(BLOCK, "AND v.match AND v.epoch = r.epoch AND", "AND v.match AND"),),
        f"{FILE}::test_a_verification_of_an_older_epoch_does_not_count",
        "What was copied, swapped or repaired since was never compared.",
        quick=True,
    ),
    Break(
        "verdict-not-read",
        "a clean verification",
        (Edit(BLOCK, "AND v.match AND v.epoch = r.epoch AND", "AND v.epoch = r.epoch AND"),),
        f"{FILE}::test_a_verification_that_found_differences_does_not_count",
        "A verification that found differences allows the swap.",
    ),
    Break(
        "direction-not-compared",
        "rollback needs one too",
        (
            Edit(
                BLOCK,
                "WHERE v.id = {id} AND v.match AND v.epoch = r.epoch AND v.direction = {direction} AND NOT EXISTS ",
                "WHERE v.id = {id} AND v.match AND v.epoch = r.epoch AND {direction} <> '' AND NOT EXISTS ",
            ),
        ),
        f"{FILE}::test_a_verification_of_the_other_direction_does_not_count",
        "A verification of the hypertable's way back says nothing of the way there.",
    ),
    Break(
        "fingerprint-not-compared-under-the-lock",
        "of the same catalog fingerprint, checked again under the lock",
        (
            Edit(
                BLOCK,
                'sql.SQL("definition IS DISTINCT FROM {}")',
                'sql.SQL("false AND definition IS DISTINCT FROM {}")',
            ),
        ),
        f"{FILE}::test_what_is_changed_while_we_come_is_noticed_under_the_lock",
        "A view, index or grant that was added in the last second is left behind on the old table.",
        fails_by=("AssertionError", "Failed", "HyperferryError", "CaptureBroken"),
    ),
    Break(
        "fingerprint-of-before-the-lock",
        "checked again under the lock",
        (
            Edit(
                BLOCK,
                "\"EXECUTE 'EXECUTE {}' INTO definition;\\n\").format(_DEFINITION)",
                '"definition := {};\\n").format(sql.Literal(fingerprint))',
            ),
        ),
        f"{FILE}::test_what_is_changed_while_we_come_is_noticed_under_the_lock",
        "What was prepared is the statement; its answer of before the lock is worth nothing.",
        fails_by=("AssertionError", "Failed", "HyperferryError", "CaptureBroken"),
    ),
    Break(
        "changes-since-the-plan-not-refused",
        "of the same catalog fingerprint",
        (Edit(GATES, '    if fingerprint in (detail.get("fingerprint"), None', '    if True or fingerprint in (detail.get("fingerprint"), None'),),
        f"{FILE}::test_what_was_hung_on_the_hypertable_since_the_cutover_stops_the_rollback",
        "What hangs on the table is moved as the plan knows it: what was added since is left behind.",
    ),
    Break(
        "triggers-not-compared-under-the-lock",
        "triggers, checked again under the lock",
        (Edit(BLOCK, "pg_catalog.starts_with(t.tgname, 'hyperferry_')) IS DISTINCT FROM \"", "pg_catalog.starts_with(t.tgname, 'hyperferry_')) IS NULL AND '{{}}' <> \""),),
        f"{FILE}::test_capture_that_was_tampered_with_stops_the_swap_under_the_lock",
        "Writes of the last second, while a trigger was off, are in no log.",
    ),
    Break(
        "pending-batches-do-not-stop-the-swap",
        "newer than the last copy",
        (Edit(BLOCK, "EXISTS (SELECT FROM {} WHERE state = 'pending')", "EXISTS (SELECT FROM {} WHERE state = 'never')"),),
        f"{FILE}::test_a_batch_that_is_still_to_be_copied_stops_the_swap",
        "A batch that is still to be copied is missing afterwards.",
    ),
    Break(
        "quarantine-does-not-stop-the-swap",
        "a quarantined pair blocks the cutover",
        (Edit(BLOCK, 'sql.SQL("EXISTS (SELECT FROM {} WHERE direction = {})")', 'sql.SQL("EXISTS (SELECT FROM {} WHERE direction = {} AND false)")'),),
        f"{FILE}::test_a_pair_in_quarantine_stops_the_swap",
        "Rows that the other side cannot take are gone after the swap.",
    ),
    Break(
        "excused-pairs-not-looked-at-under-the-lock",
        "what is still excused is checked under the lock",
        (Edit(BLOCK, 'sql.SQL("NOT ({})").format(excused_check(flow, excused))', 'sql.SQL("false AND ({})").format(excused_check(flow, excused))'),),
        f"{FILE}::test_an_excused_pair_that_differs_after_all_stops_the_swap",
        "A pair that changed all the time was never found equal.",
    ),
    Break(
        "resume-skips-the-verification",
        "resuming never skips it",
        (Edit("advance.py", "            prove(conn, connect, rollout, monitor)\n            rollout = blue_green.synced", "            if not gates.store.last_verification(conn, rollout.id, \"forward\"):\n                prove(conn, connect, rollout, monitor)\n            rollout = blue_green.synced"),),
        f"{FILE}::test_start_again_and_again_does_not_walk_past_a_difference",
        "The second start walks past what the first one found (peers, 5).",
    ),
    Break(
        "swap-without-a-verification",
        "the cutover needs a clean verification",
        (
            Edit("swapping.py", "    if verification is None and not unverified:\n        blue_green", "    if False:\n        blue_green"),
            Edit("swapping.py", "    if verification is None and not unverified:\n        raise", "    if False:\n        raise"),
            Edit(BLOCK, "    elif flow.direction is Direction.FORWARD:\n        raise Failed(", "    elif False:\n        raise Failed("),
        ),
        f"{FILE}::test_a_verification_that_failed_later_is_not_walked_past_either",
        "A difference that was found is cut over.",
    ),
    Break(
        "proof-voided-while-it-is-made",
        "a clean verification, newer than the last copy, swap and repair",
        (Edit("swapping.py", "    if verification is None and not unverified:\n        raise", "    if False:\n        raise"),),
        f"{FILE}::test_a_proof_that_is_voided_while_it_is_made_is_made_anew",
        "A TRUNCATE during the swap's own verification leaves no proof; none is not the same as one that was overridden by name.",
        case="{}-rollback",
    ),
    Break(
        "changes-during-the-proof-not-refused",
        "of the same catalog fingerprint",
        (Edit("swapping.py", "    fingerprint = gates.refuse_changed(conn, rollout)\n", "    fingerprint = catalog.fingerprint(conn, flow.active.oid)\n"),),
        f"{FILE}::test_what_is_added_while_it_is_proved_stops_the_swap",
        "A view of that moment stays with the other table, and what is written through it too; a verification after it does not mind.",
        case="{}-cutover-before",
    ),
    Break(
        "copy-keeps-the-epoch",
        "newer than the last copy",
        (Edit("strategies/copying.py", "        )\n    store.bump_epoch(conn, rollout.id)\n", "        )\n"),),
        "engine/test_clauses.py::test_a_copy_ends_the_verifications_before_it",
        "A verification that ran before the last batch landed never saw its rows.",
    ),
    Break(
        "swap-keeps-the-epoch",
        "newer than the last swap",
        (Edit(BLOCK, "SET phase = {phase}, epoch = epoch + 1, updated_at", "SET phase = {phase}, updated_at"),),
        f"{FILE}::test_a_swap_ends_the_verification_that_allowed_it",
        "The second cutover goes by the verification of the first.",
    ),
    Break(
        "repair-keeps-the-epoch",
        "newer than the last repair",
        (
            Edit("verify/verification.py", "        store.bump_epoch(conn, flow.rollout.id)\n", ""),
            Edit(BLOCK, "AND n.id > v.id))", "AND n.id > v.id AND false))"),
        ),
        f"{FILE}::test_a_repair_ends_the_verification",
        "A verification that ran before the repair never saw it applied. That a repair ends with a newer verification covers it, and is "
        "taken out with it.",
    ),
    Break(
        "truncation-keeps-the-epoch",
        "newer than the last copy, swap and repair",
        (Edit("apply/barrier.py", "        store.bump_epoch(conn, flow.rollout.id)\n", ""),),
        f"{FILE}::test_a_truncation_that_was_applied_ends_the_verification",
        "The shadow was emptied and filled anew since it was compared.",
    ),
    Break(
        "interrupted-verification-never-forgotten",
        "what is still excused is checked under the lock",
        (Edit("swapping.py", "verification.id) > EXCUSED_UNDER_LOCK:", "verification.id) < 0:"),),
        f"{FILE}::test_what_an_interrupted_verification_excused_is_not_looked_at_under_the_lock",
        "Each cutover is refused for it as long as nobody verifies: the swap alone cannot make the proof anew.",
        case="before-cutover",
        fails_by=("AssertionError", "NotProved"),
    ),
    Break(
        "what-was-excused-without-a-bound",
        "what is still excused is checked under the lock",
        (
            Edit("swapping.py", "verification.id) > EXCUSED_UNDER_LOCK:", "verification.id) < 0:"),
            Edit("cutover/before.py", "    if pairs <= EXCUSED_UNDER_LOCK:\n", "    if pairs >= 0:\n"),
        ),
        f"{FILE}::test_what_an_interrupted_verification_excused_is_not_looked_at_under_the_lock",
        "Hundreds of thousands of pairs are looked at while everybody waits, in each attempt.",
        case="before-cutover",
    ),
    Break(
        "new-blockers-not-looked-for",
        "nothing is cut over unproved",
        (Edit("gates.py", "    refuse_blockers(blockers_now(conn, rollout), rollout.table)\n", "    return\n"),),
        "engine/test_unseen.py::test_a_child_table_made_after_the_start_stops_the_cutover",
        "The look under the lock still refuses, without a word of what is to be done.",
    ),
    Break(
        "child-table-at-the-last-moment",
        "checked again under the lock",
        (Edit("ledger/unseen.py", "    if not flow.active.hypertable:\n", "    if False:\n"),),
        "engine/test_unseen.py::test_a_child_table_made_at_the_last_moment_stops_the_cutover",
        "The rows of a child made after the start are seen through the table no longer, in silence.",
    ),
    Break(
        "subscription-at-the-last-moment",
        "checked again under the lock",
        (Edit("ledger/unseen.sql", "EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s WHERE", "EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s WHERE false AND"),),
        "engine/test_unseen.py::test_a_subscription_made_at_the_last_moment_stops_the_cutover",
        "What a subscription writes fires no trigger by statement: its rows stay behind in old.",
    ),
    Break(
        "subscription-on-the-hypertable",
        "reverse capture on the hypertable: a subscription's target is refused",
        (Edit("cutover/block.py", "    parts += _unseen(flow)\n", "    parts += _unseen(flow) if flow.direction is Direction.FORWARD else []\n"),),
        "engine/test_unseen.py::test_a_subscription_on_the_hypertable_stops_the_rollback",
        "What it wrote into the hypertable is not carried back.",
        case="chunk",
    ),
    Break(
        "rewrites-not-compared",
        "nothing is cut over unproved",
        (
            Edit("gates.py", "    if found.tables != db", "    if False and found.tables != db"),
            Edit("cutover/block.py", "WHERE id = {}) IS DISTINCT FROM {}\").format(\n                    sql.Literal(verification)", "WHERE id = {} AND false) IS DISTINCT FROM NULLIF({}, {}::text)\").format(\n                    sql.Literal(verification), unseen.tables(flow)"),
        ),
        f"{SILENT}::test_a_rewrite_with_other_values_is_not_swapped_over",
        "ALTER COLUMN ... TYPE with the type that it had changes every row, fires no trigger, and leaves the definition as it was.",
        case="cutover",
        fails_by=("Failed",),
    ),
    Break(
        "rewrites-not-compared-under-the-lock",
        "checked again under the lock",
        (Edit("cutover/block.py", "WHERE id = {}) IS DISTINCT FROM {}\").format(\n                    sql.Literal(verification)", "WHERE id = {} AND false) IS DISTINCT FROM NULLIF({}, {}::text)\").format(\n                    sql.Literal(verification), unseen.tables(flow)"),),
        f"{SILENT}::test_a_rewrite_at_the_last_moment_is_seen_under_the_lock",
        "The same in the last moment.",
        fails_by=("Failed",),
    ),
    Break(
        "ways-in-that-ended-are-forgotten",
        "nothing is cut over unproved",
        (Edit("gates.py", "    void_if_unseen(conn, rollout)\n", ""),),
        f"{SILENT}::test_what_a_subscription_may_have_written_is_looked_for_when_it_has_ended",
        "What a subscription wrote until the user ended it, as he was told to, is missing in the hypertable.",
        case="cutover",
    ),
    Break(
        "ways-in-not-seen-by-the-applier",
        "nothing is cut over unproved",
        (Edit("apply/applier.py", "        if way_in is not None:\n", "        if False:\n"),),
        f"{SILENT}::test_what_a_subscription_may_have_written_is_looked_for_when_it_has_ended",
        "The same where it came and went between two looks of a cutover.",
        case="sync",
    ),
    Break(
        "ways-in-not-seen-by-a-verification",
        "nothing is cut over unproved",
        (Edit("verify/verification.py", "                if way_in is not None:\n", "                if False:\n"),),
        f"{SILENT}::test_what_a_subscription_may_have_written_is_looked_for_when_it_has_ended",
        "A verification made while a subscription writes counts for a swap after it.",
        case="verify",
    ),
    Break(
        "dropped-chunks-of-the-shadow-not-missed",
        "nothing is cut over unproved",
        (
            Edit("gates.py", "    lost = dropped.missing(flow) if direction is Direction.FORWARD else", "    lost = sql.SQL(\"false\") if direction is Direction.FORWARD else"),
            Edit("cutover/block.py", "_raise(NOT_PROVED, dropped.missing(flow), ", "_raise(NOT_PROVED, sql.SQL(\"false\"), "),
        ),
        f"{SILENT}::test_a_chunk_that_is_dropped_from_the_parked_hypertable_voids_the_proof",
        "A retention policy that was made while the hypertable served takes rows from it after a rollback; the next cutover loses them.",
        case="before",
    ),
    Break(
        "chunks-of-the-shadow-known-anew-before-the-swap",
        "checked again under the lock",
        (Edit("cutover/dropped.py", "        execute(conn, _of(\"forget_dropped\", flow))\n", "        execute(conn, _of(\"forget\", flow))\n"), Edit("gates.py", "    lost = dropped.missing(flow) if direction is Direction.FORWARD else", "    lost = sql.SQL(\"false\") if direction is Direction.FORWARD else")),
        f"{SILENT}::test_a_chunk_that_is_dropped_from_the_parked_hypertable_voids_the_proof",
        "What was dropped since the verification is forgotten by the look before the swap.",
        case="before",
    ),
    Break(
        "chunks-that-changes-made-are-not-known",
        "nothing is cut over unproved",
        (Edit("apply/applier.py", "        if making and known.count(self.conn, self.flow) != chunks:\n", "        if False:\n"),),
        f"{SILENT}::test_a_chunk_that_came_and_went_after_the_proof_voids_it",
        "A chunk made for a change after the verification, and dropped before the cutover, is missed by nobody.",
    ),
)
