"""Commands of the program, each in a process of its own (see zygote.py)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Run:
    """One command: `code` is its exit code (minus the signal that ended it), None while it runs."""

    arguments: tuple[str, ...]
    out: Path
    err: Path
    began: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    pid: int = 0
    code: int | None = None
    killed: bool = False
    asked: bool = False

    def wait(self, seconds: float) -> bool:
        """Waits for its end; False where that did not come in time."""
        return self.ended.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal, if it is there."""
        self.began.wait(10)
        if self.ended.is_set():
            return
        self.killed |= number is signal.SIGKILL
        self.asked |= number is not signal.SIGKILL
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def stdout(self) -> str:
        """What it printed."""
        return self.out.read_text("utf-8", "replace") if self.out.exists() else ""

    @property
    def stderr(self) -> str:
        """What it said."""
        return self.err.read_text("utf-8", "replace") if self.err.exists() else ""


class Programs:
    """Starts commands. One for a whole run of schedules; its files lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DATABASE_URL", "HYPERFERRY_T"))}
        here = str(Path(__file__).resolve().parents[1])
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), here]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "torture.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, start_new_session=True
        )
        self._numbers = itertools.count()
        self._by_number: dict[int, Run] = {}
        self._by_pid: dict[int, Run] = {}
        self._ready = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._ready.wait(60):
            raise RuntimeError("the process that runs commands did not start")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told: dict[str, Any] = json.loads(line)
            if "ready" in told:
                self._ready.set()
            elif "began" in told:
                run = self._by_number[told["began"]]
                run.pid = told["pid"]
                self._by_pid[run.pid] = run
                run.began.set()
            else:
                run = self._by_pid.pop(told["ended"])
                run.code = told["code"]
                run.ended.set()

    def start(self, arguments: list[str], dsn: str, *, slice_rows: int = 20_000) -> Run:
        """Begins a command."""
        with self._lock:
            number = next(self._numbers)
            run = Run(tuple(arguments), self.folder / f"{number}.out", self.folder / f"{number}.err")
            self._by_number[number] = run
            order = {
                "number": number,
                "arguments": arguments,
                "out": str(run.out),
                "err": str(run.err),
                "env": {"DATABASE_URL": dsn, "NO_COLOR": "1"},
                "folder": str(self.folder),
                "slice_rows": slice_rows,
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        return run

    def close(self) -> None:
        """Ends whatever still runs."""
        for run in list(self._by_pid.values()):
            run.signal(signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
