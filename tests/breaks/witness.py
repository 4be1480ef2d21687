"""A pytest plugin for the runner: writes down which hyperferry was tested, and how each phase of each test ended.

`HYPERFERRY_BREAK_WITNESS` names the file to write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import hyperferry

VARIABLE = "HYPERFERRY_BREAK_WITNESS"

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report = yield
    kind = call.excinfo.typename if call.excinfo is not None else ""
    text = call.excinfo.exconly(tryshort=True) if call.excinfo is not None else ""
    _tell(
        node=item.nodeid,
        when=report.when,
        outcome=report.outcome,
        kind="Timeout" if text.startswith("Failed: Timeout") else kind,
        text=text[:300],
        tested=hyperferry.__file__,
    )
    return report


def _tell(**facts: str) -> None:
    # A line at once: what comes later may end the process.
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
