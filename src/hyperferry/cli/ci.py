"""Ready files for CI and staging: ci init."""

from __future__ import annotations

from pathlib import Path

import click

from hyperferry import ready

from .options import Call, common


@click.group("ci", short_help="Ready files for GitHub Actions, GitLab CI, and staging.")
def ci_group() -> None:
    """Ready files. What they do is described in docs/check-migrations.md."""


@ci_group.command("init", short_help="Write a workflow, a job, or a compose file.")
@click.argument("kind", type=click.Choice(list(ready.KINDS)))
@click.option(
    "--output",
    metavar="FILE",
    help="Where to write it instead of where its tool looks for it; `-` prints it.",
)
@click.option("--tag", metavar="TAG", help=f"For compose: the tag of timescale/timescaledb ({ready.TAG}).")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@common
def ci_init(call: Call, kind: str, output: str | None, tag: str | None, force: bool) -> int:
    """Write a file that runs check-migrations on GitHub (github) or GitLab (gitlab), or a TimescaleDB for staging with
    docker compose (compose). It is yours from then on.
    """
    if output == "-":
        text = ready.text_of(kind, tag=tag)
        call.out.raw(text.rstrip("\n"))
        call.out.give({"kind": kind, "file": None, "text": text}, [])
        return 0
    path = ready.write(kind, None if output is None else Path(output), tag=tag, force=force)
    call.out.give({"kind": kind, "file": str(path)}, [f"{path} written. Then: {ready.KINDS[kind].then}"])
    return 0
