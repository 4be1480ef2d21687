"""A refresh heeds replication slots, outside of a rollout too."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from hyperferry.db import connect
from hyperferry.model.throttle import limits_of
from hyperferry.throttle import Sampler
from hyperferry.upkeep.watching import watching
from servers import Database

from .conftest import wait_for


def test_a_slot_that_keeps_too_much_makes_it_wait(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = f"upkeep_{uuid.uuid4().hex[:8]}"
    said: list[str] = []
    look = Sampler._slots

    def own(sampler: Sampler, conn: Any, found: list[Any]) -> None:
        look(sampler, conn, found)
        found[:] = [each for each in found if each.name == slot]  # other tests have slots on this server too

    monkeypatch.setattr(Sampler, "_slots", own)
    db.execute("SELECT pg_create_physical_replication_slot(%s, true)", slot)
    try:
        db.execute("CREATE TABLE filler AS SELECT n FROM generate_series(1, 2000) n")
        db.execute("CHECKPOINT")
        with connect(db.dsn) as conn, watching(conn, say=said.append, limits=limits_of({"max_slot_lag": "1kB"}), every=0.1) as valve:
            assert valve.must_wait(1.0, 1000.0)
            assert slot in said[0]
            db.execute("SELECT pg_drop_replication_slot(%s)", slot)
            wait_for(lambda: not valve.must_wait(0.0, 1000.0))
    finally:
        db.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", slot)
