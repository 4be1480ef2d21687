"""What an earlier rollout of this table left behind."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from ...model.finding import Finding
from ...model.inspection import Inspection
from ...model.options import PreflightOptions
from ..words import blocker, listed

ANY_RELATION = True


def _role_option(role: str) -> str:
    """A value for PGOPTIONS, as a shell is given it: the server splits at blanks, but for those that a backslash precedes."""
    return shlex.quote("-c role=" + re.sub(r"([\\\s])", r"\\\1", role))


def check(inspection: Inspection, options: PreflightOptions) -> Iterator[Finding]:
    """What an earlier rollout of this table left behind."""
    now = inspection.activity
    if now.leftovers and now.foreign_ledger is not None:
        owner = now.foreign_ledger
        yield blocker(
            f"These are of a rollout: {listed(now.leftovers)}. Whether it is at work is not known here: the ledger (the schema "
            f"hyperferry) belongs to {owner}, and {inspection.server.role} may not read it, or not trust its owner.",
            "do not drop them: a rollout at work would be lost, and after its cutover the way back with it. Connect as "
            f"{owner} (or with PGOPTIONS={_role_option(owner)}), ask `hyperferry status`, and use that role for all of "
            "hyperferry's work in this database.",
        )
        return
    drops = []
    for left in now.leftovers:
        drops.append(
            f"DROP SCHEMA {left.removeprefix('schema ')} CASCADE;"
            if left.startswith("schema ")
            else f"DROP {left.upper()[:7]}{left[7:]};"
        )
    if drops:
        yield blocker(
            f"An earlier rollout left these behind: {listed(now.leftovers)}.",
            f"look into them, then: {' '.join(drops)}",
        )
