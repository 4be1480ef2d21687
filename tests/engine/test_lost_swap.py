"""The connection is lost during a swap: the ledger tells whether it happened, the transaction's id only whether it is still under
way. A crash can lose a transaction as a whole, and the server then gives its id to another one."""

from __future__ import annotations

import pytest
from swap_support import Ready, ready_fixture, templates_fixture  # noqa: F401

from hyperferry.cutover.loss import after_loss
from hyperferry.db import connect
from hyperferry.errors import ConnectionFailed


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
