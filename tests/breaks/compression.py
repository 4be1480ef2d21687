"""C: compression on the way, and old chunks that are dropped. Beside the invariants; clauses are docs/compression.md's and docs/commands.md's."""

from __future__ import annotations

from .model import Break, Edit

CHUNKS = "compression/compression.sql"
FILE = "engine/test_compression.py"

BREAKS = (
    Break(
        "filled-chunk-taken-for-closed",
        "it is closed when every batch that could bring a row into it is committed",
        (Edit(CHUNKS, " AND NOT EXISTS (SELECT FROM {batch} AS b WHERE b.state = 'pending' AND {covered})\n", "\n"),),
        f"{FILE}::test_a_chunk_is_closed_when_no_batch_can_land_in_it_any_more",
        "The rest of its rows is copied beside the compressed ones, and all of it is compressed a second time.",
        release="community",
    ),
    Break(
        "compressed-unproved",
        "a chunk that differs is left as it is",
        (Edit("strategies/compressing.py", "            if found is not Done.COMPRESSED:\n", "            if found is Done.NOT_NOW:\n"),),
        f"{FILE}::test_a_chunk_that_differs_is_left_as_it_is_and_the_verification_says_so",
        "Rows that have to be looked at and mended lie in a compressed chunk.",
        release="community",
    ),
    Break(
        "images-not-summed-up",
        "unless both sums are the same, the transaction is undone",
        (Edit("compression/compressor.py", "    if before != after:\n", "    if before[0] != after[0]:\n"),),
        f"{FILE}::test_rows_that_would_come_back_changed_stay_uncompressed",
        "Of '1 month' and '30 days' compression keeps one: as many rows, and not the same.",
        release="community",
        fails_by=("AssertionError", "Failed", "Refused"),
    ),
    Break(
        "opens-all-that-lies-between",
        "deletes each by its segment, time and key, so that only its batch is opened",
        (Edit("apply/cold.py", "    if len(found) > MOST_APART:\n", "    if found:\n"),),
        f"{FILE}::test_a_few_changes_open_a_few_batches",
        "The log's pairs are no constants: ten changes far apart open the whole chunk, and it is as large as before.",
        release="community",
    ),
    Break(
        "late-chunks-forgotten",
        "so are chunks that changes made anew after the copy",
        (Edit("strategies/blue_green.py", "    compressing.rest(conn)\n", ""),),
        f"{FILE}::test_chunks_that_the_applier_made_after_the_copy_are_compressed_too",
        "After a TRUNCATE all chunks are the applier's, and no copier comes by to see to them.",
        release="community",
    ),
    Break(
        "age-beyond-the-present",
        "--drop-older-than: an age before now",
        (Edit("maintenance/maintenance.sql", "CASE WHEN %(text)s::interval >= interval '0' THEN ", "CASE WHEN true THEN "),),
        "health/test_maintain.py::test_what_is_no_past_moment_to_everybody_drops_nothing",
        "PostgreSQL reads '2 days ago' as -2 days: every chunk is older, and would be dropped.",
    ),
    Break(
        "everything-older-goes-with-it",
        "--drop-older-than: the chunks that are listed, exactly",
        (
            Edit("maintenance/maintenance.sql", ", newer_than => {newer}) AS c", ") AS c"),
            Edit("maintenance/drop.py", "        if other:\n", "        if False:\n"),
        ),
        "health/test_maintain.py::test_a_chunk_that_comes_after_the_list_was_made_is_not_dropped",
        "Late rows make a chunk that was on no list, and go with the next one. The two looks cover each other.",
    ),
)
