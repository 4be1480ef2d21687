"""The plan as text for people: what will be done, and why."""

from __future__ import annotations

from ..model.finding import Level
from ..model.names import quote_ident
from ..model.plan import BatchBy, Plan, PlannedKey, Strategy
from .compression import compression_lines

_LEVELS = (Level.BLOCKER, Level.WARNING, Level.NOTE)


def describe(plan: Plan) -> list[str]:
    """Lines of plain text; an indented line belongs to the one above it."""
    lines = [
        f"{plan.table} becomes a hypertable by {quote_ident(plan.time_column)}, strategy "
        f"{plan.strategy.value}",
        *_findings(plan),
        f"Chunk interval: {_interval(plan)}",
        *(f"  {line}" for line in plan.interval.reason),
        *_keys(plan),
        *_indexes(plan),
        *_given_up(plan),
    ]
    if plan.strategy is Strategy.BLUE_GREEN:
        lines += _copying(plan)
        lines += compression_lines(plan)
    if plan.notes:
        lines += ["Notes:", *(f"  {note}" for note in plan.notes)]
    if plan.accepts_needed:
        accepts = " ".join(f"--accept {name}" for name in plan.accepts_needed)
        who = "the start" if plan.strategy is Strategy.IN_PLACE else "the cutover"
        lines.append(f"Changes for the application: {who} asks for {accepts}")
    lines.append(f"Fingerprint of the schema: {plan.fingerprint}")
    return lines


def _interval(plan: Plan) -> str:
    if plan.interval.integer:
        return f"{plan.interval.width} (in the column's own unit)"
    return plan.interval.literal.removeprefix("INTERVAL ").strip("'")


def _findings(plan: Plan) -> list[str]:
    lines: list[str] = []
    for level in _LEVELS:
        for finding in plan.findings:
            if finding.level is level:
                lines.append(f"{level.value.capitalize()} {finding.rule}: {finding.message}")
                if level is not Level.NOTE and finding.remedy:
                    lines.append(f"  {finding.remedy}")
    return lines


def _keys(plan: Plan) -> list[str]:
    if not plan.keys:
        return ["Keys: none"]
    lines = ["Keys:"]
    for key in plan.keys:
        kind = "constraint" if key.constraint else "unique index"
        lines.append(f"  {kind} {quote_ident(key.name)}: {key.definition}")
        if key.widened:
            lines.append(f"    widened by {quote_ident(plan.time_column)}; {_enforces(key, plan)}")
    return lines


def _enforces(key: PlannedKey, plan: Plan) -> str:
    old = ", ".join(key.columns[:-1])
    return (
        f"from then on one value of ({old}) may stand in several rows with different "
        f"{quote_ident(plan.time_column)}; "
        "the application has to keep it unique by itself (a sequence or an identity column does)"
    )


def _indexes(plan: Plan) -> list[str]:
    if not plan.indexes:
        return ["Other indexes: none"]
    return [
        "Other indexes, carried over:",
        *(f"  {quote_ident(index.name)} {index.tail}" for index in plan.indexes),
    ]


def _given_up(plan: Plan) -> list[str]:
    lines = [f"  the foreign key {name} is dropped" for name in plan.drop_inbound_fks]
    lines += [f"  the table leaves the publication {name}" for name in plan.drop_from_publications]
    return ["In the cutover, as asked for; a rollback puts it back:", *lines] if lines else []


def _why_by_key(plan: Plan) -> str:
    if not plan.inspection.has_time_index:
        return "no index starts with the time column"
    scan = plan.inspection.scan
    times = scan.ranges_on_page if scan is not None else None
    return (
        "the table is larger than effective_cache_size, and its rows do not lie in the order of their time: by its ranges each "
        f"page would be read {times or 0:.0f} times"
    )


def _copying(plan: Plan) -> list[str]:
    if plan.identity.by_image:
        found = "the hash of the row's image and the time (the table has no usable key)"
    else:
        columns = ", ".join(quote_ident(column.name) for column in plan.identity.columns)
        found = f"({columns}) of {quote_ident(plan.identity.index or '')} and the time"
    time = plan.inspection.time
    parts = "parts of a chunk, or small chunks together"
    if time is not None and time.base_type == "pg_catalog.uuid":
        parts = "so many rows each, whatever their chunks"
    ways = {
        BatchBy.TIME: f"ranges of {quote_ident(plan.time_column)} ({parts})",
        BatchBy.KEY: f"ranges of the key ({_why_by_key(plan)})",
        BatchBy.WHOLE: "one batch for the whole table (no index gives its rows an order)",
    }
    rows = plan.inspection.scan.rows if plan.inspection.scan else plan.inspection.table.estimated_rows
    about = (
        f"about {rows:,} rows" if rows >= 0 else "an unknown number of rows (the table was never analyzed)"
    )
    return [
        f"A row is found again by {found}",
        f"Copying {about}, by {ways[plan.batch_by]}, about {plan.batch_rows:,} rows a batch, {plan.workers} "
        "workers",
    ]
