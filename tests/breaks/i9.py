"""I9: the application is told beforehand what changes for it."""

from __future__ import annotations

from .model import Break, Edit

GATES = "gates.py"
RULES = "preflight/rules"
FILE = "engine/test_i9_told_beforehand.py"


def _unasked(rule: str, why: str) -> Break:
    """The rule is found, and need not be accepted."""
    return Break(
        f"{rule}-need-not-be-accepted",
        f"the cutover refuses until each is accepted: {rule}",
        (Edit(f"{RULES}/{rule.replace('-', '_')}.py", f'accept="{rule}"', "accept=None"),),
        f"{FILE}::test_each_rule_has_to_be_accepted_by_name",
        why,
    )


def _no_blocker(rule: str, why: str) -> Break:
    """The rule is found, and stops nothing."""
    words = {"row-type-dependents": "BLUE_GREEN, blocker", "publications": "BLUE_GREEN, blocker, warning"}.get(rule, "blocker")
    return Break(
        f"{rule}-is-no-blocker",
        f"blockers are: {rule}",
        (
            Edit(
                f"{RULES}/{rule.replace('-', '_')}.py",
                f"from ..words import {words}\n",
                f"from ..words import {words}\n\nfrom ..words import warning as blocker\n",
            ),
        ),
        f"{FILE}::test_what_would_break_is_a_blocker_before_anything_starts",
        why,
    )


BREAKS = (
    Break(
        "refusals-ignored",
        "the cutover refuses (exit 3) until each is accepted",
        (Edit(GATES, '    if found:\n        raise Refused(\n            f"The cutover of', '    if False:\n        raise Refused(\n            f"The cutover of'),),
        f"{FILE}::test_a_refused_cutover_accepts_nothing",
        "The application learns of it by its errors.",
        quick=True,
    ),
    _unasked("cross-chunk-updates", "An UPDATE of the time across chunks fails on a hypertable (peers, 20)."),
    _unasked("on-conflict-key", "ON CONFLICT on a key without the time fails on a hypertable."),
    _unasked("widened-key", "Two rows with one old key become possible."),
    Break(
        "snapshot-transactions-need-not-be-accepted",
        "the cutover refuses until each is accepted: snapshot-transactions",
        (
            Edit(
                f"{RULES}/snapshot_transactions.py",
                '            "cut over with --accept snapshot-transactions.",\n            accept="snapshot-transactions",\n',
                '            "cut over with --accept snapshot-transactions.",\n            accept=None,\n',
            ),
        ),
        f"{FILE}::test_each_rule_has_to_be_accepted_by_name",
        "Such a transaction may miss the last changes, without an error.",
    ),
    _no_blocker("view-groups-by-key", "The server refuses the view in the middle of the swap, every time."),
    _no_blocker("publications", "New chunks would not be published: subscribers fall behind in silence."),
    _no_blocker("row-type-dependents", "Whole-row views and functions of the row type go on with the old table."),
    Break(
        "change-log-not-looked-through",
        "found in the change log itself, which sees real updates across chunks",
        (Edit("apply/applier.py", "                if moved:\n                    self._note_moves()\n", ""),),
        f"{FILE}::test_updates_across_chunks_are_found_while_the_copy_runs",
        "Statements that an ORM makes stand in no function, and pg_stat_statements may not be there.",
    ),
    Break(
        "found-by-the-drain-and-forgotten",
        "found in the change log itself, which sees real updates across chunks",
        (Edit("cutover/block.py", "        if not moves_accepted:\n", "        if False:\n"),),
        f"{FILE}::test_updates_across_chunks_are_found_by_the_cutover_itself",
        "The cutover looks before it drains; what its own drain meets would be told to nobody.",
    ),
    Break(
        "drained-unseen-under-the-lock",
        "found in the change log itself, which sees real updates across chunks",
        (Edit("cutover/block.py", "    if slices.can_move(flow):\n", "    if False:\n"),),
        f"{FILE}::test_updates_across_chunks_are_found_under_the_lock",
        "What is applied under the lock is seen by nobody else.",
        case="{}-False",
    ),
    Break(
        "findings-of-the-log-forgotten",
        "found in the change log itself, which sees real updates across chunks",
        (Edit(GATES, "    for found in store.found(conn, rollout.id):\n", "    for found in ():\n"),),
        f"{FILE}::test_updates_across_chunks_are_found_in_the_change_log",
        "It was seen, and nobody is asked.",
    ),
    Break(
        "plan-alone-is-asked",
        "found in the catalog, in pg_stat_statements",
        (
            Edit(
                GATES,
                "    needed |= {f.accept: f.message for f in rules.run(now, PreflightOptions()) if f.accept}\n",
                "",
            ),
        ),
        f"{FILE}::test_what_is_found_since_the_plan_counts_too",
        "Weeks lie between a plan and its cutover.",
    ),
    Break(
        "unknown-words-are-accepted",
        "--accept RULE for what changes",
        (Edit(GATES, "    if unknown:\n        raise Usage(\n            f\"There is nothing", "    if False:\n        raise Usage(\n            f\"There is nothing"),),
        f"{FILE}::test_what_there_is_not_cannot_be_accepted",
        "A mistyped word looks as if it had been taken.",
        fails_by=("AssertionError", "Failed", "Refused"),
    ),
)
