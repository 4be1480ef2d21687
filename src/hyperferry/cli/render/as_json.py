"""The stable JSON: keys that other programs may rely on are only ever added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hyperferry.db.locks import Blocker
from hyperferry.model.finding import Finding
from hyperferry.model.inspection import Inspection
from hyperferry.model.plan import Plan
from hyperferry.model.report import StatusReport, SwapReport, VerifyReport
from hyperferry.model.statement import Statement

from .findings import blocked


def preflight_json(inspection: Inspection, findings: Sequence[Finding], *, strategy: str) -> dict[str, Any]:
    """`table`, `findings`, `blocked`, and what was looked at."""
    server, scan = inspection.server, inspection.scan
    return {
        "table": str(inspection.table.name),
        "time_column": inspection.time_column,
        "strategy": strategy,
        "findings": findings_json(findings),
        "blocked": blocked(findings),
        "accepts_needed": sorted({each.accept for each in findings if each.accept}),
        "rows": None if scan is None else scan.rows,
        "rows_exact": None if scan is None else scan.rows_exact,
        "bytes": inspection.table.total_bytes,
        "postgres_version": server.version,
        "timescaledb_version": server.timescaledb_installed,
        "edition": server.edition,
        "fingerprint": inspection.fingerprint,
    }


def findings_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Each finding with `rule`, `level`, `message`, `remedy`, and what the cutover has to be told for it."""
    return [
        {
            "rule": each.rule,
            "level": each.level.value,
            "message": each.message,
            "remedy": each.remedy,
            "accept": each.accept,
        }
        for each in findings
    ]


def plan_json(
    plan: Plan, description: Sequence[str], *, out: str | None, statements: Sequence[Statement] | None
) -> dict[str, Any]:
    """The decisions of a plan, and its statements where they were asked for."""
    value: dict[str, Any] = {
        "table": str(plan.table),
        "time_column": plan.time_column,
        "strategy": plan.strategy.value,
        "chunk_interval": plan.interval.literal,
        "chunk_interval_reason": list(plan.interval.reason),
        "identity": [column.name for column in plan.identity.columns],
        "keys": [
            {"name": key.name, "columns": list(key.columns), "widened": key.widened} for key in plan.keys
        ],
        "indexes": [index.name for index in plan.indexes],
        "batch_by": plan.batch_by.value,
        "batch_rows": plan.batch_rows,
        "workers": plan.workers,
        "fingerprint": plan.fingerprint,
        "findings": findings_json(plan.findings),
        "accepts_needed": list(plan.accepts_needed),
        "description": list(description),
        "out": out,
    }
    if statements is not None:
        value["statements"] = statements_json(statements)
    return value


def statements_json(statements: Sequence[Statement]) -> list[dict[str, str]]:
    """Statements in order, each with what it does."""
    return [{"step": each.step, "comment": each.comment, "sql": each.text} for each in statements]


def status_json(report: StatusReport) -> dict[str, Any]:
    """`table`, `phase`, `strategy`, `rows_copied`, `rows_estimated`, `backlog`, `rows_per_second`,
    `eta_seconds`, `throttled_by`, and the rest of the report."""
    value = asdict(report)
    value["table"] = str(report.table)
    value["phase"] = report.phase.value
    value["strategy"] = report.strategy.value
    value["verified_at"] = None if report.verified_at is None else report.verified_at.isoformat()
    at = report.throttle.at
    value["throttle"]["at"] = None if at is None else at.isoformat()
    if report.compression is not None:
        value["compression"]["ratio"] = report.compression.ratio
    for shown, pair in zip(value["quarantined"], report.quarantined, strict=True):
        shown["since"] = pair.since.isoformat()
    return value


def verify_json(table: str, report: VerifyReport) -> dict[str, Any]:
    """`table`, `match`, `source_rows`, `target_rows`, `ranges`, `differences`, and what was counted."""
    return {
        "table": table,
        "match": report.match,
        "source_rows": report.source_rows,
        "target_rows": report.target_rows,
        "ranges": [
            {
                "from": each.start,
                "to": each.end,
                "source_rows": each.source_rows,
                "target_rows": each.target_rows,
                "match": each.match,
            }
            for each in report.ranges
        ],
        "differences": [asdict(each) for each in report.differences],
        "difference_count": report.difference_count,
        "excused": report.excused,
        "quarantined": report.quarantined,
        "repaired": report.repaired,
        "seconds": report.seconds,
        "groups": [asdict(each) for each in report.groups],
    }


def swap_json(table: str, report: SwapReport) -> dict[str, Any]:
    """`table`, `phase`, `attempts`, `stall_ms`, `changes_under_lock`."""
    return {
        "table": table,
        "phase": report.phase.value,
        "attempts": report.attempts,
        "stall_ms": report.stall_ms,
        "changes_under_lock": report.changes_under_lock,
        "messages": list(report.messages),
    }


def preview_json(
    table: str, statements: Sequence[Statement], blockers: Sequence[Blocker], refusals: Sequence[str]
) -> dict[str, Any]:
    """What `cutover --dry-run` shows."""
    return {
        "table": table,
        "dry_run": True,
        "statements": statements_json(statements),
        "blockers": [asdict(each) for each in blockers],
        "refusals": list(refusals),
    }
