"""A swap that is committed is reported as that, whatever becomes of what comes after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperferry import engine
from hyperferry.cli.main import run
from hyperferry.errors import NotSettled
from hyperferry.model.report import SwapReport
from hyperferry.model.rollout import Phase

NOWHERE = "postgresql://127.0.0.1:1/x"
"""Nobody is to be asked for anything once the swap is committed."""
WAYS = {"cutover": Phase.CUT_OVER, "rollback": Phase.ROLLED_BACK}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def swapped(monkeypatch: pytest.MonkeyPatch, way: str, code: int | None) -> None:
    """The way's swap is made, and what comes after it ends with this exit code; None: it is done."""
    report = SwapReport(WAYS[way], 3, 12.5, 4, (), "public.t")

    def work(*args: Any, **options: Any) -> SwapReport:
        if code is None:
            return report
        raise NotSettled("public.t is swapped; but.", report, facts={"why": "a lock"}, remedy="again", exit_code=code)

    monkeypatch.setattr(engine, way, work)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", [None, 1, 4])
def test_the_report_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], way: str, code: int | None
) -> None:
    swapped(monkeypatch, way, code)
    assert run([way, "t", "--dsn", NOWHERE, "--json"]) == (code or 0)
    printed = capsys.readouterr()
    value = json.loads(printed.out)
    assert (value["table"], value["phase"], value["stall_ms"]) == ("public.t", WAYS[way], 12.5)
    if code is not None:
        assert (value["error"], value["exit_code"], value["remedy"]) == ("public.t is swapped; but.", code, "again")
        assert "public.t is swapped" in printed.err
    assert run([way, "t", "--dsn", NOWHERE]) == (code or 0)
    printed = capsys.readouterr()
    assert f"public.t {WAYS[way]}" in printed.out
    assert "12" in printed.out
    assert ("public.t is swapped; but." in printed.err) is (code is not None)
