"""`python -m under_load`: 0 where no request failed and every acknowledged write is there once, else 1."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from .clients import Load
from .data import fill, kept
from .journal import faults
from .place import HERE, application, database, environment
from .report import stages, table
from .rollout import Rollout, StepFailed


def options() -> argparse.ArgumentParser:
    """What it takes."""
    parser = argparse.ArgumentParser(prog="python -m under_load", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="rows before the load (200,000)")
    parser.add_argument(
        "--csv", type=Path, action="append", default=[], help="real rows instead: .csv or .csv.gz"
    )
    parser.add_argument("--clients", type=int, default=8, help="clients, each with one request at a time (8)")
    parser.add_argument(
        "--rate", type=float, default=100, help="requests per second, all clients together (100)"
    )
    parser.add_argument("--seconds", type=float, default=10, help="how long each stage is held (10)")
    parser.add_argument(
        "--driver", choices=["asyncpg", "psycopg"], default="asyncpg", help="the application's (asyncpg)"
    )
    parser.add_argument("--no-finish", action="store_true", help="leave the way back open")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same rows (1)")
    parser.add_argument("--dsn", help="a server to make a database on, instead of a sandbox")
    return parser


async def under_load(load: Load, rollout: Rollout) -> str | None:
    """The rollout while the clients go on; what stopped it, if anything did."""
    clients = asyncio.create_task(load.run())
    try:
        await rollout.run()
        return None
    except StepFailed as error:
        return str(error)
    finally:
        load.ended = True
        await clients


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The whole run; its result."""
    with database(given.dsn) as url, tempfile.TemporaryDirectory() as folder:
        env = {**environment(url, given.driver), "PLAN": str(Path(folder) / "player_stats.plan.json")}
        subprocess.run([sys.executable, "-m", "alembic", "upgrade", "0002"], cwd=HERE, env=env, check=True)
        with psycopg.connect(url, autocommit=True) as conn:
            players = fill(conn, rows=given.rows, seed=given.seed, files=given.csv)
            before = kept(conn)
            env["ROLE"] = conn.info.user
        with application(env) as address:
            load = Load(address, players, clients=given.clients, rate=given.rate, seed=given.seed)
            rollout = Rollout(load, env, given.seconds, not given.no_finish)
            stopped = asyncio.run(under_load(load, rollout))
        with psycopg.connect(url, autocommit=True) as conn:
            wrong = faults(conn, load.journals)
            if kept(conn) != before:
                wrong.append(f"rows that nobody touched: {before} before, {kept(conn)} after")
    if not load.samples:
        stopped = stopped or "No request was made."
    failures = [sample for sample in load.samples if sample.failure is not None]
    return {
        "passed": not failures and not wrong and stopped is None,
        "failed_requests": len(failures),
        "failures": [f"{sample.stage}: {sample.failure}" for sample in failures[:10]],
        "faults": wrong,
        "stopped": stopped,
        "requests": len(load.samples),
        "acknowledged_rows": sum(len(journal.told) for journal in load.journals),
        "rows_before": before[0],
        "driver": given.driver,
        "stages": stages(load.samples),
        "swaps": rollout.swaps,
        "health": rollout.health,
    }


def main() -> int:
    """Prints the table on stderr, the JSON on stdout."""
    result = run(options().parse_args())
    print(table(result["stages"]), file=sys.stderr)
    for swap in result["swaps"]:
        print(f"{swap['command']}: {swap['stall_ms']} ms, attempts: {swap['attempts']}", file=sys.stderr)
    for line in [*result["failures"], *result["faults"], *filter(None, [result["stopped"]])]:
        print(line, file=sys.stderr)
    print(json.dumps(result, indent=2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
