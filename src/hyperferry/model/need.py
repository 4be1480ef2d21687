"""Rights that a rollout needs, and whether they are held."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .names import quote_ident

WITH_OPTIONS = 160000
"""From here on GRANT of a role says WITH INHERIT and WITH SET."""


class Holder(StrEnum):
    """Who has to hold a right."""

    ROLE = "role"  # the role that runs hyperferry
    OWNER = "owner"  # the table's owner: chunks are made in the owner's name, in the middle of an application's INSERT


@dataclass(frozen=True)
class Need:
    """One right. `object` is a fragment for GRANT ... ON; for a membership it is the quoted name of the role."""

    kind: str  # database, schema, table, sequence, type, function, tablespace, member, view owner, ledger
    privilege: str  # CREATE, USAGE, SELECT, ...; for `member`: INHERIT, SET, or READ (recommended)
    object: str
    why: str
    holder: Holder
    held: bool
    recommended: bool = False  # not required: without it something works less well
    blue_green_only: bool = False
    superuser: bool = (
        False  # of a membership: the object is a superuser, whom nobody should be made a member of
    )
    subject: str = ""  # of a membership: what belongs to that role, as in ALTER ... OWNER TO

    @property
    def membership(self) -> bool:
        """The right is to be a member of a role."""
        return self.kind in ("member", "view owner", "ledger")

    @property
    def what(self) -> str:
        """For people: `CREATE on DATABASE "shop"`, `membership in "app_owner"`."""
        if self.membership:
            return f"membership in {self.object}" + (
                "" if self.privilege == "READ" else f" with {self.privilege}"
            )
        return f"{self.privilege} on {self.object}"

    @property
    def missing(self) -> bool:
        """It is required and not held."""
        return not self.held and not self.recommended


@dataclass(frozen=True)
class RightsReport:
    """What a role needs, and who asks for whom. `table` is None where no table was named."""

    role: str
    role_exists: bool
    role_can_login: bool
    role_superuser: bool
    database: str
    version_num: int
    table: str | None
    owner: str | None
    needs: tuple[Need, ...]

    @property
    def quoted_role(self) -> str:
        """The role's name as SQL writes it."""
        return quote_ident(self.role)

    def grantee(self, need: Need) -> str:
        """Whom the right is to be given to, quoted."""
        owner = need.holder is Holder.OWNER and self.owner is not None
        return quote_ident(self.owner if owner and self.owner is not None else self.role)

    def grant(self, need: Need) -> str:
        """The statement that gives the right."""
        to = self.grantee(need)
        if not need.membership:
            on = {"table": "TABLE ", "sequence": "SEQUENCE ", "type": "TYPE "}.get(need.kind, "")
            return f"GRANT {need.privilege} ON {on}{need.object} TO {to};"
        # From PostgreSQL 16 on a membership says what it allows; before, it allows everything (INHERIT is the member's own).
        options = ""
        if need.privilege != "READ" and self.version_num >= WITH_OPTIONS:
            options = f" WITH {need.privilege} TRUE"
        return f"GRANT {need.object} TO {to}{options};"

    @property
    def missing(self) -> tuple[Need, ...]:
        """The required rights that are not held."""
        return tuple(need for need in self.needs if need.missing)
