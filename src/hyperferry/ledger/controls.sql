-- name: there
-- Whether this ledger knows of limits: one made by an older hyperferry does not.
SELECT to_regclass('hyperferry.throttle') IS NOT NULL;

-- name: limits
-- The limits that were set for a rollout.
SELECT limits FROM hyperferry.throttle WHERE rollout_id = %(id)s;

-- name: set_limits
-- Sets limits, and forgets those that are to be as they are elsewhere (null).
INSERT INTO hyperferry.throttle (rollout_id, limits) VALUES (%(id)s, jsonb_strip_nulls(%(limits)s))
ON CONFLICT (rollout_id) DO UPDATE SET limits = jsonb_strip_nulls(throttle.limits || %(limits)s)
RETURNING limits;

-- name: note_state
-- What whoever works on the rollout decided just now.
INSERT INTO hyperferry.throttle (rollout_id, state, pid) VALUES (%(id)s, %(state)s, pg_backend_pid())
ON CONFLICT (rollout_id) DO UPDATE SET state = excluded.state, pid = excluded.pid, at = clock_timestamp();

-- name: state
-- The last decision, if the session that made it is still there.
SELECT t.state, t.at FROM hyperferry.throttle t JOIN pg_stat_activity a ON a.pid = t.pid
WHERE t.rollout_id = %(id)s AND a.application_name = 'hyperferry throttle' AND a.datname = current_database();
