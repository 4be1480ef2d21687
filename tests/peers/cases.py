"""The cases by number: who, what happened there, and what we do about it, or why it does not apply."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One case. `ours`: what keeps it from happening here. `reason`: why it does not apply; such a case needs no test."""

    peer: str
    happened: str
    ours: str
    reason: str = ""


CASES: dict[int, Case] = {
    1: Case(
        "gh-ost#1684",
        "the checkpoint ran ahead of the applied changes; resume lost rows",
        "a batch, and a slice of changes, is recorded in the transaction that writes it",
    ),
    2: Case(
        "gh-ost#1030, #1054",
        "a change not yet visible when the copy read",
        "capture waits for every writer that began before; a pair waits for its batch",
    ),
    3: Case(
        "gh-ost#444",
        "a broken connection taken for `copy complete`",
        "the copy has ended when no batch is pending; a lost connection is made anew",
    ),
    4: Case(
        "spirit#156",
        "a cutover lost the last two rows written before the lock",
        "the backlog is drained under the lock, at a snapshot taken after it",
    ),
    5: Case(
        "spirit#882",
        "an automatic resume walked past a failed checksum and cut over",
        "no phase and no swap without a clean verification, however often one resumes",
    ),
    6: Case(
        "spirit#847",
        "two rows swap a unique value in one transaction",
        "a slice widens until no row outside it is in its way",
    ),
    7: Case(
        "pg_repack#23",
        "`DELETE FROM log WHERE id <= n`: sequence order is not commit order",
        "log rows are removed by the ids that were read",
    ),
    8: Case(
        "gh-ost#167, pt-osc PT-116/153",
        "the new unique index silently ate rows",
        "nothing is inserted with IGNORE: what a side refuses is in quarantine, named, and stops the swap",
    ),
    9: Case("pg-osc", "replay drops NULLs: `SET col = NULL` is lost", "a change is applied by the row's state, not by its values"),
    10: Case(
        "pg-osc",
        "only one pull batch is replayed under the lock; the rest of the log is dropped",
        "all of the backlog is applied under the lock, or the swap gives way",
    ),
    11: Case("pg-osc", "the log holds NEW alone: a change of the primary key is lost", "the log holds the old and the new pair"),
    12: Case(
        "pgcopydb#263",
        "a gap between the copy's snapshot and the start of following",
        "batches are cut when capture is committed",
    ),
    13: Case("planetscale/pgcopydb#33", "TRUNCATE of the target on resume", "resuming empties nothing"),
    14: Case(
        "gh-ost#784, #687",
        "a cutover that retries for ever; 147 h",
        "attempts are bounded, and the last message names who was in the way",
    ),
    15: Case(
        "vitess#18427",
        "writers stay blocked after a failed RENAME",
        "one transaction: what fails releases everything, and the server ends it where the client cannot",
    ),
    16: Case(
        "vitess#19629",
        "the connection that holds the lock is killed by a timeout",
        "locks and swap are one transaction on one connection: gone with it, or committed, and the server is asked which",
    ),
    17: Case(
        "pg_repack#86, #381, #418",
        "waits for ever on unrelated long transactions",
        "only holders of locks on the table, and of snapshots older than the swap, are waited for",
    ),
    18: Case("pg_repack#55", "deadlock on SIGINT", "Ctrl-C cancels what we wait for and needs no lock to clean up"),
    19: Case(
        "pgroll#583",
        "a backfill that never finishes under inserts",
        "batches are cut once; later rows come through the log",
    ),
    20: Case(
        "timescaledb#1052, #6362",
        "an UPDATE across chunks fails",
        "we DELETE and INSERT; that the application's will fail has to be accepted before the cutover",
    ),
    21: Case(
        "timescaledb#6452",
        "inbound FKs silently broken",
        "moved with the table where its new key allows it; else refused before anything starts, and once more under the lock",
    ),
    22: Case(
        "timescaledb#542, #628",
        "milliseconds taken for microseconds: a chunk interval 1000 times off",
        "the unit of an integer time is told from its values, or has to be given",
    ),
    23: Case(
        "timescaledb#644",
        "out of shared memory: one lock per chunk, max_locks_per_transaction",
        "LOCK ... ONLY, batches of a chunk or a few small ones; preflight counts a lock for every chunk and index and refuses what the server cannot "
        "bear (TimescaleDB 2.19 itself locks every chunk when a DELETE is planned)",
    ),
    24: Case(
        "sqlalchemy-timescaledb#21",
        "Alembic's autogenerate drops the time index that TimescaleDB made",
        "TimescaleDB is told to make none. That autogenerate leaves a migrated table alone is not built yet (issue 6), and not tested",
    ),
    25: Case(
        "timescaledb-extras `migrate.sql`",
        "batch width 10 times too small (seconds times 100000)",
        "batches are cut by rows, along the index, and end where chunks end",
    ),
}
