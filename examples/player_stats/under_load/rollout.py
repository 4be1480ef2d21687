"""The rollout as a team would run it: hyperferry's commands and Alembic's, one after the other, while the clients go on."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from .clients import Load
from .place import HERE

TABLE = "player_stats"
ROUTED = "reads_of_other_side"
SEEN_SECONDS = 20
"""In which the application has seen the flag, and where the rollout stands; about two are promised."""


class StepFailed(Exception):
    """A command did not do what it should."""


@dataclass
class Rollout:
    """One run. `health` is what the application said of itself in each stage, `swaps` what the swaps said."""

    load: Load
    env: dict[str, str]
    seconds: float
    finish: bool
    health: dict[str, Any] = field(default_factory=dict)
    swaps: list[dict[str, Any]] = field(default_factory=list)

    async def run(self) -> None:
        """From the plain table to the hypertable, back, and there again. Raises StepFailed."""
        await self._hold("before")
        self._stage("start")
        await self._alembic("upgrade", "head", refused="hyperferry start")
        await self._ferry("plan", TABLE, "--out", self.env["PLAN"])
        await self._ferry("start", self.env["PLAN"])
        await self._ferry("reads", TABLE, "--role", self.env["ROLE"])
        async with self._syncing():
            await self._there_and_back()
        if self.finish:
            self._stage("finish")
            await self._ferry("finish", TABLE, "--confirm", TABLE)
            await self._alembic("upgrade", "head")
        await self._hold("after")

    async def _there_and_back(self) -> None:
        await self._flag("on")
        await self._hold("synced, flag on", other_side=True)
        await self._swap("cutover")
        await self._alembic("upgrade", "0003")
        await self._hold("hypertable")
        await self._flag("off")
        await self._hold("hypertable, flag off", other_side=True)
        await self._swap("rollback")
        await self._hold("table again")
        await self._swap("cutover", "second cutover")
        await self._flag("on")

    @asynccontextmanager
    async def _syncing(self) -> AsyncIterator[None]:
        """`hyperferry sync`, which keeps the other side in step all the while."""
        words = [sys.executable, "-m", "hyperferry", "sync", TABLE]
        sync = await asyncio.create_subprocess_exec(
            *words, cwd=HERE, env=self.env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        said = asyncio.create_task(sync.communicate())
        try:
            yield
        finally:
            ended = sync.returncode
            if ended is None:
                sync.terminate()
            _, err = await said
        if ended is not None:
            raise StepFailed(
                f"hyperferry sync ended by itself: exit code {ended}\n{err.decode('utf-8', 'replace')}"
            )

    def _stage(self, name: str) -> None:
        self.load.stage = name
        print(f"-- {name}", file=sys.stderr, flush=True)

    async def _hold(self, name: str, *, other_side: bool = False) -> None:
        """A stage in which nothing is done; what `health` keeps of the reads of the other side are those of the stage. Whether
        there are any is checked: the first one may take a moment."""
        self._stage(name)
        before = (await self._health())[ROUTED]
        await asyncio.sleep(self.seconds)
        end = time.monotonic() + SEEN_SECONDS
        while True:
            found = await self._health()
            found[ROUTED] -= before
            if not other_side or found[ROUTED] > 0 or time.monotonic() > end:
                break
            await asyncio.sleep(0.2)
        self.health[name] = found
        if (found[ROUTED] > 0) is not other_side:
            raise StepFailed(f"{name}: {found[ROUTED]} reads went to the other side of the rollout")

    async def _health(self) -> dict[str, Any]:
        async with httpx.AsyncClient(base_url=self.load.url, timeout=10) as http:
            answer = await http.get("/health")
        if answer.status_code != 200:
            raise StepFailed(f"/health: {answer.status_code} {answer.text}")
        found: dict[str, Any] = answer.json()["db"]
        return found

    async def _swap(self, command: str, stage: str | None = None) -> None:
        self._stage(stage or command)
        said = await self._ferry(command, TABLE)
        self.swaps.append({"command": command, "attempts": said["attempts"], "stall_ms": said["stall_ms"]})

    async def _flag(self, value: str) -> None:
        self._stage(f"flag {value}")
        await self._ferry("flag", value)
        end = time.monotonic() + SEEN_SECONDS
        while (await self._health())["use_hypertables"] != value:
            if time.monotonic() > end:
                raise StepFailed(
                    f"the application did not see within {SEEN_SECONDS} s that the flag is {value}"
                )
            await asyncio.sleep(0.2)

    async def _ferry(self, *words: str) -> dict[str, Any]:
        _, out, _ = await self._python("hyperferry", *words, "--json")
        said: dict[str, Any] = json.loads(out)
        return said

    async def _alembic(self, *words: str, refused: str | None = None) -> None:
        """`refused`: it has to fail, and to say this."""
        code, out, err = await self._python("alembic", *words, may_fail=refused is not None)
        if refused is not None and (code == 0 or refused not in err + out):
            raise StepFailed(
                f"alembic {' '.join(words)} was to be refused ({refused}): exit code {code}\n{out}{err}"
            )

    async def _python(self, *words: str, may_fail: bool = False) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *words,
            cwd=HERE,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = (each.decode("utf-8", "replace") for each in await process.communicate())
        code = process.returncode or 0
        if code and not may_fail:
            raise StepFailed(f"{' '.join(words)}: exit code {code}\n{out}{err}")
        return code, out, err
