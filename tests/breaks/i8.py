"""I8: verification is exact while writers run."""

from __future__ import annotations

from .model import Break, Edit

SQL = "verify/verify.sql"
VERIFICATION = "verify/verification.py"
RANGES = "verify/ranges.py"
IMAGE = "ledger/image.py"
FILE = "engine/test_i8_verification.py"
PARITY = "verify/test_verify_parity.py"
EXACT = "verify/test_verify_exactness.py"

BREAKS = (
    Break(
        "xor-for-sum",
        "count and sum, not xor: two equal rows cancel out",
        (
            Edit(SQL, "COALESCE(sum({hash}){kept}, 0)", "COALESCE(bit_xor({hash}){kept}, 0)"),
        ),
        "engine/test_clauses.py::test_two_equal_rows_that_became_two_others_are_found",
        "{a, a, b} and {b, b, b} have the same exclusive or and the same count.",
    ),
    Break(
        "rows-counted-alone",
        "count and sum of a hash of each row's image",
        (
            Edit(
                "verify/compare.py",
                "equal = source_rows == target_rows and sums.source_hash == sums.target_hash",
                "equal = source_rows == target_rows",
            ),
        ),
        f"{PARITY}::test_values_that_two_rows_swapped_are_found",
        "Stale rows are as many as fresh ones.",
    ),
    Break(
        "linear-hash",
        "a hash of each row's image",
        (Edit(IMAGE, 'return sql.SQL("pg_catalog.hashint4extended(0, {})")', 'return sql.SQL("({})")'),),
        f"{EXACT}::test_values_that_two_rows_swapped_change_the_sum",
        "A record's hash is linear: two rows that swapped their values of one column have the same sum.",
        case="bytea",
    ),
    Break(
        "one-seed-for-all-columns",
        "a hash of each row's image",
        (
            Edit(IMAGE, "seed_of(2 * number)", "seed_of(0)"),
            Edit(IMAGE, "seed_of(2 * number + 1)", "seed_of(1)"),
        ),
        f"{EXACT}::test_columns_of_one_type_are_not_taken_for_one_another",
        "(1, 2) and (2, 1) would be one image.",
        case="integer",
    ),
    Break(
        "upper-half-forgotten",
        "parity means record_image_eq",
        (Edit(IMAGE, "pg_catalog.hashint8extended({v} OPERATOR(pg_catalog.>>) 32, {seed})", "{seed}"),),
        f"{EXACT}::test_hashes_are_equal_exactly_when_the_images_are",
        "PostgreSQL's own hash of eight bytes folds them to four.",
        case="bigint",
    ),
    Break(
        "far-times-in-seconds",
        "parity means record_image_eq",
        (Edit(IMAGE, "'2100-01-01'::{kind}", "'infinity'::{kind}"),),
        f"{EXACT}::test_hashes_are_equal_exactly_when_the_images_are",
        "Far from the year 2000 two times a microsecond apart are the same number of seconds in double precision.",
        case="timestamptz",
    ),
    Break(
        "sign-and-scale-forgotten",
        "parity means record_image_eq",
        (
            Edit(
                IMAGE,
                "pg_catalog.hashint4extended(pg_catalog.scale({v}), \"\n        \"pg_catalog.hashint4extended(pg_catalog.numeric_cmp({v}, 0::numeric), {seed})))), \"",
                "{seed})), \"",
            ),
        ),
        f"{EXACT}::test_hashes_are_equal_exactly_when_the_images_are",
        "PostgreSQL's own hash of a numeric knows neither.",
        case="numeric",
    ),
    Break(
        "powers-cancel-out",
        "parity means record_image_eq",
        (
            Edit(IMAGE, "COALESCE(pg_catalog.hashint4extended(0, \"\n", "COALESCE(( \"\n"),
        ),
        f"{EXACT}::test_powers_of_ten_thousand_do_not_cancel_out_between_columns",
        "PostgreSQL's own hash of a numeric is that of its digits, exclusive or their power of 10000: of two columns it is nothing.",
    ),
    Break(
        "neighbours-cut-off",
        "excused pairs are kept and looked at again once applied",
        (
            Edit(
                "verify/pairwise.py",
                "Group(before.low, group.high, pairs, before.first, group.last)",
                "Group(before.low, before.high, pairs, before.first, group.last)",
            ),
        ),
        "verify/test_verify_groups.py::test_each_group_lies_in_exactly_one_of_those_that_are_made_of_them",
        "Pairs of two chunks are looked for by one statement, which has to span both.",
    ),
    Break(
        "equal-taken-for-the-same",
        "parity means record_image_eq",
        (
            Edit(
                IMAGE,
                "        form = _QUICK.get(column.base_type) or (_AS_TEXT if _by_text(column) else None)\n",
                "        form = None\n",
            ),
            Edit(IMAGE, "rest.append(_rest(alias, column))", "rest += coarse_terms(alias, column)"),
        ),
        f"{FILE}::test_every_planted_difference_is_found_and_repaired_only_when_asked",
        "1.0 is not 1.00, and 0 not -0.0.",
        case="forward",
    ),
    Break(
        "nothing-before-the-first-cut",
        "the first range open",
        (
            Edit(
                RANGES,
                "    edges: list[Cut | None] = [None, *cuts, None]\n",
                "    edges: list[Cut | None] = [*cuts, None]\n",
            ),
        ),
        f"{PARITY}::test_a_lost_row_and_a_missed_delete_are_found_and_repaired",
        "Rows outside of the ranges are never compared.",
        case="composite",
    ),
    Break(
        "rows-without-a-time-not-compared",
        "one range for NULL",
        (Edit(RANGES, "        found.append(Range(None, None, null_time=True))\n", "        pass\n"),),
        f"{PARITY}::test_a_row_without_a_time_is_missing_from_the_hypertable",
        "A row that a hypertable cannot hold is missing, and verified.",
    ),
    Break(
        "backlog-excuses-everything",
        "the rows that differ must have a pair in the backlog",
        (
            Edit(
                SQL,
                "SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM differing WHERE NOT logged),\n",
                "SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM differing WHERE NOT logged AND NOT EXISTS (SELECT FROM kept)),\n",
            ),
        ),
        f"{FILE}::test_a_difference_is_not_hidden_by_a_change_that_stands_in_the_backlog",
        "While writers run there is always something in the backlog.",
        quick=True,
    ),
    Break(
        "excused-for-good",
        "excused pairs are kept and looked at again once applied",
        (Edit("verify/excuses.py", "    for number in range(ROUNDS):\n", "    for number in range(0):\n"),),
        "verify/test_verify_excuses.py::test_a_change_that_was_applied_wrongly_is_no_longer_excused",
        "A change that was applied wrongly stood in the backlog when it was looked at.",
    ),
    Break(
        "backlog-not-read",
        "in a snapshot of its own that sees source, shadow and log",
        (
            Edit(SQL, "bool_or(side = 'l') AS logged", "false AS logged"),
            Edit("verify/compare.py", "        if excused is not None:\n", "        if False:\n"),
        ),
        "verify/test_verify_excuses.py::test_changes_in_the_backlog_are_excused_and_then_applied",
        "Every change on its way is called a difference. The two ways to look at the backlog cover each other.",
        case="player_stats",
        torture=3,
    ),
    Break(
        "repaired-unasked",
        "repaired only when asked",
        (Edit(VERIFICATION, "if repair and count else 0", "if count else 0"),),
        f"{FILE}::test_every_planted_difference_is_found_and_repaired_only_when_asked",
        "A difference is a fault of ours: it must be seen before it is mended.",
        case="forward",
    ),
    Break(
        "epoch-of-the-end",
        "newer than the last copy, swap and repair (I5)",
        (Edit(VERIFICATION, "                    epoch=begun.epoch,\n", "                    epoch=store.epoch(conn, rollout),\n"),),
        f"{PARITY}::test_the_epoch_is_that_of_the_beginning",
        "What was swapped or repaired while it ran was compared in part.",
    ),
    Break(
        "quarantine-taken-for-parity",
        "anything else is a difference",
        (Edit(VERIFICATION, "match=count == 0 and quarantined == 0", "match=count == 0"),),
        f"{PARITY}::test_quarantined_pairs_are_no_match",
        "Rows that the other side cannot take are no match.",
    ),
    Break(
        "truncation-taken-for-differences",
        "in a snapshot that sees source, shadow and log",
        (
            Edit(
                "verify/compare.py",
                'if not equal and fetch_value(conn, statements.query("pending_truncation").format(log=flow.log)):',
                "if False:",
            ),
        ),
        "verify/test_verify_excuses.py::test_a_truncate_is_waited_for",
        "A TRUNCATE in the backlog has no pairs: every row of the shadow would be called extra.",
    ),
    Break(
        "truncation-forgotten-at-the-second-look",
        "excused pairs are kept and looked at again once applied",
        (Edit("verify/pairwise.py", "g.op = 'T'))", "false))"),),
        "verify/test_verify_excuses.py::test_a_truncate_between_the_two_looks_excuses_what_it_emptied",
        "The same between the first look and the second: a cutover would be refused for no reason.",
    ),
    Break(
        "widths-by-a-quotient",
        "excused pairs are kept and looked at again once applied",
        (Edit("verify/pairwise.py", '"(div({u}, {w}::numeric) - CASE WHEN mod({u}, {w}::numeric) < 0 THEN 1 ELSE 0 END)"', '"({u} / {w}::numeric)"'),),
        "verify/test_spans.py::test_the_server_counts_whole_widths",
        "Rows of the last nanoseconds of a day are looked for in the next chunk, and not found.",
    ),
    Break(
        "later-verification-overruled",
        "the newest verification counts (I5)",
        (Edit(VERIFICATION, '                if fetch_value(conn, statements.query("newer_verification"), known):\n', "                if known is None:\n"),),
        f"{PARITY}::test_only_the_later_of_two_verifications_at_once_counts",
        "A verification that began earlier, and ends later, hides what the other one found.",
    ),
)
