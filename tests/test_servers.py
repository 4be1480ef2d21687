"""What every other test stands on."""

from __future__ import annotations

from servers import RELEASES, Database


def test_a_test_has_a_database_of_its_own_with_timescaledb(db: Database) -> None:
    assert db.execute("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'") == [(1,)]
    (major,) = db.execute("SELECT current_setting('server_version_num')::int / 10000")[0]
    assert f"pg{major}" == RELEASES[db.release]


def test_a_role_connects_without_a_password(db: Database) -> None:
    role = db.make_role()
    with db.connect(role) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role,)


def test_the_community_edition_has_its_functions(community_db: Database) -> None:
    assert community_db.execute("SHOW timescaledb.license") == [("timescale",)]
