-- name: tables
-- What no trigger tells of two tables: the plain one's file (a rewrite, a loss by crash while it was UNLOGGED), and the row versions of both
-- ones' columns, which ALTER ... TYPE changes even where type, name and default are afterwards what they were.
(SELECT pg_catalog.concat_ws(' ', pg_catalog.pg_relation_filenode({plain}), pg_catalog.md5(pg_catalog.string_agg(
            pg_catalog.concat_ws(':', a.attrelid::pg_catalog.int8, a.attnum, a.xmin), ',' ORDER BY a.attrelid, a.attnum)))
 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid IN ({plain}, {hypertable}) AND a.attnum > 0 AND NOT a.attisdropped);

-- name: child
-- Whether the table has a child, whose rows are seen through it, and whose writers fire triggers of the child alone.
EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = {oid});

-- name: subscription
-- Whether a subscription writes into the table or into a child of it: that fires no trigger by statement, nor any that is not ALWAYS.
EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s WHERE s.srrelid = {oid} OR EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = s.srrelid AND i.inhparent = {oid}));
