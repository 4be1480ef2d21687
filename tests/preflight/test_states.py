"""States of a server that none here can be in: the inspection of a clean table, with one fact changed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

import servers
from hyperferry.catalog.statements import names_parent_alone
from hyperferry.model.inspection import InboundKey, Inspection, StatementFacts, Trigger
from hyperferry.model.names import TableName
from hyperferry.model.options import PreflightOptions
from hyperferry.model.plan import Strategy
from hyperferry.preflight import run

SERVER: list[tuple[str, dict[str, Any], str, str]] = [
    ("postgresql-version", {"version_num": 130014, "version": "13.14"}, "blocker", "13.14"),
    ("postgresql-version", {"version_num": 190000, "version": "19.0"}, "blocker", "14 to 18"),
    (
        "timescaledb-version",
        {"timescaledb_installed": "2.8.1"},
        "blocker",
        "ALTER EXTENSION timescaledb UPDATE",
    ),
    (
        "timescaledb-version",
        {"version_num": 180000, "timescaledb_installed": "2.19.3"},
        "blocker",
        "14 to 17",
    ),
    (
        "timescaledb-version",
        {"version_num": 150000, "timescaledb_installed": "2.29.0"},
        "blocker",
        "16 to 18",
    ),
    (
        "timescaledb-version",
        {"version_num": 150004, "timescaledb_installed": "2.11.2"},
        "warning",
        "MERGE",
    ),
    ("timescaledb-missing", {"timescaledb_installed": None}, "blocker", "CREATE EXTENSION timescaledb"),
    (
        "timescaledb-missing",
        {"timescaledb_installed": None, "timescaledb_available": None},
        "blocker",
        "package",
    ),
    ("timescaledb-not-preloaded", {"timescaledb_preloaded": False}, "blocker", "shared_preload_libraries"),
    ("edition", {"edition": "apache"}, "note", "Apache-2"),
    ("in-recovery", {"in_recovery": True}, "blocker", "primary"),
    ("transaction-pooling", {"transaction_pooled": True}, "blocker", "session mode"),
    ("snapshot-transactions", {"default_isolation": "serializable"}, "warning", "serializable"),
    (
        "chunk-count",
        {"max_locks_per_transaction": 1, "max_connections": 10},
        "blocker",
        "max_locks_per_transaction =",
    ),
]

TABLE: list[tuple[str, dict[str, Any], str, str]] = [
    ("temporary-table", {"persistence": "t"}, "blocker", "temporary"),
    ("access-method", {"access_method": "columnar"}, "blocker", "SET ACCESS METHOD heap"),
    ("extension-member", {"extension": "shop"}, "blocker", 'ALTER EXTENSION "shop" DROP TABLE'),
]


def found(inspection: Inspection, rule: str, **options: Any) -> list[tuple[str, str]]:
    """Level and text of what one rule says."""
    return [
        (finding.level.value, f"{finding.message} {finding.remedy}")
        for finding in run(inspection, PreflightOptions(**options))
        if finding.rule == rule
    ]


@pytest.mark.parametrize("owner", ["ada", "Data Team", "o'brien", "back\\slash"])
def test_the_role_of_a_foreign_ledger_can_be_taken_as_it_is_shown(clean: Inspection, server: servers.Server, owner: str) -> None:
    """A shell gives it to a program, and the server takes it for the role."""
    told = replace(clean.activity, leftovers=("schema hyperferry_new_3",), foreign_ledger=owner)
    (finding,) = [each for each in run(replace(clean, activity=told), PreflightOptions()) if each.rule == "leftovers"]
    (word,) = re.findall(r"\(or with (PGOPTIONS=.*)\), ask", finding.remedy)
    shown = subprocess.run(["sh", "-c", f'{word}; printf %s "$PGOPTIONS"'], capture_output=True, text=True, check=True).stdout
    with server.connect() as conn:
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {0}").format(sql.Identifier(owner)))
        conn.execute(sql.SQL("CREATE ROLE {0}").format(sql.Identifier(owner)))
        try:
            with psycopg.connect(server.dsn, options=shown) as taken:
                assert taken.execute("SELECT current_user").fetchone() == (owner,)
        finally:
            conn.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(owner)))


@pytest.mark.parametrize(("postgres", "timescaledb"), [(140012, "2.11.2"), (150004, "2.12.0"), (180000, "2.31.0")])
def test_a_version_of_which_nothing_is_said(clean: Inspection, postgres: int, timescaledb: str) -> None:
    """MERGE came with PostgreSQL 15, and into hypertables with TimescaleDB 2.12."""
    server = replace(clean.server, version_num=postgres, timescaledb_installed=timescaledb)
    assert found(replace(clean, server=server), "timescaledb-version") == []


@pytest.mark.parametrize(("rule", "facts", "level", "word"), SERVER)
def test_a_server(clean: Inspection, rule: str, facts: dict[str, Any], level: str, word: str) -> None:
    if rule == "chunk-count":
        facts = {**facts, "max_prepared_transactions": 0}
    (finding,) = found(replace(clean, server=replace(clean.server, **facts)), rule)
    assert finding[0] == level
    assert word in finding[1]
    if rule != "edition":
        assert found(clean, rule) == []


@pytest.mark.parametrize(("rule", "facts", "level", "word"), TABLE)
def test_a_table(clean: Inspection, rule: str, facts: dict[str, Any], level: str, word: str) -> None:
    (finding,) = found(replace(clean, table=replace(clean.table, **facts)), rule)
    assert finding[0] == level
    assert word in finding[1]
    assert found(clean, rule) == []


def test_the_community_edition_lacks_nothing(clean: Inspection) -> None:
    assert found(replace(clean, server=replace(clean.server, edition="community")), "edition") == []


def test_security_labels(clean: Inspection) -> None:
    (finding,) = found(replace(clean, security_labels=("selinux: secret",)), "security-labels")
    assert finding[0] == "blocker"
    assert "selinux: secret" in finding[1]


def test_a_subscription_that_writes_into_the_table(clean: Inspection) -> None:
    changed = replace(clean, replication=replace(clean.replication, subscriptions=("feed",)))
    assert found(changed, "subscription-target")[0][0] == "blocker"
    assert found(clean, "subscription-target") == []


def test_other_replication_into_this_server(clean: Inspection) -> None:
    other = replace(clean, replication=replace(clean.replication, other_replication=("pgl_a_b_c (pglogical)",)))
    ((level, message, *_),) = found(other, "other-replication")
    assert (level, "pgl_a_b_c (pglogical)" in message) == ("warning", True)
    assert [f.accept for f in run(other) if f.rule == "other-replication"] == ["other-replication"]
    assert found(clean, "other-replication") == []


def test_replicas_are_told_and_idle_slots_warned_of(clean: Inspection) -> None:
    facts = replace(
        clean.replication,
        replicas=(("standby", 1_500_000),),
        slots=(("dead", 3_000_000_000, False), ("busy", 1, True)),
    )
    note, warning = sorted(found(replace(clean, replication=facts), "replicas"))
    assert "standby (behind by 1.5 MB)" in note[1]
    assert warning[0] == "warning"
    assert "pg_drop_replication_slot('dead')" in warning[1]
    assert found(clean, "replicas") == []


def test_many_chunks_are_told_of_before_sessions_meet_them(clean: Inspection) -> None:
    assert clean.scan is not None
    assert found(clean, "first-statements") == []
    for buckets, told in ((99, False), (100, True), (5_000, True)):
        many = replace(clean, scan=replace(clean.scan, buckets=buckets))
        assert [
            (level, f"{buckets:,} chunks" in text, "force_custom_plan" in text)
            for level, text in found(many, "first-statements")
        ] == ([("note", True, True)] if told else [])
    assert found(replace(clean, scan=None), "first-statements") == []


@pytest.mark.parametrize(
    ("chunks", "keys", "said"),
    [
        (5_000, 0, None),
        (700, 1, None),
        (720, 1, "about 0.3 s"),
        (1_000, 1, "about 0.5 s"),
        (450, 2, None),
        (700, 2, "about 0.6 s"),
        (2_000, 1, "about 1.9 s"),
        (4_000, 1, "about 7.0 s"),
    ],
)
def test_foreign_keys_on_many_chunks(clean: Inspection, chunks: int, keys: int, said: str | None) -> None:
    assert clean.scan is not None
    key = replace(clean.constraints[0], kind="f", references=TableName("s", "parent"))
    others = tuple(c for c in clean.constraints if c.kind != "f")
    many = replace(clean, constraints=(*others, *([key] * keys)), scan=replace(clean.scan, buckets=chunks))
    findings = found(many, "foreign-keys-and-chunks")
    assert [level for level, _ in findings] == (["warning"] if said else [])
    if said:
        assert said in findings[0][1]
        assert ("would not succeed" in findings[0][1]) == (chunks == 4_000)
        assert f"each of {chunks:,} chunks" in findings[0][1]
    assert found(replace(many, scan=None), "foreign-keys-and-chunks") == []


def test_a_foreign_key_that_points_at_many_chunks(clean: Inspection) -> None:
    assert clean.scan is not None
    key = InboundKey("k", TableName("s", "child"), 1, "FOREIGN KEY (i, t) REFERENCES s.t(id, ts)", ("id", "ts"), True)
    many = replace(
        clean,
        inbound_keys=(key,),
        scan=replace(clean.scan, buckets=1_000),
        server=replace(clean.server, timescaledb_installed="2.31.0"),
    )
    ((level, text),) = found(many, "foreign-keys-and-chunks")
    assert level == "warning"
    assert "about 0.9 s" in text
    assert found(many, "foreign-keys-and-chunks", drop_inbound_fks=("child.k",)) == []


@pytest.mark.parametrize(
    ("version", "strategy", "level", "word"),
    [
        ("2.12.0", Strategy.BLUE_GREEN, "note", "names of the chunks"),
        ("2.11.2", Strategy.BLUE_GREEN, "warning", "goes without"),
        ("2.11.2", Strategy.IN_PLACE, "blocker", "REPLICA IDENTITY DEFAULT"),
    ],
)
def test_a_replica_identity_by_version(
    clean: Inspection, version: str, strategy: Strategy, level: str, word: str
) -> None:
    full = replace(
        clean,
        table=replace(clean.table, replica_identity="f"),
        server=replace(clean.server, timescaledb_installed=version),
    )
    ((said, text),) = found(full, "replica-identity", strategy=strategy)
    assert said == level
    assert word in text


def test_chunks_that_several_sessions_of_ours_lock_at_a_time(clean: Inspection) -> None:
    """Where nothing gives the time each batch and each range is one of the key, and of all chunks."""
    assert clean.scan is not None
    [key] = [each for each in clean.indexes if each.primary]
    index = replace(key, columns=(replace(key.columns[0], column=clean.time_column),))
    server = replace(clean.server, max_locks_per_transaction=64, max_connections=100, max_prepared_transactions=0)
    by_time = replace(clean, scan=replace(clean.scan, buckets=600), indexes=(key, index), server=server)
    pool = server.max_locks_per_transaction * (server.max_connections + server.max_prepared_transactions)
    each = 600 * (1 + len(by_time.indexes))
    assert each <= pool // 2
    assert found(by_time, "chunk-count", workers=8) == []
    without = replace(by_time, indexes=(key, replace(index, valid=False)))
    ((level, text),) = found(without, "chunk-count", workers=8)
    assert level == ("blocker" if 8 * each > pool else "warning")
    assert f"takes {each:,} locks, and 8 workers do so at a time" in text
    assert "or fewer --workers" in text


def test_too_many_chunks(clean: Inspection) -> None:
    assert clean.scan is not None
    many = replace(clean, scan=replace(clean.scan, buckets=25_000))
    assert any(
        level == "blocker" and "at least 3 times" in text for level, text in found(many, "chunk-count")
    )
    assert found(many, "chunk-count", max_chunks=30_000)[0][1].startswith(
        "A statement that touches all 25,000"
    )


def test_too_little_room_is_a_warning(clean: Inspection) -> None:
    tight = replace(clean, activity=replace(clean.activity, free_disk_bytes=clean.table.total_bytes))
    wide = replace(clean, activity=replace(clean.activity, free_disk_bytes=clean.table.total_bytes * 2))
    assert [level for level, _ in found(tight, "disk-space")] == ["warning"]
    assert [level for level, _ in found(wide, "disk-space")] == ["note"]


def test_an_index_that_is_not_valid(clean: Inspection) -> None:
    broken = replace(clean.indexes[0], name="half", valid=False)
    (finding,) = found(replace(clean, indexes=(*clean.indexes, broken)), "invalid-indexes")
    assert 'REINDEX INDEX CONCURRENTLY "s"."half"' in finding[1]
    assert found(clean, "invalid-indexes") == []


def test_rows_that_were_not_read(clean: Inspection) -> None:
    assert found(replace(clean, scan=None), "not-scanned")[0][0] == "note"
    assert found(clean, "not-scanned") == []


def test_statements_that_were_seen(clean: Inspection) -> None:
    assert found(clean, "statements-unseen")
    assert found(replace(clean, statements=StatementFacts(True)), "statements-unseen") == []


def _able(clean: Inspection) -> Inspection:
    """A server on which compression on the way was tried."""
    return replace(clean, server=replace(clean.server, edition="community", timescaledb_installed="2.19.3"))


def _with_constraint(inspection: Inspection, kind: str) -> Inspection:
    odd = replace(inspection.constraints[0], name="odd", kind=kind)
    return replace(inspection, constraints=(*inspection.constraints, odd))


def _trigger(event: str) -> Trigger:
    return Trigger(
        name="seen",
        definition=f"CREATE TRIGGER seen AFTER {event} ON s.t REFERENCING OLD TABLE AS o EXECUTE FUNCTION f()",
        function="f",
        enabled="O",
        row_level=False,
        before=False,
        transition_tables=True,
        constraint=False,
        comment=None,
    )


COMPRESSION: list[tuple[Callable[[Inspection], Inspection], str]] = [
    (lambda able: replace(able, server=replace(able.server, edition="apache")), "Apache-2"),
    (lambda able: replace(able, server=replace(able.server, timescaledb_installed="2.18.2")), "2.18.2"),
    (lambda able: replace(able, table=replace(able.table, row_security=True)), "DISABLE ROW LEVEL SECURITY"),
    (lambda able: _with_constraint(able, "x"), "exclusion constraints (odd)"),
    (lambda able: _with_constraint(able, "f"), 'DROP CONSTRAINT "odd"'),
    (lambda able: replace(able, triggers=(_trigger("UPDATE OR DELETE"),)), "transition table"),
    (
        lambda able: replace(able, columns=(*able.columns, replace(able.columns[0], name="_ts_meta_min_1"))),
        "_ts_meta_min_1",
    ),
    (lambda able: replace(able, table=replace(able.table, persistence="u")), "SET LOGGED"),
]


@pytest.mark.parametrize(("changed", "word"), COMPRESSION)
def test_compression_on_the_way(
    clean: Inspection, changed: Callable[[Inspection], Inspection], word: str
) -> None:
    able = _able(clean)
    assert [level for level, _ in found(able, "compression", compress=True)] == ["warning"]
    said = found(changed(able), "compression", compress=True)
    assert sorted(level for level, _ in said) == ["blocker", "warning"]
    assert word in next(text for level, text in said if level == "blocker")
    assert found(changed(able), "compression") == [], "nobody asked for it"


def test_compression_bears_what_it_can(clean: Inspection) -> None:
    able = _able(clean)
    borne = _with_constraint(replace(able, triggers=(_trigger("UPDATE"),)), "c")
    assert [level for level, _ in found(borne, "compression", compress=True)] == ["warning"]


@pytest.mark.parametrize(
    ("statement", "flagged"),
    [
        ("INSERT INTO s.t (id) VALUES ($1) ON CONFLICT (id) DO NOTHING", True),
        ("insert into s.t values ($1) on conflict (id) where v > $2 do update set v = $3", True),
        ("INSERT INTO s.t VALUES ($1) ON CONFLICT ON CONSTRAINT one DO NOTHING", True),
        ('INSERT INTO s.t VALUES ($1) ON CONFLICT (id, "ts") DO NOTHING', False),
        ("INSERT INTO s.t VALUES ($1) ON CONFLICT DO NOTHING", False),
        ("INSERT INTO s.t VALUES ($1) ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING", False),
    ],
)
def test_conflict_targets(clean: Inspection, statement: str, flagged: bool) -> None:
    key = replace(clean.indexes[0], name="one", primary=False, columns=clean.indexes[0].columns[:1])
    changed = replace(
        clean, indexes=(*clean.indexes, key), statements=StatementFacts(True, conflict_targets=(statement,))
    )
    assert bool(found(changed, "on-conflict-key")) is flagged


@pytest.mark.parametrize(
    ("statement", "flagged"),
    [
        ("SELECT count(*) FROM ONLY s.t", True),
        ("UPDATE ONLY t SET v = $1", True),
        ("DELETE FROM only (s.t)", True),
        ("COPY s.t TO STDOUT", True),
        ('copy s."t" (id, ts) to $1', True),
        ("COPY (SELECT * FROM s.t) TO STDOUT", False),
        ("COPY s.t (id) FROM STDIN", False),
        ("SELECT only FROM s.t", False),
        ("SELECT * FROM ONLY s.t2", False),
        ("COPY s.t2 TO STDOUT", False),
        ("SELECT only, t FROM u", False),
    ],
)
def test_statements_that_would_find_no_rows(clean: Inspection, statement: str, flagged: bool) -> None:
    assert names_parent_alone(statement, clean.table.name) is flagged
    changed = replace(clean, statements=StatementFacts(True, parent_alone=(statement,) if flagged else ()))
    assert bool(found(changed, "only-the-table")) is flagged


def test_what_does_not_move_does_not_matter_in_place(clean: Inspection) -> None:
    """In place the table stays the same object, so views and keys do not matter."""
    moved = replace(clean, security_labels=("a: b",), indexes=())
    assert found(moved, "security-labels")
    assert found(moved, "no-usable-key")
    assert found(moved, "security-labels", strategy=Strategy.IN_PLACE) == []
    assert found(moved, "no-usable-key", strategy=Strategy.IN_PLACE) == []


def test_blockers_come_first(clean: Inspection) -> None:
    changed = replace(clean, security_labels=("a: b",), scan=None)
    levels = [finding.level.value for finding in run(changed)]
    assert levels == sorted(levels, key=["blocker", "warning", "note"].index)
    assert levels[0] == "blocker"


TESTED = {rule for rule, *_ in SERVER + TABLE} | {
    "first-statements",
    "foreign-keys-and-chunks",
    "security-labels",
    "subscription-target",
    "other-replication",
    "replicas",
    "disk-space",
    "invalid-indexes",
    "not-scanned",
    "statements-unseen",
    "compression",
}


@pytest.mark.parametrize(("version", "said"), [("2.17.2", True), ("2.9.3", True), ("2.18.0", False), ("2.31.0", False)])
def test_statement_triggers_with_transition_tables_by_version(clean: Inspection, version: str, said: bool) -> None:
    changed = replace(
        clean, triggers=(_trigger("UPDATE"),), server=replace(clean.server, timescaledb_installed=version)
    )
    assert [(level, version in text) for level, text in found(changed, "unsupported-triggers")] == ([("blocker", True)] if said else [])
