"""I1: capture has no gap."""

from __future__ import annotations

from .model import Break, Edit

FUNCTIONS = "capture/functions.py"
TRIGGERS = "capture/triggers.py"
FILE = "engine/test_i1_capture.py"

BREAKS = (
    Break(
        "triggers-are-ordinary",
        "ENABLE ALWAYS",
        (Edit(TRIGGERS, "ENABLE ALWAYS TRIGGER", "ENABLE TRIGGER"),),
        f"{FILE}::test_it_fires_under_session_replication_role_replica",
        "What a session in the role of a replica writes (a restore, a replication tool) is not captured.",
        quick=True,
    ),
    Break(
        "functions-of-the-writer",
        "they run with the right to write the log",
        (Edit(FUNCTIONS, "SECURITY DEFINER \"\n", "SECURITY INVOKER \"\n"),),
        f"{FILE}::test_a_role_without_any_right_on_the_ledger_can_write",
        "The application's role has no rights on the ledger: each of its writes would fail.",
        fails_by=("InsufficientPrivilege",),
    ),
    Break(
        "no-search-path",
        "a fixed search_path",
        (Edit(FUNCTIONS, "SET search_path = pg_catalog, pg_temp{pinned}", "{pinned}"),),
        f"{FILE}::test_a_hostile_search_path_changes_nothing",
        "A role that may create a schema decides what our functions call, with the definer's rights.",
        fails_by=("AssertionError", "Failed", "CheckViolation", "InsufficientPrivilege"),
    ),
    Break(
        "executable-by-anybody",
        "executable by nobody else",
        (Edit(FUNCTIONS, "REVOKE ALL ON FUNCTION {}() FROM PUBLIC", "COMMENT ON FUNCTION {}() IS 'capture'"),),
        f"{FILE}::test_nobody_else_may_hang_our_functions_on_a_table_of_his",
        "Anybody could write a TRUNCATE into the log by a table of his own, and the shadow is emptied.",
    ),
    Break(
        "update-logs-the-new-pair-alone",
        "its old and its new pair",
        (
            Edit(
                FUNCTIONS,
                "SELECT 'U', {} FROM old_rows o UNION SELECT 'U', {} FROM new_rows n",
                "SELECT 'U', {} FROM new_rows o UNION SELECT 'U', {} FROM new_rows n",
            ),
        ),
        f"{FILE}::test_an_update_of_the_key_or_of_the_time_leaves_the_old_pair_and_the_new_one",
        "A changed key leaves the row of the old key behind, for ever (peers, 11).",
        torture=3,
    ),
    Break(
        "update-logs-the-old-pair-alone",
        "its old and its new pair",
        (
            Edit(
                FUNCTIONS,
                "SELECT 'U', {} FROM old_rows o UNION SELECT 'U', {} FROM new_rows n",
                "SELECT 'U', {} FROM old_rows o UNION SELECT 'U', {} FROM old_rows n",
            ),
        ),
        f"{FILE}::test_an_update_of_the_key_or_of_the_time_leaves_the_old_pair_and_the_new_one",
        "A changed key takes the row away: it is deleted under the old key and never inserted under the new one.",
    ),
    Break(
        "delete-not-captured",
        "each committed INSERT, UPDATE, DELETE and TRUNCATE",
        (Edit(FUNCTIONS, 'EVENTS = ("insert", "update", "delete", "truncate")', 'EVENTS = ("insert", "update", "truncate")'),),
        f"{FILE}::test_insert_update_delete_leave_the_pairs_that_they_touch",
        "Deleted rows stay in the hypertable.",
        fails_by=("AssertionError", "IndexError"),
        torture=3,
    ),
    Break(
        "truncate-not-captured",
        "each committed INSERT, UPDATE, DELETE and TRUNCATE",
        (Edit(FUNCTIONS, "INSERT INTO {} (op) VALUES ('T'); RETURN", "PERFORM 1 FROM {} WHERE false; RETURN"),),
        f"{FILE}::test_truncate_is_logged_also_when_it_cascades",
        "A truncated table comes back to life with the cutover.",
    ),
    Break(
        "capture-begins-asleep",
        "from then on each committed write leaves its pairs",
        (Edit(TRIGGERS, "function_statements(flow, awake=True)", "function_statements(flow, awake=False)"),),
        f"{FILE}::test_on_conflict_is_logged_as_what_it_did",
        "What is written while the batches are copied is lost.",
    ),
    Break(
        "batches-cut-before-capture-is-committed",
        "every writer that began before them has ended",
        (
            Edit(TRIGGERS, "            expect(conn, flow.rollout.id, side)\n            record()\n", ""),
            Edit(
                TRIGGERS,
                "    side = flow.active\n    with conn.transaction():\n",
                "    side = flow.active\n    with conn.transaction():\n        record()\n        expect(conn, flow.rollout.id, side)\n",
            ),
        ),
        f"{FILE}::test_writers_that_began_before_capture_are_waited_for",
        "A writer that is not captured and not yet visible to the copy is in neither (peers, 2 and 12).",
    ),
    Break(
        "hash-by-the-writers-settings",
        "the hash must not depend on the writer's settings",
        (Edit(FUNCTIONS, 'pinned=_PINNED if flow.pairs.by_image else sql.SQL("")', 'pinned=sql.SQL("")'),),
        f"{FILE}::test_the_writers_settings_do_not_change_the_hash_of_a_row",
        "A row without a key that was written under another DateStyle is not found again: it stays, or is there twice.",
    ),
    Break(
        "hash-of-names",
        "the hash must not depend on what is done to other objects",
        (Edit("ledger/image.py", "    if image >= 2:\n", "    if False:\n"),),
        f"{FILE}::test_what_becomes_of_other_objects_does_not_change_the_hash_of_a_row",
        "A table, a role or an enum's value is renamed, and the rows without a key that name it are not found again.",
        case="a table",
    ),
    Break(
        "virtual-columns-hashed",
        "an image hash covers stored columns",
        (
            Edit(
                "ledger/image.py",
                'term for column in columns if column.generated != "v" for term in coarse_terms(alias, column, image)',
                "term for column in columns for term in coarse_terms(alias, column, image)",
            ),
            Edit("ledger/pairs.py", "columns = plan.inspection.stored_columns", "columns = plan.inspection.columns"),
        ),
        f"{FILE}::test_a_virtual_column_is_no_part_of_a_rows_image",
        "A virtual column is computed in the table's row and not in a trigger's: the server fails the application's write. "
        "Each of the two places covers the other.",
        release="testing",
        fails_by=("InternalError_", "AssertionError"),
    ),
)
