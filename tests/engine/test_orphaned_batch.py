"""A batch that a session without a client still holds is waited for, and copied once that session is gone."""

from __future__ import annotations

import pytest
from job import HOURS, THIRDS, Make

from hyperferry import engine
from hyperferry.model.rollout import Phase
from hyperferry.strategies import copying


def test_a_batch_held_by_a_session_that_lost_its_client(captured: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    job = captured(HOURS, options=THIRDS)
    monkeypatch.setattr(copying, "ORPHAN_SECONDS", 0.4)
    said: list[str] = []
    with job.db.connect(autocommit=False) as orphan:
        held = orphan.execute(f"SELECT id FROM hyperferry.batch_{job.rollout.id} ORDER BY id LIMIT 1 FOR UPDATE").fetchall()
        assert len(held) == 1, "a batch was cut"

        def say(text: str) -> None:
            said.append(text)
            if "lost its client" in text:
                orphan.rollback()

        report = engine.start(job.db.dsn, "public.t", None, say=say)
    assert any("lost its client" in text for text in said), said
    assert report.phase is Phase.SYNCED
    job.assert_equal()
