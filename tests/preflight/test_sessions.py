"""Rules about roles and about what other sessions do now."""

from __future__ import annotations

import time

import pytest

from .conftest import Place

TESTED = {
    "missing-rights",
    "row-security",
    "dependent-owners",
    "grants-by-others",
    "long-transactions",
    "prepared-transactions",
    "snapshot-transactions",
}


def test_a_stranger_is_told_each_right_that_is_missing(place: Place) -> None:
    stranger = place.database.make_role("stranger")
    text = " ".join(finding.remedy for finding in place.found("missing-rights", role=stranger))
    assert "postgres is a superuser" in text
    assert "GRANT postgres" not in text
    owner = place.database.make_role("owner")
    place.execute(
        f'ALTER TABLE s.t OWNER TO "{owner}"; REVOKE SELECT, TRIGGER, INSERT, DELETE, TRUNCATE ON s.t FROM "{owner}"'
    )
    text = " ".join(finding.remedy for finding in place.found("missing-rights", role=stranger))
    for grant in (
        f"GRANT {owner} TO",
        "GRANT CREATE ON DATABASE",
        "GRANT CREATE ON SCHEMA s",
        "GRANT USAGE ON SCHEMA s",
        *(f'GRANT {word} ON TABLE s.t TO "{owner}"' for word in ("TRIGGER", "SELECT", "INSERT", "DELETE", "TRUNCATE")),
    ):
        assert grant in text
    assert place.found("not-scanned", role=stranger)


def test_an_owner_with_create_rights_lacks_nothing(place: Place) -> None:
    owner = place.database.make_role("owner")
    place.execute(
        f'GRANT CREATE, USAGE ON SCHEMA s TO "{owner}"; ALTER TABLE s.t OWNER TO "{owner}";'
        f'GRANT CREATE ON DATABASE "{place.database.name}" TO "{owner}"'
    )
    assert place.found("missing-rights", role=owner) == []
    assert place.found("long-transactions", role=owner)[0].remedy.startswith("GRANT pg_monitor")


def test_row_security_that_filters_us_is_a_blocker(place: Place) -> None:
    owner = place.database.make_role("owner")
    place.execute(
        f'GRANT USAGE ON SCHEMA s TO "{owner}"; ALTER TABLE s.t OWNER TO "{owner}";'
        "ALTER TABLE s.t ENABLE ROW LEVEL SECURITY"
    )
    assert [finding.level.value for finding in place.found("row-security", role=owner)] == ["note"]
    place.execute("ALTER TABLE s.t FORCE ROW LEVEL SECURITY")
    (finding,) = place.found("row-security", role=owner)
    assert finding.level.value == "blocker"
    assert "BYPASSRLS" in finding.remedy


def test_a_view_of_somebody_else(place: Place) -> None:
    owner, reporter = place.database.make_role("owner"), place.database.make_role("reporter")
    place.execute(
        f'GRANT USAGE, CREATE ON SCHEMA s TO "{owner}", "{reporter}"; ALTER TABLE s.t OWNER TO "{owner}";'
        f'CREATE VIEW s.v AS SELECT v FROM s.t; ALTER VIEW s.v OWNER TO "{reporter}"'
    )
    (finding,) = place.found("dependent-owners", role=owner)
    assert reporter in finding.message
    place.execute(f'GRANT "{reporter}" TO "{owner}"')
    assert place.found("dependent-owners", role=owner) == []


def test_grants_of_somebody_else(place: Place) -> None:
    owner, clerk, reader = (place.database.make_role(name) for name in ("owner", "clerk", "reader"))
    place.execute(
        f'GRANT USAGE, CREATE ON SCHEMA s TO "{owner}", "{clerk}"; ALTER TABLE s.t OWNER TO "{owner}";'
        f'GRANT SELECT ON s.t TO "{clerk}" WITH GRANT OPTION; SET ROLE "{clerk}"; GRANT SELECT ON s.t TO "{reader}"'
    )
    (finding,) = place.found("grants-by-others", role=owner)
    assert (clerk in finding.remedy, f"SELECT to {reader}" in finding.message) == (True, True)
    assert place.found("grants-by-others") == []
    place.execute(f'GRANT "{clerk}" TO "{owner}"')
    assert place.found("grants-by-others", role=owner) == []


def test_a_transaction_that_stays_open(place: Place) -> None:
    with place.database.connect(autocommit=False, application_name="report") as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT count(*) FROM s.t")
        time.sleep(0.3)
        pid = session.info.backend_pid
        (finding,) = place.found("long-transactions")
    assert f"pid {pid}" in finding.message
    assert "application report" in finding.message
    assert "with a snapshot" in finding.message
    assert "holds a lock on s.t" in finding.message
    assert place.found("long-transactions") == []


def test_a_prepared_transaction(place: Place) -> None:
    with place.database.connect() as session:
        if session.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
            pytest.skip("the server has no room for prepared transactions")
        session.execute("BEGIN; INSERT INTO s.t VALUES (0, now()); PREPARE TRANSACTION 'it''s'")
        try:
            (finding,) = place.found("prepared-transactions")
        finally:
            session.execute("ROLLBACK PREPARED 'it''s'")
    assert "with a lock on s.t" in finding.message
    assert "ROLLBACK PREPARED 'it''s'" in finding.remedy
    assert place.found("prepared-transactions") == []


def test_a_role_whose_transactions_keep_a_snapshot(place: Place) -> None:
    role = place.database.make_role("app")
    # In this database: one for all of them would be seen by tests that run beside this one.
    own = f'ALTER ROLE "{role}" IN DATABASE "{place.database.name}"'
    place.execute(f"{own} SET default_transaction_isolation = 'repeatable read'")
    assert any(role in finding.message for finding in place.found("snapshot-transactions"))
    assert place.found("snapshot-transactions")[0].accept == "snapshot-transactions"
    place.execute(f"{own} RESET default_transaction_isolation")
    assert place.found("snapshot-transactions") == []
