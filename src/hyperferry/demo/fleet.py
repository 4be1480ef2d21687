"""The writers of the demo as one: started, asked, held and let go together."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from hyperferry.errors import Failed

from .writer import DSN_VARIABLE

Expectation = tuple[int, str | None, str | None]
"""A row's id with the value and the time that it must have; None for a row that must be gone."""


@dataclass(frozen=True)
class Work:
    """What all writers did since they were last asked. `worst_ms` is the longest that any one operation
    took."""

    operations: dict[str, int]
    statements: int
    errors: int
    error_texts: tuple[str, ...]
    worst_ms: float
    seconds: float

    @property
    def writes(self) -> int:
        """Operations that changed rows."""
        return sum(number for kind, number in self.operations.items() if kind != "read")

    @property
    def per_second(self) -> float:
        """Statements per second of all writers together."""
        return self.statements / self.seconds if self.seconds else 0.0


class Fleet:
    """So many writers, together `rate` statements a second, each a process connected as the application's
    role."""

    def __init__(self, dsn: str, *, writers: int, rate: int, seed: int) -> None:
        self.total: list[Work] = []
        self._processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "hyperferry.demo.writer",
                    str(number),
                    str(writers),
                    # Eight operations in a hundred are of two statements.
                    str(rate / writers / 1.08),
                    str(seed),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # Not an argument: a password must not stand in the process list.
                env={**os.environ, DSN_VARIABLE: dsn},
            )
            for number in range(writers)
        ]

    def __enter__(self) -> Fleet:
        try:
            for number in range(len(self._processes)):
                self._answer(number)
            self.go()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            with contextlib.suppress(OSError, ValueError):
                assert process.stdin is not None
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def report(self) -> Work:
        """What was done since the last report; kept in `total`."""
        answers = self._ask("report")
        kinds = answers[0]["operations"]
        work = Work(
            operations={kind: sum(each["operations"][kind] for each in answers) for kind in kinds},
            statements=sum(each["statements"] for each in answers),
            errors=sum(each["errors"] for each in answers),
            error_texts=tuple(text for each in answers for text in each["error_texts"]),
            worst_ms=max(each["worst_ms"] for each in answers),
            seconds=max(each["seconds"] for each in answers),
        )
        self.total.append(work)
        return work

    def hold(self) -> list[Expectation]:
        """Has all writers wait, and gives what the rows that they mind must look like."""
        return [(row[0], row[1], row[2]) for each in self._ask("pause") for row in each["rows"]]

    def go(self) -> None:
        """Lets them go on."""
        self._ask("go")

    def _ask(self, word: str) -> list[dict[str, Any]]:
        for process in self._processes:
            assert process.stdin is not None
            try:
                process.stdin.write(word + "\n")
                process.stdin.flush()
            except OSError:
                raise _ended(process) from None
        return [self._answer(number) for number in range(len(self._processes))]

    def _answer(self, number: int) -> dict[str, Any]:
        process = self._processes[number]
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise _ended(process)
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise Failed(
                "A writer of the demo could not begin.",
                facts={"writer": number, "reason": answer["failed"]},
                remedy="the server must let a new role connect with a password.",
            )
        return answer


def _ended(process: subprocess.Popen[str]) -> Failed:
    return Failed(
        "A writer of the demo ended before its time.",
        facts={"pid": process.pid, "exit code": process.poll()},
        remedy="what it said last stands above; run the demo again.",
    )
