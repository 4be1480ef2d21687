"""How a hypertable is: health."""

from __future__ import annotations

import click

from hyperferry.errors import Refused

from .options import Call, common, table_argument, table_of
from .stopping import Words

LOOKING = Words(
    ("Stopping: what is being read is read to its end.",),
    "Left while a table was read.",
    "nothing was changed.",
)
LEVELS = ("critical", "warning", "note", "never")


@click.command(short_help="What a hypertable needs: chunks, jobs, bloat, statistics, indexes.")
@table_argument
@click.option(
    "--exact",
    is_flag=True,
    help="Measure bloat with the extension pgstattuple instead of estimating it; this reads every large index.",
)
@click.option(
    "--fail-on",
    type=click.Choice(LEVELS),
    default="critical",
    show_default=True,
    help="End with exit code 3 where a finding has this level or a worse one.",
)
@common
def health(call: Call, table: str | None, exact: bool, fail_on: str) -> int:
    """Look at the hypertable TABLE, or the one that its rollout builds, and say what it needs, with a remedy for each.

    Reads the catalogs and the statistics; no chunk is locked, but one for its latest time, and for a moment those whose size
    nothing tells. Changes nothing.
    """
    from hyperferry.maintenance import LookOptions, look

    from .render.health import health_json, health_lines

    settings = call.settings(table=table)
    options = LookOptions(settings.dsn, table_of(settings), exact=exact)
    with call.stoppable(LOOKING) as stop:
        report = look(options, call.out.say, stop)
    call.out.give(health_json(report), health_lines(report))
    if fail_on == "never":
        return 0
    return Refused.exit_code if any(each.level.rank <= LEVELS.index(fail_on) for each in report.findings) else 0
