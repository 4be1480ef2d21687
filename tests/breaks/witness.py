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

VARIABLE = "HYPERFERRY_BREAK_WITNESS"

_seen: list[dict[str, str]] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report = yield
    kind = call.excinfo.typename if call.excinfo is not None else ""
    text = call.excinfo.exconly(tryshort=True) if call.excinfo is not None else ""
    _seen.append(
        {
            "node": item.nodeid,
            "when": report.when,
            "outcome": report.outcome,
            "kind": "Timeout" if text.startswith("Failed: Timeout") else kind,
            "text": text[:300],
        }
    )
    return report


def pytest_sessionfinish() -> None:
    import hyperferry

    Path(os.environ[VARIABLE]).write_text(json.dumps({"tested": hyperferry.__file__, "seen": _seen}), "utf-8")
