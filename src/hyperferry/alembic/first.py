"""The first revision about a hypertable, from a plan."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError, rev_id

from ..errors import Refused, Usage
from ..model.plan import Plan
from .base import TableOperation
from .ops import RequireRolloutOp
from .policies import ApplyPoliciesOp
from .render import code

_BACK = "# Nothing is undone here: the way back is `hyperferry rollback {}`, as long as the rollout is not finished."


def operations_of(plan: Plan, policies: Path | None) -> tuple[TableOperation, ...]:
    """What the revision does: it waits for the rollout where the table is large, makes a small one a hypertable in place,
    and then brings about what the file declares."""
    schema = None if plan.table.schema == "public" else plan.table.schema
    interval = plan.interval
    keys = [
        key.columns
        for key in plan.keys
        if key.constraint and key.definition.upper().startswith("PRIMARY KEY")
    ]
    given: dict[str, object] = {
        "time": plan.time_column,
        "chunk_interval": interval.width
        if interval.integer
        else interval.literal.removeprefix("INTERVAL '").removesuffix("'"),
    }
    if keys:
        given["primary_key"] = list(keys[0])
    made: list[TableOperation] = [RequireRolloutOp(plan.table.name, schema, **given)]
    if policies is not None:
        made.append(ApplyPoliciesOp(plan.table.name, schema, file=str(policies), skip_on_apache=True))
    return tuple(made)


def write(plan: Plan, ini: Path, *, message: str | None = None, policies: Path | None = None) -> Path:
    """Writes the revision onto the head of the project that `ini` configures; the file's path.

    Raises Usage where there is no such project, Refused where it has several heads.
    """
    if not ini.is_file():
        raise Usage(
            f"There is no {ini}.",
            remedy="run this in the project's folder, name the file with --alembic-config, or begin one: alembic init migrations",
        )
    try:
        scripts = ScriptDirectory.from_config(Config(str(ini)))
        heads = scripts.get_heads()
        if len(heads) > 1:
            raise Refused(
                "The project has several heads, and a revision can follow only one.",
                facts={"heads": ", ".join(heads)},
                remedy="merge them first: alembic merge heads",
            )
        lines = [code(operation) for operation in operations_of(plan, policies)]
        made = scripts.generate_revision(
            rev_id(),
            message or f"{plan.table.name} becomes a hypertable",
            head="head" if heads else "base",
            imports="import hyperferry.alembic  # noqa: F401",
            upgrades="\n    ".join(lines),
            downgrades=_BACK.format(plan.table) + "\n    pass",
        )
    except CommandError as error:
        raise Usage(f"Alembic: {error}", remedy=f"correct {ini}, or the project's folder.") from None
    assert made is not None
    return Path(made.path)
