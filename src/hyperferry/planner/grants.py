"""The rights that a role needs, as a script for psql that a DBA can read."""

from __future__ import annotations

from collections.abc import Iterator

from ..model.names import quote_ident
from ..model.need import WITH_OPTIONS, Need, RightsReport


def _comment(text: str) -> str:
    """A line of comment: a name with a line feed in it must not end it."""
    return "-- " + " ".join(text.split())


def grants_script(report: RightsReport) -> str:
    """The script: what is missing as GRANTs in one transaction, what is recommended after it, what is held as comments."""
    role = report.quoted_role
    where = f"database {quote_ident(report.database)}"
    lines = [
        _comment(
            f"What {role} needs to run hyperferry "
            + (f"on {report.table} in {where}." if report.table else f"in {where}.")
        ),
        "-- For psql, connected to that database, as a superuser; on a managed service as its administrator (docs/security.md).",
    ]
    if report.role_superuser:
        lines.append(_comment(f"{role} is a superuser and may do all of it. It need not be one: name another with --role."))
    lines += ["\\set ON_ERROR_STOP on", "BEGIN;"]
    if not report.role_exists:
        lines.append(f"CREATE ROLE {role} LOGIN;")
        lines.append(_comment(f"afterwards, in psql: \\password {report.role}"))
    elif not report.role_can_login:
        lines.append(_comment(f"{role} may not log in: make a login role a member of it, or ALTER ROLE {role} LOGIN;"))
    lines += _statements(report, [need for need in report.needs if not need.held and not need.recommended])
    lines.append("COMMIT;")
    wished = [need for need in report.needs if not need.held and need.recommended]
    if wished:
        lines += ["", "-- Recommended:", *_statements(report, wished)]
    held = [need for need in report.needs if need.held]
    if held:
        lines += ["", "-- Held already:", *(_comment(f"  {need.what}: {need.why}") for need in held)]
    if report.table is None:
        lines += [
            "",
            "-- Each table asks for more: membership in its owner's role, and rights on what hangs on it. This names it all:",
            "--   hyperferry roles --sql TABLE",
        ]
    return "\n".join(lines)


def _statements(report: RightsReport, needs: list[Need]) -> Iterator[str]:
    members: dict[str, list[Need]] = {}
    for need in needs:
        if need.membership:
            members.setdefault(need.object, []).append(need)
    for need in needs:
        if not need.membership:
            yield f"{report.grant(need)}  {_comment(need.why)}"
    for role, of_role in members.items():
        why = _comment("; ".join(dict.fromkeys(need.why for need in of_role)))
        if any(need.superuser for need in of_role):
            yield _comment(f"{role} is a superuser, and so would be its members. {why[3:]}.")
            yield _comment("Better give what is that role's an owner of its own, and grant that:")
            yield _comment("  CREATE ROLE app_owner NOLOGIN;")
            for subject in dict.fromkeys(need.subject for need in of_role):
                yield _comment(f"  ALTER {subject} OWNER TO app_owner;")
            yield _comment(f"  GRANT app_owner TO {report.quoted_role};")
            continue
        options = [need.privilege for need in of_role if need.privilege != "READ"]
        if options and report.version_num >= WITH_OPTIONS:
            words = ", ".join(f"{word} TRUE" for word in dict.fromkeys(options))
            yield f"GRANT {role} TO {report.quoted_role} WITH {words};  {why}"
        else:
            yield f"{report.grant(of_role[0])}  {why}"
