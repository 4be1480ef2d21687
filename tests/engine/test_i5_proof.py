"""I5: nothing is cut over unproved; the proof is checked again under the lock; resuming never skips it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from job import Job
from swap_support import (
    VIEWED,
    WEEKS,
    Ready,
    before_swap_message,
    insert,
    ready_fixture,  # noqa: F401
    refused,
    relation_oid,
    same_after_sync,
    state,
    templates_fixture,  # noqa: F401
)

from hyperferry import swapping
from hyperferry.cutover import Gate, run_swap
from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.errors import CaptureBroken, Failed, Interrupted, NotProved, Refused, SchemaChanged
from hyperferry.ledger import store
from hyperferry.model.rollout import Phase

pytestmark = pytest.mark.usefixtures("full_time")

LOSE_A_ROW = "DELETE FROM {shadow} WHERE id = 77"


def verifications(job: Job) -> int:
    """How many verifications the ledger has."""
    return int(job.value("SELECT count(*) FROM hyperferry.verification"))


def gate_of(job: Job, **changes: object) -> Gate:
    """The gate as the engine would make it now."""
    found = store.last_verification(job.conn, job.rollout.id, job.rollout.direction.value)
    assert found is not None
    values = {
        "verification": found.id,
        "fingerprint": found.fingerprint,
        "excused": True,
        "snapshots_accepted": True,
    }
    return Gate(**{**values, **changes})  # type: ignore[arg-type]


def swap(job: Job, gate: Gate, attempts: int = 2) -> None:
    """The swap alone, without anything that the engine looks at before."""
    run_swap(
        lambda: connect(job.db.dsn, purpose="swap"), job.flow, gate, attempts=attempts, say=job.said.append
    )


# The gate under the lock.


def test_a_verification_of_an_older_epoch_does_not_count(ready: Ready) -> None:
    job = ready()
    gate = gate_of(job)
    store.bump_epoch(job.conn, job.rollout.id)
    with refused(job, NotProved, "unproved"):
        swap(job, gate)


def test_a_verification_that_found_differences_does_not_count(ready: Ready) -> None:
    job = ready()
    job.run(LOSE_A_ROW)
    assert not job.verify().match
    with refused(job, NotProved, "unproved"):
        swap(job, gate_of(job))


def test_a_verification_of_the_other_direction_does_not_count(ready: Ready) -> None:
    job = ready()
    job.run("UPDATE hyperferry.verification SET direction = 'reverse'")
    with refused(job, NotProved, "unproved"):
        swap(
            job,
            Gate(
                int(job.value("SELECT max(id) FROM hyperferry.verification")),
                job.plan.fingerprint,
                True,
                True,
            ),
        )


def test_a_swap_ends_the_verification_that_allowed_it(ready: Ready) -> None:
    """Cutover, rollback, cutover: each has a clean verification of its own."""
    job = ready()
    for number, way in enumerate((job.cutover, job.rollback, job.cutover), 1):
        way()
        assert verifications(job) == number


def test_a_truncation_that_was_applied_ends_the_verification(ready: Ready) -> None:
    job = ready()
    gate = gate_of(job)
    job.run("TRUNCATE {table}")
    job.apply()
    with refused(job, NotProved, "unproved"):
        swap(job, gate)


def test_a_repair_ends_the_verification(ready: Ready) -> None:
    job = ready()
    gate = gate_of(job)
    job.run(LOSE_A_ROW)
    assert job.verify(repair=True).match
    with refused(job, NotProved, "unproved"):
        swap(job, gate)
    job.cutover()
    same_after_sync(job)


def test_a_batch_that_is_still_to_be_copied_stops_the_swap(ready: Ready) -> None:
    job = ready()
    job.run("UPDATE {batch} SET state = 'pending' WHERE id = (SELECT min(id) FROM {batch})")
    with refused(job, NotProved, "unproved"):
        swap(job, gate_of(job))


def test_a_pair_in_quarantine_stops_the_swap(ready: Ready) -> None:
    job = ready()
    gate = gate_of(job)
    job.run("INSERT INTO {quarantine} (direction, k1, t, reason) VALUES ('forward', 5, '2024-01-01', 'test')")
    with refused(job, Refused, "cannot take"):
        swap(job, gate)


def test_an_excused_pair_that_differs_after_all_stops_the_swap(ready: Ready) -> None:
    """What a verification excused is looked at once more under the lock, after the drain."""
    job = ready()
    gate = gate_of(job)
    job.run("INSERT INTO hyperferry.excused_1 (k1, t) SELECT id, at FROM {source} WHERE id = 77")
    job.run(LOSE_A_ROW)
    with refused(job, NotProved, "unproved"):
        swap(job, gate)


def test_an_excused_pair_that_is_equal_by_then_lets_the_swap_pass(ready: Ready) -> None:
    job = ready()
    job.run("INSERT INTO hyperferry.excused_1 (k1, t) SELECT id, at FROM {source} WHERE id = 77")
    swap(job, gate_of(job))
    assert job.phase() == "cut_over"


# What hangs on the table was changed.

CHANGES = {
    "index": ("CREATE INDEX added ON t (n)", "DROP INDEX added"),
    "unique index": ("CREATE UNIQUE INDEX added ON t (id, n)", "DROP INDEX added"),
    "grant": ("GRANT SELECT ON t TO PUBLIC", "REVOKE SELECT ON t FROM PUBLIC"),
    "column grant": ("GRANT UPDATE (note) ON t TO PUBLIC", "REVOKE UPDATE (note) ON t FROM PUBLIC"),
    "view": ("CREATE VIEW added AS SELECT id FROM t", "DROP VIEW added"),
    "outer view": ("CREATE VIEW added AS SELECT total FROM sums", "DROP VIEW added"),
    "view's options": ("ALTER VIEW sums SET (security_barrier)", "ALTER VIEW sums RESET (security_barrier)"),
    "view's grant": ("GRANT SELECT ON sums TO PUBLIC", "REVOKE SELECT ON sums FROM PUBLIC"),
    "trigger": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
        "CREATE TRIGGER added BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "DROP FUNCTION f CASCADE",
    ),
    "default": ("ALTER TABLE t ALTER n SET DEFAULT 5", "ALTER TABLE t ALTER n DROP DEFAULT"),
    "not null": ("ALTER TABLE t ALTER n SET NOT NULL", "ALTER TABLE t ALTER n DROP NOT NULL"),
    "check": ("ALTER TABLE t ADD CONSTRAINT added CHECK (n < 100)", "ALTER TABLE t DROP CONSTRAINT added"),
    "foreign key": (
        "CREATE TABLE parent AS SELECT generate_series(0, 9) AS n; ALTER TABLE parent ADD PRIMARY KEY (n); "
        "ALTER TABLE t ADD CONSTRAINT added FOREIGN KEY (n) REFERENCES parent",
        "DROP TABLE parent CASCADE",
    ),
    "inbound key": ("CREATE TABLE child (id bigint REFERENCES t)", "DROP TABLE child"),
    "comment": ("COMMENT ON COLUMN t.n IS 'changed'", "COMMENT ON COLUMN t.n IS NULL"),
    "policy": ("CREATE POLICY added ON t USING (true)", "DROP POLICY added ON t"),
    "publication": ("CREATE PUBLICATION added FOR TABLE t", "DROP PUBLICATION added"),
    "rule": ("CREATE RULE added AS ON DELETE TO t WHERE false DO INSTEAD NOTHING", "DROP RULE added ON t"),
    "statistics": ("CREATE STATISTICS added ON n, v FROM t", "DROP STATISTICS added"),
    "storage option": ("ALTER TABLE t SET (fillfactor = 50)", "ALTER TABLE t RESET (fillfactor)"),
    "row type": ("CREATE FUNCTION g(t) RETURNS integer LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION g"),
    "sequence's grant": (
        "GRANT USAGE ON SEQUENCE t_id_seq TO PUBLIC",
        "REVOKE USAGE ON SEQUENCE t_id_seq FROM PUBLIC",
    ),
    "owner": ("ALTER TABLE t OWNER TO pg_database_owner", "ALTER TABLE t OWNER TO CURRENT_USER"),
    # What cannot be undone as if it had never been: last.
    "index dropped": ("DROP INDEX t_at", "CREATE INDEX t_at ON t (at)"),
    "view replaced": ("CREATE OR REPLACE VIEW sums AS SELECT n, sum(v) + 1 AS total FROM t GROUP BY n", ""),
    "column": ("ALTER TABLE t ADD COLUMN added integer", ""),
}
"""What hangs on the table: a change, and what undoes it."""


def test_what_was_changed_since_the_plan_is_noticed_before_the_swap(ready: Ready) -> None:
    """Exit code 3, nothing changed, and nothing compared for nothing."""
    job = ready(VIEWED)
    for name, (change, undo) in CHANGES.items():
        before = job.phase(), relation_oid(job)
        job.db.execute(change)
        with pytest.raises(SchemaChanged) as caught:
            job.cutover()
        assert (caught.value.exit_code, job.phase(), relation_oid(job)) == (3, *before), name
        if undo:
            job.db.execute(undo)
    assert verifications(job) == 1


def test_what_is_changed_while_we_come_is_noticed_under_the_lock(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every look of the engine, and before the first lock: the check under the lock alone can see it."""
    job = ready(VIEWED)
    for name, (change, undo) in CHANGES.items():
        with monkeypatch.context() as patch:
            seen = before_swap_message(patch, lambda conn, change=change: job.db.execute(change) and None)  # type: ignore[misc]
            with pytest.raises(SchemaChanged) as caught:
                job.cutover()
        assert "was changed since it was verified" in str(caught.value), name
        assert (len(seen), job.phase()) == (1, "synced"), name
        if not undo:
            break
        job.db.execute(undo)


@pytest.mark.parametrize(
    "tampering",
    [
        "ALTER TABLE t DISABLE TRIGGER hyperferry_forward_insert",
        "ALTER TABLE t DISABLE TRIGGER ALL; ALTER TABLE t ENABLE TRIGGER ALL",
    ],
)
def test_capture_that_was_tampered_with_stops_the_swap_under_the_lock(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, tampering: str
) -> None:
    job = ready()
    before_swap_message(monkeypatch, lambda conn: job.db.execute(tampering) and None)
    with pytest.raises(CaptureBroken):
        job.cutover()
    assert job.phase() == "synced"


def test_another_table_under_the_name_is_not_taken_for_ours(ready: Ready) -> None:
    job = ready()
    job.db.execute("ALTER TABLE t RENAME TO gone; CREATE TABLE t (LIKE gone INCLUDING ALL)")
    with refused(job, SchemaChanged):
        job.cutover()


# A proof that is voided during the attempts is made anew.

TRUNCATED = "TRUNCATE t; INSERT INTO t (at) VALUES ('2024-01-09')"


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_a_proof_that_a_truncate_voids_meanwhile_is_made_anew(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """No command to run again: it says why, verifies, and goes on; the attempts are those of all together."""
    job = ready()
    if way == "rollback":
        job.cutover()
        assert job.verify().match
    before = verifications(job)
    # Of the plain table the new file is seen at once. Of a hypertable the first attempt finds a truncation in the backlog, the second
    # (which applied it) no proof; and so once more.
    times, attempts = (2, 3) if way == "cutover" else (3, 5)
    seen = before_swap_message(monkeypatch, lambda conn: job.run(TRUNCATED) and None, times=times)
    report = getattr(job, way)()
    assert job.phase() == ("cut_over" if way == "cutover" else "rolled_back")
    assert (report.attempts, len(seen)) == (attempts, attempts)
    assert verifications(job) == before + 2
    assert sum("verifying again" in line for line in job.said) == 2
    assert job.value("SELECT count(*) FROM {table}") == 1
    same_after_sync(job)


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_who_truncates_again_and_again_is_not_followed_for_ever(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    job = ready()
    if way == "rollback":
        job.cutover()
    phase = job.phase()
    seen = before_swap_message(monkeypatch, lambda conn: job.run(TRUNCATED) and None, times=99)
    with pytest.raises(Refused, match="unproved"):
        getattr(job, way)()
    assert (len(seen), job.phase()) == (3 if way == "cutover" else 6, phase)
    same_after_sync(job)


def test_what_differs_is_not_verified_away(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verification that is made anew finds what differs, and refuses."""
    job = ready()

    def spoil(conn: Connection) -> None:
        job.run("VACUUM FULL {table}")
        job.run("DELETE FROM {shadow}")

    before_swap_message(monkeypatch, spoil)
    with pytest.raises(Refused, match="not the same"):
        job.cutover()
    assert job.phase() == "synced"


def test_a_rollback_that_needs_no_proof_makes_none_anew(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ready()
    job.cutover()
    assert job.verify().match
    before = verifications(job)
    before_swap_message(monkeypatch, lambda conn: job.run(TRUNCATED) and None)
    job.rollback(unverified=True)
    assert (job.phase(), verifications(job)) == ("rolled_back", before)


# Resuming never skips a failed verification (peers, 5).


@pytest.mark.peer(number=5)
def test_start_again_and_again_does_not_walk_past_a_difference(copied: Callable[..., Job]) -> None:
    job = copied("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL); "
                 "INSERT INTO t SELECT i, timestamptz '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 100) i",
                 options=WEEKS)  # fmt: skip
    job.run(LOSE_A_ROW)
    for _ in range(2):
        with pytest.raises(Refused, match="not the same") as caught:
            job.start()
        assert "missing {'id': '77'" in str(caught.value)
        assert job.phase() == "copying"
        with refused(job, Refused, "cannot be cut over"):
            job.cutover()
    job.verify(repair=True)
    assert job.start().phase is Phase.SYNCED
    job.cutover()
    same_after_sync(job)


@pytest.mark.peer(number=5)
def test_a_verification_that_failed_later_is_not_walked_past_either(ready: Ready) -> None:
    job = ready()
    job.run(LOSE_A_ROW)
    assert not job.verify().match
    for command in (job.cutover, job.start):
        with refused(job, Refused, "not the same"):
            command()
    assert job.verify(repair=True).match
    job.cutover()
    same_after_sync(job)


def test_what_differed_is_not_forgotten_by_the_next_command(ready: Ready) -> None:
    """The newest verification counts, not the newest clean one."""
    job = ready()
    assert job.verify().match
    job.run(LOSE_A_ROW)
    assert not job.verify().match
    before = state(job)
    assert job.status().verified_match is False
    with pytest.raises(Refused):
        job.cutover()
    assert state(job) == before


# The way back needs a proof too.


def test_rollback_is_refused_where_old_is_not_the_same(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.run("UPDATE {source} SET v = v + 1 WHERE id = 9")
    with refused(job, Refused, "not the same"):
        job.rollback()


def test_rollback_unverified_is_possible_by_name_alone(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.run("UPDATE {source} SET v = v + 1 WHERE id = 9")
    new = insert(job)
    assert job.rollback(unverified=True).phase is Phase.ROLLED_BACK
    assert job.value("SELECT count(*) FROM {table} WHERE id = %s", new) == 1, (
        "the writes made since come along all the same"
    )
    with refused(job, Refused, "not the same"):
        job.cutover()


def test_what_was_hung_on_the_hypertable_since_the_cutover_stops_the_rollback(ready: Ready) -> None:
    job = ready()
    job.cutover()
    job.db.execute("CREATE VIEW added AS SELECT id FROM t")
    with refused(job, SchemaChanged, "since the cutover"):
        job.rollback()
    job.db.execute("DROP VIEW added")
    job.rollback()


# The proof that the swap makes itself.


def around_the_proof(
    monkeypatch: pytest.MonkeyPatch, *, before: Callable[[], object] = int, after: Callable[[], object] = int
) -> None:
    """Runs something before each verification of the swap's own (while it catches up, as it were), and after its end."""
    real = swapping.prove

    def proved(*args: Any) -> Any:
        before()
        report = real(*args)
        after()
        return report

    monkeypatch.setattr(swapping, "prove", proved)


def once(act: Callable[[], object]) -> Callable[[], object]:
    left = [act]
    return lambda: left.pop()() if left else None


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_a_proof_that_is_voided_while_it_is_made_is_made_anew(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A TRUNCATE that is applied meanwhile: what was verified before it proves nothing."""
    job = ready()
    if way == "rollback":
        job.cutover()
    else:
        store.bump_epoch(job.conn, job.rollout.id)
    before = verifications(job)

    def truncate() -> None:
        job.run("TRUNCATE {table}")
        insert(job)
        job.apply()

    around_the_proof(monkeypatch, after=once(truncate))
    getattr(job, way)()
    assert verifications(job) == before + 2
    assert any("the proof is void" in line for line in job.said)
    same_after_sync(job)


@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_a_proof_that_is_voided_again_and_again_is_given_up(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    job = ready()
    if way == "rollback":
        job.cutover()
    around_the_proof(monkeypatch, after=lambda: store.bump_epoch(job.conn, job.rollout.id))
    store.bump_epoch(job.conn, job.rollout.id)
    with refused(job, NotProved, "unproved"):
        getattr(job, way)()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("way", ["cutover", "rollback"])
def test_what_is_added_while_it_is_proved_stops_the_swap(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str, moment: str
) -> None:
    """The swap moves what the plan knows: a view of the last minute would stay with the other table, and so would what is written
    through it. A verification that began after it does not know it either."""
    job = ready()
    if way == "rollback":
        job.cutover()
    else:
        store.bump_epoch(job.conn, job.rollout.id)
    around_the_proof(monkeypatch, **{moment: once(lambda: job.db.execute("CREATE VIEW fresh AS SELECT * FROM t"))})
    with pytest.raises(SchemaChanged, match="was changed since"):
        getattr(job, way)()
    assert job.phase() == ("cut_over" if way == "rollback" else "synced")
    job.db.execute("DROP VIEW fresh")
    getattr(job, way)()
    same_after_sync(job)


def interrupt_a_verification(job: Job, changes: str = "UPDATE {table} SET v = v + 1") -> None:
    """Its ranges are done, and it has excused the pairs that were changed; nothing else of it comes to its end."""
    job.run(changes)
    stop = threading.Event()
    with pytest.raises(Interrupted):
        job.verify(stop=stop, say=lambda text: stop.set() if "stand in the backlog" in text else None)


def left_excused(job: Job) -> int:
    return int(job.value("SELECT count(*) FROM hyperferry.excused_1"))


@pytest.mark.parametrize("way", ["cutover", "rollback"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_an_interrupted_verification_excused_is_not_looked_at_under_the_lock(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, way: str, when: str
) -> None:
    """Nobody would forget it, and everybody would wait for as long as so many pairs take: the proof is made anew instead."""
    job = ready()
    if way == "rollback":
        job.cutover()
        job.verify()
    before = verifications(job)
    if when == "before":
        interrupt_a_verification(job)
        assert left_excused(job) == 400
        job.sync()
    else:
        interrupt = once(lambda: interrupt_a_verification(job))
        real = swapping.run_swap
        monkeypatch.setattr(swapping, "run_swap", lambda *args, **options: (interrupt(), real(*args, **options))[1])
    counts: list[int] = []
    before_swap_message(monkeypatch, lambda conn: counts.append(left_excused(job)), times=99)
    getattr(job, way)()
    assert verifications(job) == before + 1
    assert any("verification that was interrupted left" in line for line in job.said)
    assert counts
    assert set(counts) == {0}
    same_after_sync(job)


def test_a_few_pairs_of_an_interrupted_verification_are_looked_at(ready: Ready) -> None:
    job = ready()
    before = verifications(job)
    interrupt_a_verification(job, "UPDATE {table} SET v = v + 1 WHERE id <= 300")
    assert left_excused(job) == 300
    job.cutover()
    assert verifications(job) == before
    same_after_sync(job)


@pytest.mark.parametrize(
    ("changed", "met"), [(100, "pair that the verification excused differs"), (400, "too much to be looked at")]
)
def test_a_difference_that_an_interrupted_verification_met_is_not_forgotten(ready: Ready, changed: int, met: str) -> None:
    """Few pairs, which are looked at under the locks, or many: the proof is made anew, and names the pair whose change was
    applied wrongly."""
    job = ready()
    interrupt_a_verification(job, f"UPDATE {{table}} SET v = v + 1 WHERE id <= {changed}")
    job.sync()
    job.run(LOSE_A_ROW)
    before = verifications(job)
    with refused(job, Refused, "not the same"):
        job.cutover()
    assert any(met in line for line in job.said)
    assert verifications(job) == before + 1


def test_a_cutover_is_not_even_tried_without_a_verification(ready: Ready) -> None:
    job = ready()
    before = state(job)
    with pytest.raises(Failed, match="without a verification"):
        swap(job, gate_of(job, verification=None))
    assert state(job) == before
