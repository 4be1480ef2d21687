"""Whether applications use the hypertables: flag."""

from __future__ import annotations

from typing import Any

import click

from hyperferry.errors import Usage

from .options import Call, common


@click.command(short_help="Whether applications use the hypertables: show it, or set it for all of them at once.")
@click.argument("value", required=False, metavar="[on|off|N%]")
@click.option(
    "--role",
    metavar="NAME",
    help="Only for applications that connect as this role; it comes before what is set for all.",
)
@click.option("--unset", is_flag=True, help="Remove what is set (for the role, or for all).")
@click.option(
    "--name",
    default="USE_HYPERTABLES",
    show_default=True,
    metavar="FLAG",
    help="The flag's name, where an application has several.",
)
@common
def flag(call: Call, value: str | None, role: str | None, unset: bool, name: str) -> int:
    """Show or set the flag that applications ask by hyperferry.flag.

    They see a change within about two seconds. An environment variable of the flag's name in a process comes before it. The
    first call that sets something makes the schema hyperferry_flag, which every role may read.
    """
    from hyperferry.flag import setting

    if unset and value is not None:
        raise Usage("A value and --unset exclude each other.", remedy="leave one of them out.")
    if role == "":
        raise Usage("--role needs the name of a role.", remedy="leave --role out to set the flag for all.")
    dsn = call.settings().dsn
    if unset:
        found = setting.take(dsn, role=role or setting.EVERYBODY, name=name)
    elif value is not None:
        found = setting.put(dsn, value, role=role or setting.EVERYBODY, name=name)
    elif role is not None:
        found = tuple(each for each in setting.settings(dsn, name=name) if each.role == role)
    else:
        found = setting.settings(dsn, name=name)
    call.out.give({"flag": name, "settings": [_as_json(each) for each in found]}, _lines(name, found))
    return 0


def _as_json(each: Any) -> dict[str, object]:
    return {
        "role": each.role or None,
        "share": each.share,
        "set_at": each.set_at.isoformat(),
        "set_by": each.set_by,
    }


def _lines(name: str, found: tuple[Any, ...]) -> list[str]:
    if not found:
        return [f"{name} is not set in this database: off, unless an application's environment says otherwise."]
    return [
        f"{name} {each.text} for {f'role {each.role}' if each.role else 'all'} "
        f"(set by {each.set_by}, {each.set_at:%Y-%m-%d %H:%M:%S} UTC)"
        for each in found
    ]
