"""What the cases are about, in words, for the pages."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A case's heading, and how to read its figures."""

    title: str
    about: str


CASES = {
    "conversion": Case(
        "Conversion time",
        "Every way from a plain table to a filled, indexed hypertable, in turn within each round; since 2026-12-01 19:00 UTC "
        "each round begins with another, and segments of WAL are made before and kept, as for what writers feel. ANALYZE is "
        "timed apart on every side (hyperferry's total is without it too); hyperferry's total is from the command's first "
        "moment to `synced`, verification included. A ratio is printed twice, without and with each side's ANALYZE: whoever "
        "reads rows first sets their hint bits, which hyperferry's total has (its index builds and its verification read "
        "them) and INSERT ... SELECT leaves to ANALYZE. The aims are without. The ANALYZE of the others is a plain one with "
        "autovacuum at work; hyperferry's has autovacuum held off, and is ANALYZE ONLY on PostgreSQL 18, which reads each "
        "chunk once instead of twice (since 2026-12-01 19:00 UTC: of all chunks together first, then of each, as many at once "
        "as there are workers). The documentation of TimescaleDB has two ways: `INSERT ... SELECT` into a hypertable with its "
        "indexes, against which the aim is, and, measured since 2026-12-01 19:00 UTC, `INSERT ... SELECT, indexes after`: "
        "into one without any, whose key and indexes are made afterwards and count into its time. Batches, hyperferry's and "
        "since 2026-12-01 10:04 UTC the runbook's too, commit without waiting for the disk, but for the last; all else is one "
        "transaction. `plain table` is the floor: the rows into a plain table, then the same indexes. `achieved` is how many "
        "of the 1,000 writes a second were made while hyperferry was at work (counted since 2026-12-01 19:00 UTC). Everything "
        "runs as a superuser, for whom hyperferry indexes chunk by chunk (since 2026-12-01, from TimescaleDB 2.22 on).",
    ),
    "feel": Case(
        "What writers feel",
        "pgbench at a fixed rate (half point SELECTs, a quarter UPDATEs, a quarter INSERTs of one row, each naming id "
        "and time) runs without a break through the whole rollout; its log is cut by the ledger's own times. A latency "
        "counts from the moment at which the rate wanted the transaction, so waiting for a free session is in it. "
        "Ratios are over the mean of the `alone` phases before and after, in the same round; `alone, again` over "
        "`alone` says how much of a ratio is noise. A rollout before the first round, which nobody measures, makes the "
        "segments of WAL, which are kept (min_wal_size is max_wal_size); on a server that has to make them every commit "
        "waits for each (below, under the aims missed). The longest wait at a swap is that of any transaction under way "
        "from the end of the verification before it to a second after it (until 2026-12-01 10:30 UTC: within a second of it).",
    ),
    "capture": Case(
        "Cost of capture",
        "The same statements on a table that is captured and on its twin that is not, in small slices by turns. The segments "
        "of WAL are made before, as for what writers feel.",
    ),
    "apply": Case(
        "Applying changes",
        "A backlog made beforehand, emptied by `hyperferry sync --until-empty` (its start included), alone and while "
        "pgbench refills it. Changes are rows changed.",
    ),
    "swap": Case(
        "Cutover and rollback",
        "Cutovers and rollbacks under writers, at the rate that the case names or without a pause, each statement a "
        "transaction that names id and time. What a writer feels is its longest statement under way within a second of the "
        "swap or, since 2026-12-01 10:30 UTC, of an attempt that gave way before it (figures from before that are the same "
        "where `most attempts` is 1); queueing included. Of fewer than a hundred swaps p99 is the longest. A table's swaps, "
        "however many, are one round.",
    ),
    "growth": Case(
        "Growth",
        "hyperferry idle, sizes in turn within each round; since 2026-12-01 19:00 UTC on segments of WAL that are made "
        "before. The time is to be flat within 10 %, which is judged twice: by the seconds per million rows over those of the "
        "smallest table, of which the part that is the same for every size is so much that this is hardly ever missed, and by "
        "what a further million rows takes from each size to the next, over the first such step. The latter is without "
        "ANALYZE where that was kept apart. Memory: the largest resident set of the program's processes. WAL: by its position "
        "before and after. Disk written: that WAL, temporary files, and the pages that pg_stat_io counts as written or "
        "extended, to the end of a CHECKPOINT afterwards. Additional disk: the database's files and temporary files at the "
        "peak, beyond what was there.",
    ),
}


def case(name: str) -> Case:
    """The words for a result of that name."""
    return CASES.get(name, Case(name, ""))
