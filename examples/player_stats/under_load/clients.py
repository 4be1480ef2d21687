"""Clients that read and write by HTTP at a rate, and note what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from .data import KINDS, LOAD_GAMES
from .journal import Journal

TIMEOUT_SECONDS = 10.0
GAMES_OF_A_CLIENT = 1_000_000
BULK = 10


@dataclass(frozen=True)
class Sample:
    """One request. `ms` counts from the moment at which it was due, so what waited behind a slow one waited too."""

    stage: str
    kind: str
    ms: float
    failure: str | None


class Client:
    """One connection, one request at a time, each at its moment; its own rows to write."""

    def __init__(self, number: int, load: Load) -> None:
        self.load = load
        self.journal = Journal()
        self._random = random.Random(f"{load.seed} {number}")
        self._game = LOAD_GAMES + number * GAMES_OF_A_CLIENT

    async def run(self, offset: float) -> None:
        """Until the load ends."""
        limits = httpx.Limits(max_connections=1, keepalive_expiry=30)
        async with httpx.AsyncClient(base_url=self.load.url, timeout=TIMEOUT_SECONDS, limits=limits) as http:
            due = time.monotonic() + offset
            while not self.load.ended:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self.load.ended:
                    return
                stage = self.load.stage
                kind, failure = await self._request(http)
                self.load.samples.append(Sample(stage, kind, (time.monotonic() - due) * 1e3, failure))
                due += self.load.interval

    async def _request(self, http: httpx.AsyncClient) -> tuple[str, str | None]:
        choice = self._random.random()
        player = self._random.choice(self.load.players)
        if choice < 0.3:
            return "read", await _failure(http.get(f"/players/{player}/stats/latest"), 200)
        if choice < 0.5:
            asked = {"period": self._random.choice(["day", "week"])}
            return "read", await _failure(http.get(f"/players/{player}/averages", params=asked), 200)
        if choice < 0.85:
            rows = [self._new(player)]
            failure = await _failure(http.post("/stats", json=rows[0]), 201)
        else:
            rows = self._many(player)
            failure = await _failure(http.post("/stats/bulk", json={"stats": rows}), 201)
        if failure is None:
            self.journal.written(rows)
        else:
            self.journal.failed(rows)
        return "write", failure

    def _new(self, player: int) -> dict[str, Any]:
        self._game += 1
        # Mostly of now; now and then a straggler, or of tomorrow.
        age = self._random.choice([0, 0, 0, 0, 0, 0, 0, 1, 30, -1])
        moment = datetime.now(UTC) - timedelta(days=age, seconds=self._random.randrange(3600))
        return {
            "player_id": player,
            "game_id": self._game,
            "stat_type": self._random.choice(KINDS),
            "value": str(self._random.randrange(1000) / 10),
            "game_date": moment.isoformat(),
        }

    def _many(self, player: int) -> list[dict[str, Any]]:
        """New ones, and corrections of what this client wrote before."""
        before = list(self.journal.told)
        corrected = self._random.sample(before, min(len(before), BULK // 3))
        rows = [
            {
                "player_id": p,
                "game_id": g,
                "stat_type": s,
                "game_date": d,
                "value": str(self._random.randrange(1000)),
            }
            for p, g, s, d in corrected
        ]
        return rows + [self._new(player) for _ in range(BULK - len(rows))]


class Load:
    """All clients. Whoever conducts sets `stage`, by which the samples are told apart."""

    def __init__(self, url: str, players: Sequence[int], *, clients: int, rate: float, seed: int) -> None:
        self.url, self.players, self.seed = url, players, seed
        self.interval = clients / rate
        self.stage = "before"
        self.ended = False
        self.samples: list[Sample] = []
        self.clients = [Client(number, self) for number in range(clients)]

    async def run(self) -> None:
        """Until `ended`."""
        step = self.interval / len(self.clients)
        await asyncio.gather(*(client.run(number * step) for number, client in enumerate(self.clients)))

    @property
    def journals(self) -> list[Journal]:
        """Of all clients."""
        return [client.journal for client in self.clients]


async def _failure(request: Any, wanted: int) -> str | None:
    """Why the request failed; None where it did not."""
    try:
        answer: httpx.Response = await request
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    if answer.status_code != wanted:
        return f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:200]}"
    return None
