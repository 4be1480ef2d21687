"""Where a rollout stands, for people."""

from __future__ import annotations

from hyperferry.model.report import CompressionReport, Holder, StatusReport
from hyperferry.model.rollout import Phase
from hyperferry.words import count, duration, plural, size

from .text import Line

_STYLES = {
    Phase.CUT_OVER: "bold green",
    Phase.FINISHED: "bold green",
    Phase.SYNCED: "bold cyan",
    Phase.ABORTED: "dim",
}

HELD_BACK_SECONDS, HELD_BACK_TRANSACTIONS = 60.0, 10_000
"""From when on it is worth a line that somebody holds cleaning back (transactions: where the time is not known)."""

NEXT = {
    Phase.PLANNED: "hyperferry start {table}",
    Phase.PREPARED: "hyperferry start {table}",
    Phase.COPYING: "hyperferry start {table}",
    Phase.SYNCED: "hyperferry cutover {table} --dry-run, then without it; "
    "hyperferry sync {table} stays caught up",
    Phase.CUT_OVER: "hyperferry sync {table} carries writes back; then "
    "hyperferry finish {table} --confirm {table}, or hyperferry rollback {table}",
    Phase.ROLLED_BACK: "hyperferry cutover {table} again, or hyperferry abort {table}",
}


def status_lines(report: StatusReport) -> list[Line]:
    """One rollout in a block of lines."""
    table = str(report.table)
    lines = [
        Line(
            f"{report.phase}  ({report.strategy}, rollout {report.rollout})",
            mark=table,
            style=_STYLES.get(report.phase, "bold"),
        ),
    ]
    if report.rows_copied or not report.phase.ended:
        lines.append(Line(_copied(report), indent=2, mark="copied"))
    if not report.phase.ended:
        lines.append(Line(_backlog(report), indent=2, mark="backlog"))
    if report.rows_per_second is not None and report.phase == Phase.COPYING:
        eta = f", done in about {duration(report.eta_seconds)}" if report.eta_seconds else ""
        lines.append(Line(f"{count(round(report.rows_per_second))} rows/s{eta}", indent=2, mark="speed"))
    if not report.phase.ended:
        lines += throttle_lines(report)
    if report.compression is not None:
        lines.append(Line(_compressed(report.compression), indent=2, mark="compressed"))
    if report.waiting_for:
        lines.append(Line(report.waiting_for, indent=2, mark="cutover waits for", mark_style="bold yellow"))
    if report.verified_at is not None:
        found = "no difference" if report.verified_match else "DIFFERENCES FOUND"
        lines.append(
            Line(f"{report.verified_at:%Y-%m-%d %H:%M:%S %Z}: {found}".strip(), indent=2, mark="verified")
        )
    if report.quarantined_count:
        lines.append(
            Line(
                f"{plural(report.quarantined_count, 'row')} the other side cannot take: no "
                f"{'rollback' if report.phase is Phase.CUT_OVER else 'cutover'} with them. Mend them in {table}: "
                "they are tried again by themselves.",
                indent=2,
                mark="quarantine",
                mark_style="bold red",
            )
        )
        lines += [Line(f"{_pair(each.pair)}: {each.reason}", indent=4) for each in report.quarantined[:10]]
    if report.xmin_holder is not None and _worth_saying(report.xmin_holder):
        lines.append(Line(_held_back(report.xmin_holder), indent=2, mark="cleaning held back by"))
    for dropped in report.dropped_ranges:
        lines.append(Line(dropped, indent=2, mark="dropped from the hypertable"))
    if not report.phase.ended:
        lines.append(Line(report.worker or "nobody", indent=2, mark="works on it"))
    if report.last_event:
        lines.append(Line(report.last_event, indent=2, mark="last"))
    if report.unsettled and report.worker is None:
        same = "cutover" if report.phase is Phase.CUT_OVER else "rollback"
        again = f"hyperferry {same} {table} again, it swaps nothing"
        left = f"the last step of the swap (its foreign keys may not be validated): run {again}"
        lines.append(Line(left, indent=2, mark="not done", mark_style="bold yellow"))
    if report.finishing:
        again = f"hyperferry finish {table} --confirm {table}: it was interrupted, and nothing else can go on"
        lines.append(Line(again, indent=2, mark="next", mark_style="bold yellow"))
    elif report.phase in NEXT:
        lines.append(Line(NEXT[report.phase].format(table=table), indent=2, mark="next"))
    return lines


def throttle_lines(report: StatusReport) -> list[Line]:
    """What slows the copy and why, or that nothing does; the limits; and what the throttle cannot see."""
    throttle = report.throttle
    style = "bold yellow" if report.throttled_by else ""
    lines = [Line(report.throttled_by or "nothing", indent=2, mark="throttled by", mark_style=style)]
    if throttle.state == "slowed" and throttle.pace is not None and throttle.pace < 1:
        lines.append(Line(f"{throttle.pace:.0%} of full speed", indent=4))
    limits = ", ".join(
        f"{name.removeprefix('max_').replace('_', ' ')} {text}" for name, text in throttle.limits.items()
    )
    if limits:
        lines.append(Line(limits, indent=2, mark="limits"))
    lines += [Line(each, indent=2, mark="cannot see", mark_style="bold yellow") for each in throttle.blind]
    return lines


def _worth_saying(holder: Holder) -> bool:
    if holder.age_seconds is None:
        return holder.transactions >= HELD_BACK_TRANSACTIONS
    return holder.age_seconds >= HELD_BACK_SECONDS


def _held_back(holder: Holder) -> str:
    who = (
        holder.what
        if holder.pid is None
        else f"pid {holder.pid} (user {holder.user}, {holder.what}, {holder.state})"
    )
    age = "" if holder.age_seconds is None else f" for {duration(holder.age_seconds)}"
    return f"{who}{age}: dead rows of the change log stay while it lasts"


def progress_line(report: StatusReport) -> str:
    """A rollout at work in one line."""
    parts = [f"{report.table} {report.phase}", _copied(report)]
    if report.rows_per_second is not None and report.phase == Phase.COPYING:
        parts.append(f"{count(round(report.rows_per_second))} rows/s")
    if report.eta_seconds and report.phase == Phase.COPYING:
        parts.append(f"ETA {duration(report.eta_seconds)}")
    if report.compression is not None and report.phase == Phase.COPYING:
        parts.append(f"compressed {count(report.compression.compressed)} of {plural(report.compression.chunks, 'chunk')}")
    parts.append(f"backlog {count(report.backlog)}")
    if report.throttled_by:
        parts.append(f"throttled by {report.throttled_by}")
    return " · ".join(parts)


def share_copied(report: StatusReport) -> float | None:
    """How much of the table is copied, 0 to 1; None where it cannot be known."""
    if report.batches_total and report.batches_done >= report.batches_total:
        return 1.0
    if report.rows_estimated <= 0:
        return None
    return min(1.0, report.rows_copied / report.rows_estimated)


def _copied(report: StatusReport) -> str:
    share = share_copied(report)
    percent = "" if share is None else f" ({share:.0%})"
    of = f" of about {count(report.rows_estimated)}" if report.rows_estimated > 0 else ""
    return f"{count(report.rows_copied)}{of} rows{percent}"


def _backlog(report: StatusReport) -> str:
    to = "the old table" if report.phase.hypertable_serves else "the hypertable"
    log = f" (the change log takes {size(report.log_bytes)})" if report.log_bytes else ""
    return f"{plural(report.backlog, 'change')} not yet applied to {to}{log}"


def _compressed(found: CompressionReport) -> str:
    text = f"{count(found.compressed)} of {plural(found.chunks, 'chunk')}"
    if found.ratio is not None:
        text += f", {size(found.bytes_before)} before, {size(found.bytes_after)} now ({found.ratio:.1f} times smaller)"
    if found.partial:
        text += f"; changes stand beside the compressed rows of {count(found.partial)}"
    return text


def _pair(pair: dict[str, str | None]) -> str:
    return ", ".join(f"{name} = {'NULL' if value is None else value}" for name, value in pair.items())
