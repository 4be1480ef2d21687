"""A process that has imported the program and forks a child for each command: a process of its own, to be killed at will, without the
half second of imports. Reads a line of JSON for each command from stdin, writes one when it has begun and one when it has ended."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
from typing import Any

import hyperferry.apply.applier as applier
import hyperferry.cli
import hyperferry.engine


def child(order: dict[str, Any]) -> None:
    """Runs one command line; never returns."""
    code = 70
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number, name in ((1, order["out"]), (2, order["err"])):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, number)
        os.environ.update(order["env"])
        os.chdir(order["folder"])
        sys.argv = ["hyperferry", *order["arguments"]]
        applier.Applier.__init__.__kwdefaults__["slice_rows"] = order["slice_rows"]  # type: ignore[index]
        try:
            hyperferry.cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    """Until stdin ends."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    chosen = selectors.DefaultSelector()
    chosen.register(reading, selectors.EVENT_READ)
    chosen.register(0, selectors.EVENT_READ)
    rest = b""
    tell({"ready": os.getpid()})
    while True:
        for key, _ in chosen.select():
            if key.fd == reading:
                os.read(reading, 512)
                reap()
                continue
            data = os.read(0, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    os.close(reading)
                    os.close(writing)
                    child(order)
                tell({"began": order["number"], "pid": pid})


def reap() -> None:
    """Tells of every child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def tell(message: dict[str, Any]) -> None:
    """One line to whoever started us."""
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
