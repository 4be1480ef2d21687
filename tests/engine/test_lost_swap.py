"""The connection is lost during a swap: the ledger tells whether it happened, the transaction's id only whether it is still under
way. A crash can lose a transaction as a whole, and the server then gives its id to another one."""

from __future__ import annotations

import psycopg
import pytest
from swap_support import Ready, ready_fixture, same_after_sync, templates_fixture  # noqa: F401

from hyperferry.cutover import runner
from hyperferry.cutover.loss import after_loss
from hyperferry.db import connect
from hyperferry.db.connection import Connection
from hyperferry.errors import ConnectionFailed
from hyperferry.ledger.flow import Flow
from hyperferry.model.rollout import Phase

pytestmark = pytest.mark.usefixtures("full_time")


def asked(job: Ready, xid: str, seconds: float = 20) -> int | None:
    return after_loss(lambda: connect(job.dsn), job.flow, xid, seconds=seconds)


def test_an_id_that_the_server_does_not_know_yet_did_not_happen(ready: Ready) -> None:
    job = ready()
    assert asked(job, str(2**40)) is None


def test_an_id_that_was_given_to_another_transaction_is_not_taken_for_the_swap(ready: Ready) -> None:
    job = ready()
    other = job.value("SELECT pg_current_xact_id()::text")
    assert job.value("SELECT pg_xact_status(%s::xid8)", other) == "committed"
    assert asked(job, other) is None
    flow = job.flow
    job.cutover()
    assert after_loss(lambda: connect(job.dsn), flow, other, seconds=20) is not None


def test_one_that_is_under_way_is_waited_for(ready: Ready) -> None:
    job = ready()
    with job.application() as app:
        row = app.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        with pytest.raises(ConnectionFailed, match="cannot be asked"):
            asked(job, row[0], seconds=1)


def test_an_error_after_the_commit_is_no_reason_to_try_again(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question how many changes there were is cancelled: the swap happened all the same."""
    job = ready()
    asked_for: list[int] = []
    real = runner.changes_recorded

    def cancelled(conn: Connection, flow: Flow) -> int:
        asked_for.append(1)
        if len(asked_for) == 1:
            raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
        return real(conn, flow)

    monkeypatch.setattr(runner, "changes_recorded", cancelled)
    report = job.cutover()
    assert (report.phase, report.attempts, asked_for) == (Phase.CUT_OVER, 1, [1])
    same_after_sync(job)
