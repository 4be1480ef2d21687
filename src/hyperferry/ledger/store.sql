-- name: create
-- Records a rollout; no row where one of that table is under way.
INSERT INTO hyperferry.rollout (source_schema, source_name, source_oid, strategy, phase, plan)
VALUES (%(schema)s, %(name)s, %(oid)s, %(strategy)s, %(phase)s, %(plan)s)
ON CONFLICT (source_schema, source_name) WHERE phase NOT IN ('finished', 'aborted') DO NOTHING
RETURNING id, source_schema, source_name, source_oid::bigint, hypertable_oid::bigint, strategy, phase, control, plan, created_at, updated_at,
       EXISTS (SELECT FROM hyperferry.expectation e WHERE e.rollout_id = rollout.id AND e.triggers ? 'hyperferry_reverse_insert');

-- name: get
-- One rollout by its number.
SELECT id, source_schema, source_name, source_oid::bigint, hypertable_oid::bigint, strategy, phase, control, plan, created_at, updated_at,
       EXISTS (SELECT FROM hyperferry.expectation e WHERE e.rollout_id = rollout.id AND e.triggers ? 'hyperferry_reverse_insert')
FROM hyperferry.rollout WHERE id = %(id)s;

-- name: open
-- The unfinished rollout of a table.
SELECT id, source_schema, source_name, source_oid::bigint, hypertable_oid::bigint, strategy, phase, control, plan, created_at, updated_at,
       EXISTS (SELECT FROM hyperferry.expectation e WHERE e.rollout_id = rollout.id AND e.triggers ? 'hyperferry_reverse_insert')
FROM hyperferry.rollout
WHERE source_schema = %(schema)s AND source_name = %(name)s AND phase NOT IN ('finished', 'aborted');

-- name: latest
-- The newest rollout of one table or of each.
SELECT DISTINCT ON (source_schema, source_name)
       id, source_schema, source_name, source_oid::bigint, hypertable_oid::bigint, strategy, phase, control, plan, created_at, updated_at,
       EXISTS (SELECT FROM hyperferry.expectation e WHERE e.rollout_id = rollout.id AND e.triggers ? 'hyperferry_reverse_insert')
FROM hyperferry.rollout
WHERE (%(schema)s::text IS NULL OR source_schema = %(schema)s::text) AND (%(name)s::text IS NULL OR source_name = %(name)s::text)
ORDER BY source_schema, source_name, id DESC;

-- name: set_phase
-- Moves a rollout on, if it still is where we think.
UPDATE hyperferry.rollout SET phase = %(phase)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND phase = ANY(%(allowed)s::text[])
RETURNING id, source_schema, source_name, source_oid::bigint, hypertable_oid::bigint, strategy, phase, control, plan, created_at, updated_at,
       EXISTS (SELECT FROM hyperferry.expectation e WHERE e.rollout_id = rollout.id AND e.triggers ? 'hyperferry_reverse_insert');

-- name: hold
-- The phase; it cannot change until the end of this transaction.
SELECT phase FROM hyperferry.rollout WHERE id = %(id)s FOR UPDATE;

-- name: set_hypertable
-- Records the OID of the hypertable.
UPDATE hyperferry.rollout SET hypertable_oid = %(oid)s, updated_at = clock_timestamp() WHERE id = %(id)s
RETURNING id, source_schema, source_name, source_oid::bigint, hypertable_oid::bigint, strategy, phase, control, plan, created_at, updated_at,
       EXISTS (SELECT FROM hyperferry.expectation e WHERE e.rollout_id = rollout.id AND e.triggers ? 'hyperferry_reverse_insert');

-- name: set_control
-- Asks for a pause or for its end.
UPDATE hyperferry.rollout SET control = %(control)s, updated_at = clock_timestamp() WHERE id = %(id)s
RETURNING id, source_schema, source_name, source_oid::bigint, hypertable_oid::bigint, strategy, phase, control, plan, created_at, updated_at,
       EXISTS (SELECT FROM hyperferry.expectation e WHERE e.rollout_id = rollout.id AND e.triggers ? 'hyperferry_reverse_insert');

-- name: control
-- What was asked for.
SELECT control FROM hyperferry.rollout WHERE id = %(id)s;

-- name: bump_epoch
-- A copy, swap, repair or truncation happened: older verifications no longer count.
UPDATE hyperferry.rollout SET epoch = epoch + 1, updated_at = clock_timestamp() WHERE id = %(id)s;

-- name: epoch
-- The epoch now.
SELECT epoch FROM hyperferry.rollout WHERE id = %(id)s;

-- name: event
-- Records an event.
INSERT INTO hyperferry.event (rollout_id, kind, detail) VALUES (%(id)s, %(kind)s, %(detail)s);

-- name: last_events
-- The newest events of some kinds.
SELECT at, kind, detail FROM hyperferry.event WHERE rollout_id = %(id)s AND kind = ANY(%(kinds)s::text[]) ORDER BY id DESC LIMIT %(limit)s;

-- name: record_verification
-- Records what a verification found.
INSERT INTO hyperferry.verification (rollout_id, direction, epoch, fingerprint, started_at, match, source_rows, target_rows, report)
VALUES (%(id)s, %(direction)s, %(epoch)s, %(fingerprint)s, %(started_at)s, %(match)s, %(source_rows)s, %(target_rows)s, %(report)s)
RETURNING id;

-- name: last_verification
-- The newest verification of a direction.
SELECT id, ended_at, match, epoch, fingerprint, report ->> 'tables' FROM hyperferry.verification
WHERE rollout_id = %(id)s AND direction = %(direction)s ORDER BY id DESC LIMIT 1;

-- name: accepted
-- What was accepted for this rollout.
SELECT DISTINCT jsonb_array_elements_text(detail -> 'accept') FROM hyperferry.event WHERE rollout_id = %(id)s AND kind = 'accepted';

-- name: found
-- What was found in the change log that the application must be told of (I9).
SELECT DISTINCT jsonb_array_elements_text(detail -> 'accept') FROM hyperferry.event WHERE rollout_id = %(id)s AND kind = 'found';

