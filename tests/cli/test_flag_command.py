"""`flag` as a user runs it."""

from __future__ import annotations

from servers import Database

from .conftest import Hyperferry
from .test_wrong_input import assert_failure


def test_shown_set_and_unset(db: Database, hyperferry: Hyperferry) -> None:
    nothing = hyperferry("flag", dsn=db.dsn)
    assert (nothing.code, nothing.stdout) == (
        0, "USE_HYPERTABLES is not set in this database: off, unless an application's environment says otherwise.\n",
    )  # fmt: skip
    assert db.execute("SELECT to_regnamespace('hyperferry_flag')") == [(None,)], (
        "who only looks leaves nothing"
    )
    assert hyperferry("flag", "--unset", dsn=db.dsn).code == 0
    role = db.make_role()
    assert hyperferry("flag", "25%", dsn=db.dsn).stdout.startswith(
        "USE_HYPERTABLES 25% for all (set by postgres, 2"
    )
    ran = hyperferry("flag", "on", "--role", role, "--json", dsn=db.dsn)
    assert [(each["role"], each["share"], each["set_by"]) for each in ran.json["settings"]] == [
        (None, 25.0, "postgres"), (role, 100.0, "postgres"),
    ]  # fmt: skip
    assert [
        each["role"] for each in hyperferry("flag", "--role", role, "--json", dsn=db.dsn).json["settings"]
    ] == [role]
    assert hyperferry("flag", "--unset", "--role", role, dsn=db.dsn).code == 0
    assert f"for role {role}" not in hyperferry("flag", dsn=db.dsn).stdout
    assert hyperferry("flag", "--json", dsn=db.dsn).json["flag"] == "USE_HYPERTABLES"


def test_wrong_input_sets_nothing(db: Database, hyperferry: Hyperferry) -> None:
    assert_failure(
        hyperferry("flag", "--json", "onn", dsn=db.dsn), 2, "'onn' is none of: on, off", "hyperferry flag 25%"
    )
    assert_failure(hyperferry("flag", "--json", "on", "--unset", dsn=db.dsn), 2, "exclude each other")
    assert_failure(hyperferry("flag", "--json", "on", "--role", "", dsn=db.dsn), 2, "--role needs the name")
    assert_failure(
        hyperferry("flag", "--json", "on", "--role", "nobody here", dsn=db.dsn), 3, "no role nobody here"
    )
    assert_failure(
        hyperferry("flag", "--json", "on", dsn=db.dsn_as(db.make_role())),
        3,
        "may not set the flag",
        "the database's owner",
    )
    assert db.execute("SELECT to_regnamespace('hyperferry_flag')") == [(None,)]


def test_who_may_not_change_it_may_see_it(db: Database, hyperferry: Hyperferry) -> None:
    reader = db.dsn_as(db.make_role())
    assert hyperferry("flag", "on", dsn=db.dsn).code == 0
    assert "USE_HYPERTABLES on for all" in hyperferry("flag", dsn=reader).stdout
    assert_failure(hyperferry("flag", "--json", "off", dsn=reader), 3, "may not set the flag")
    assert_failure(hyperferry("flag", "--json", "--unset", dsn=reader), 3, "may not set the flag")
    assert "USE_HYPERTABLES on for all" in hyperferry("flag", dsn=db.dsn).stdout
