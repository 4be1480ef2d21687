-- name: schema_version
-- The version of the ledger's schema (NULL where there is none), its owner, and whether that is somebody whom this role may trust: itself,
-- a role that it is a member of (a superuser is so of none, by this reckoning), or a superuser.
SELECT CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'rollout')
            THEN COALESCE(substring(obj_description(n.oid, 'pg_namespace') FROM 'ledger version (\d+)')::int, 0) END,
       o.rolname::text,
       o.rolname = current_user OR o.rolsuper AND has_schema_privilege(n.oid, 'USAGE')
       OR NOT me.rolsuper AND pg_has_role(o.oid, 'USAGE')
FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner JOIN pg_roles me ON me.rolname = current_user
WHERE n.nspname = 'hyperferry';

-- name: install_lock
-- Two starters at once: one makes the schema, the other finds it made.
SELECT pg_advisory_xact_lock(7150917264);

-- name: install
-- The ledger: rollouts, what was recorded of them, and what verifications found.
CREATE SCHEMA IF NOT EXISTS hyperferry;
COMMENT ON SCHEMA hyperferry IS 'hyperferry, ledger version 1: the state of rollouts; see the table rollout';
CREATE TABLE hyperferry.rollout (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_schema text NOT NULL,
    source_name text NOT NULL,
    source_oid oid NOT NULL,
    hypertable_oid oid,
    strategy text NOT NULL,
    phase text NOT NULL,
    control text NOT NULL DEFAULT 'run',
    plan text NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    stop_reason text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN hyperferry.rollout.epoch IS 'grows with each copy, swap, repair and truncation: an older verification no longer counts';
CREATE UNIQUE INDEX rollout_one_at_a_time ON hyperferry.rollout (source_schema, source_name) WHERE phase NOT IN ('finished', 'aborted');
CREATE TABLE hyperferry.event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rollout_id bigint NOT NULL REFERENCES hyperferry.rollout,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX event_of_rollout ON hyperferry.event (rollout_id, id);
CREATE TABLE hyperferry.expectation (
    rollout_id bigint NOT NULL REFERENCES hyperferry.rollout,
    table_oid oid NOT NULL,
    columns text NOT NULL,
    triggers jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (rollout_id, table_oid)
);
COMMENT ON TABLE hyperferry.expectation IS 'what every transaction checks after its locks: columns, and our triggers as they were made';
CREATE TABLE hyperferry.verification (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rollout_id bigint NOT NULL REFERENCES hyperferry.rollout,
    direction text NOT NULL,
    epoch bigint NOT NULL,
    fingerprint text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    match boolean NOT NULL,
    source_rows bigint NOT NULL,
    target_rows bigint NOT NULL,
    report jsonb NOT NULL
);
CREATE INDEX verification_of_rollout ON hyperferry.verification (rollout_id, id);

-- name: version_2
-- What the throttle remembers and measures by.
CREATE TABLE hyperferry.throttle (
    rollout_id bigint PRIMARY KEY REFERENCES hyperferry.rollout,
    limits jsonb NOT NULL DEFAULT '{}',
    state jsonb,
    pid int,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE hyperferry.throttle IS 'limits that were set for this rollout, and what whoever works on it (session pid) last decided by them';
CREATE TABLE hyperferry.probe (at timestamptz NOT NULL DEFAULT clock_timestamp());
COMMENT ON TABLE hyperferry.probe IS 'the throttle writes a row now and then, to feel what a commit takes; emptied when it has grown';
COMMENT ON SCHEMA hyperferry IS 'hyperferry, ledger version 2: the state of rollouts; see the table rollout';

-- name: version_3
-- Nothing but the number: a hypertable's triggers have other names, and a hyperferry that looks for the old ones must not work on it.
COMMENT ON SCHEMA hyperferry IS 'hyperferry, ledger version 3: the state of rollouts; see the table rollout';
