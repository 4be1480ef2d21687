"""Rules about roles and about what other sessions do now."""

from __future__ import annotations

import re
import time

import pytest

from servers import SO_OFTEN

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


def test_statements_of_other_roles_that_cannot_be_read_are_counted(place: Place) -> None:
    owner = place.database.make_role("owner")
    place.execute(
        f'CREATE EXTENSION pg_stat_statements SCHEMA s; GRANT USAGE ON SCHEMA s TO "{owner}"; ALTER TABLE s.t OWNER TO "{owner}"'
    )
    with place.database.connect() as app:
        for _ in range(SO_OFTEN):
            app.execute("UPDATE s.t SET ts = now() WHERE id = 0")
    assert place.inspect().statements.time_updates
    assert place.found("statements-unseen") == []
    (finding,) = place.found("statements-unseen", role=owner)
    assert f"of other roles in pg_stat_statements cannot be read by {owner}" in finding.message
    assert f'GRANT pg_read_all_stats TO "{owner}"' in finding.remedy
    place.execute(f'GRANT pg_read_all_stats TO "{owner}"')
    assert place.found("statements-unseen", role=owner) == []
    assert place.found("cross-chunk-updates", role=owner)


def test_what_a_rollout_in_somebody_elses_ledger_has_is_not_to_be_dropped(place: Place) -> None:
    owner, first = place.database.make_role("owner"), place.database.make_role("first")
    place.execute(
        f'CREATE SCHEMA hyperferry; CREATE TABLE hyperferry.rollout AS SELECT 3::bigint AS id, \'s\' AS source_schema, '
        "'t' AS source_name, 1::oid AS source_oid, 'copying' AS phase;"
        f'ALTER SCHEMA hyperferry OWNER TO "{first}"; ALTER TABLE hyperferry.rollout OWNER TO "{first}";'
        "CREATE SCHEMA hyperferry_new_3; CREATE TABLE hyperferry_new_3.t ();"
        "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER hyperferry_log AFTER INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()"
    )
    for role in (owner, None):
        (finding,) = place.found("leftovers", role=role)
        assert finding.level.value == "blocker"
        assert "schema hyperferry_new_3, trigger hyperferry_log on s.t" in finding.message
        assert f"belongs to {first}" in finding.message
        assert "DROP" not in finding.remedy
        assert f"Connect as {first}" in finding.remedy
    assert place.found("leftovers", role=first) == []
    assert place.found("open-rollout", role=first)
    place.execute("DROP SCHEMA hyperferry CASCADE")
    (finding,) = place.found("leftovers")
    assert "DROP SCHEMA hyperferry_new_3" in finding.remedy


def test_a_temporary_view_of_another_session(place: Place) -> None:
    place.execute("CREATE VIEW s.v AS SELECT id, ts FROM s.t")
    before = place.inspect()
    with place.database.connect() as session:
        pid = session.info.backend_pid
        session.execute("CREATE TEMP VIEW far AS SELECT id FROM s.v; CREATE TEMP TABLE kept (v s.v)")
        seen = place.inspect()
        assert (seen.fingerprint, seen.dependents) == (before.fingerprint, before.dependents)
        session.execute("CREATE TEMP VIEW near AS SELECT id FROM s.t")
        (finding,) = (f for f in place.findings() if f.level.value == "blocker")
        assert finding.rule == "dependent-views"
        assert f"of pid {pid} (role postgres)" in finding.message
        assert f"pg_terminate_backend({pid})" in finding.remedy
        assert re.search(r"superuser from any other \(DROP VIEW pg_temp_\d+\.near;\); or end it", finding.remedy)
        # Its own blocker is all that is said: nobody is to be given rights in the session's schema.
        nobody = place.database.make_role("nobody")
        remedies = " ".join(f.remedy for f in place.findings(role=nobody) if f.rule == "missing-rights")
        assert "GRANT" in remedies
        assert "pg_temp" not in remedies
        assert place.inspect().fingerprint != before.fingerprint
    end = time.monotonic() + 30
    while place.inspect().fingerprint != before.fingerprint:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert [f for f in place.findings() if f.level.value == "blocker"] == []
