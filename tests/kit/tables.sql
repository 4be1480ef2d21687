-- Tables of the kit: statements by name, `{name}` for what tables.py puts in.

-- name: player_stats
CREATE TABLE {table} (
    id bigserial PRIMARY KEY,
    player_id integer NOT NULL,
    game_id integer NOT NULL,
    stat_type text NOT NULL,
    value numeric(10, 2) NOT NULL,
    game_date timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- name: player_stats_rows
-- hashint4extended instead of random(): the same rows on every server, whatever the plan.
INSERT INTO {table} (player_id, game_id, stat_type, value, game_date, created_at)
SELECT 20200000 + abs(hashint4extended(n, {seed})) % 700, 2000 + n / 300,
       (ARRAY['minutes', 'goals_scored', 'assists', 'bps', 'saves'])[1 + n % 5],
       (abs(hashint4extended(n, {seed} + 1)) % 9000)::numeric / 100,
       timestamptz '2020-08-01 15:00+00' + (n::float8 / {rows} * {days}) * interval '1 day',
       timestamptz '2020-08-01 20:00+00' + n * interval '1 millisecond'
FROM generate_series(1, {rows}) AS n;

-- name: player_stats_indexes
CREATE INDEX ON {table} (game_date);
CREATE INDEX ON {table} (player_id, stat_type);
ANALYZE {table};

-- name: rich
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TYPE {schema}.phase AS ENUM ('group', 'final');
CREATE TYPE {schema}.place AS (stadium text, seat numeric);
CREATE DOMAIN {schema}.score AS numeric CHECK (VALUE > -1000);
CREATE TABLE {schema}.samples (
    id bigint PRIMARY KEY, at timestamptz NOT NULL,
    free numeric, money numeric(12, 4), small smallint, big bigint, f4 real, f8 double precision,
    flag boolean, txt text, vc varchar(30), padded char(8), nm name, one "char", uid uuid, bin bytea,
    d date, tm time, tmz timetz, ts timestamp, span interval,
    js json, jb jsonb, x xml, p point, b bit(5), vb bit varying, ip inet, net cidr, mac macaddr,
    nums numeric[], words text[], times timestamptz[], r int4range, nr numrange, tr tstzrange, mr int4multirange,
    phase {schema}.phase, place {schema}.place, places {schema}.place[], score {schema}.score, tsv tsvector,
    doubled numeric GENERATED ALWAYS AS (free * 2) STORED
);
CREATE INDEX ON {schema}.samples (at);

-- name: rich_rows
INSERT INTO {schema}.samples
SELECT n, timestamptz '2024-01-01' + n * interval '5 hours',
    CASE n % 7 WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN 1.0 WHEN 3 THEN 1.00 WHEN 4 THEN -1.5 WHEN 5 THEN 'Infinity'
        ELSE n::numeric / 7 END,
    n * 1.5, n % 300, n * 4294967297,
    CASE n % 3 WHEN 0 THEN '-0'::real WHEN 1 THEN 'NaN' ELSE n / 3.0 END,
    CASE n % 4 WHEN 0 THEN 0 WHEN 1 THEN '-0'::float8 WHEN 2 THEN '-Infinity' ELSE n / 7.0 END,
    CASE n % 3 WHEN 0 THEN NULL ELSE n % 2 = 0 END,
    CASE n % 5 WHEN 0 THEN '' WHEN 1 THEN NULL ELSE 'Größe ' || n END,
    repeat('x', n % 30), 'ab' || repeat(' ', n % 3), 'n' || n, chr(65 + n % 20)::"char",
    md5(n::text)::uuid, decode(md5(n::text), 'hex'),
    date '2024-01-01' + n, time '01:02:03.456' + n * interval '1 s', timetz '01:02:03+02' + n * interval '1 s',
    CASE n % 50 WHEN 0 THEN 'infinity' ELSE timestamp '2024-01-01' END,
    CASE n % 3 WHEN 0 THEN interval '1 mon' WHEN 1 THEN interval '30 days' ELSE interval '720 hours' END,
    CASE n % 2 WHEN 0 THEN '{{"a": 1}}' ELSE '{{"a":1}}' END::json,
    CASE n % 2 WHEN 0 THEN '{{"a": 1.0}}' ELSE '{{"a": 1.00}}' END::jsonb,
    ('<r n="' || n || '"/>')::xml, point(n, -0.0), (n % 32)::bit(5), (n % 16)::bit(4)::varbit,
    ('10.0.' || n % 200 || '.1/24')::inet, ('10.' || n % 200 || '.0.0/16')::cidr, '08:00:2b:01:02:03',
    CASE n % 3 WHEN 0 THEN ARRAY[1.0, NULL] WHEN 1 THEN ARRAY[1.00, NULL] ELSE '{{}}' END,
    ARRAY['a', NULL, 'b,' || n], ARRAY[timestamptz '2024-01-01'],
    int4range(n, n + 5), numrange(1.0, n + 1), tstzrange('2024-01-01', NULL), '{{[1,3),[7,9)}}',
    (ARRAY['group', 'final'])[1 + n % 2]::{schema}.phase, ROW('A', n / 3.0)::{schema}.place,
    ARRAY[ROW('A', 1.0)::{schema}.place, NULL], n % 900, to_tsvector('simple', 'fat cat ' || n)
FROM generate_series(1, {rows}) AS n;

-- name: keyless
CREATE TABLE {table} (at timestamp NOT NULL, sensor integer, value numeric, note text);
INSERT INTO {table}
SELECT timestamp '2024-03-01' + (n / 3) * interval '20 minutes', CASE WHEN n % 11 = 0 THEN NULL ELSE n % 4 END,
       CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN 1.0 WHEN 2 THEN 1.00 ELSE n % 9 END, CASE WHEN n % 2 = 0 THEN 'x' END
FROM generate_series(1, {rows}) AS n;
INSERT INTO {table} SELECT * FROM {table} WHERE extract(minute FROM at) = 20;
CREATE INDEX ON {table} (at);

-- name: composite
CREATE TABLE {table} (
    venue text COLLATE "C", symbol numeric, seq bigint, at timestamptz NOT NULL, price real, PRIMARY KEY (venue, symbol, seq)
);
INSERT INTO {table}
SELECT 'v' || n % 3, (n % 40)::numeric / 4, n, timestamptz '2024-01-01' + n * interval '11 minutes', n / 8.0
FROM generate_series(1, {rows}) AS n;

-- name: awkward
CREATE SCHEMA {schema};
CREATE TABLE {table} ({key} bigint PRIMARY KEY, {time} timestamptz NOT NULL, {long} text, "select" integer);
INSERT INTO {table} SELECT n, timestamptz '2024-01-01' + n * interval '1 hour', 'v''' || n, n % 5
FROM generate_series(1, {rows}) AS n;
CREATE INDEX {index} ON {table} ({time});

-- name: text_keys
CREATE COLLATION IF NOT EXISTS {collation} (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE {table} (label text COLLATE {collation} PRIMARY KEY, at timestamptz NOT NULL, note text COLLATE {collation});
INSERT INTO {table}
SELECT 'Label ' || n, timestamptz '2024-01-01' + n * interval '1 hour', CASE n % 2 WHEN 0 THEN 'Note' ELSE 'note' END
FROM generate_series(1, 400) AS n;
CREATE INDEX ON {table} (at);

-- name: citext_keys
CREATE SCHEMA IF NOT EXISTS extras;
CREATE EXTENSION IF NOT EXISTS citext SCHEMA extras;
CREATE TABLE {table} (handle extras.citext PRIMARY KEY, at timestamptz NOT NULL, bio extras.citext);
INSERT INTO {table}
SELECT 'User' || n, timestamptz '2024-01-01' + n * interval '1 hour', CASE n % 2 WHEN 0 THEN 'Hi' ELSE 'hi' END
FROM generate_series(1, 400) AS n;
CREATE INDEX ON {table} (at);

-- name: integer_time
CREATE TABLE {table} (height bigint, chain integer, hash bytea, PRIMARY KEY (height, chain));
INSERT INTO {table} SELECT n / 2, n % 2, decode(md5(n::text), 'hex') FROM generate_series(0, {rows} - 1) AS n;
