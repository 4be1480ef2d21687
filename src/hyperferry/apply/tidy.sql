-- name: parts
-- The sizes of both parts of a log with their indexes, and whether writers write to the spare one; NULL where there is no spare one. And
-- whether each is one that vacuum may truncate, as those that an older hyperferry made are.
SELECT pg_total_relation_size(to_regclass(%(log)s)), pg_total_relation_size(to_regclass(%(spare)s)),
       COALESCE((SELECT strpos(p.prosrc, %(spare)s) > 0 FROM pg_proc p WHERE p.oid = to_regprocedure(%(function)s)), false),
       (SELECT NOT 'vacuum_truncate=false' = ANY(COALESCE(c.reloptions, '{}')) FROM pg_class c WHERE c.oid = to_regclass(%(log)s)),
       (SELECT NOT 'vacuum_truncate=false' = ANY(COALESCE(c.reloptions, '{}')) FROM pg_class c WHERE c.oid = to_regclass(%(spare)s));

-- name: any_left
-- Whether a part of the log still has a row that is not applied.
SELECT EXISTS (SELECT FROM ONLY {part});

-- name: lock_part
-- Nobody may be writing to the part, nor a verification reading it with an older snapshot; nobody is waited for.
LOCK TABLE ONLY {part} IN ACCESS EXCLUSIVE MODE NOWAIT;

-- name: empty_part
-- The dead rows go with their file.
TRUNCATE ONLY {part};
