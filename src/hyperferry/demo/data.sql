-- The demo's table, as an application would have made it, and its rows.

-- name: create_table
-- The table before anything is in it; its key and indexes come after the rows, which is quicker.
CREATE TABLE public.player_stats (
    id bigserial NOT NULL,
    player_id integer NOT NULL,
    game_id integer NOT NULL,
    stat_type text NOT NULL,
    value numeric NOT NULL,
    game_date timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- name: generate
-- So many rows, the same for the same seed: 25 statistics of 28 players in each match, ten matches a week, 38 weeks a season.
INSERT INTO public.player_stats (id, player_id, game_id, stat_type, value, game_date, created_at)
SELECT i,
       1000 + 28 * (game %% 10) + place / 25,
       1 + game,
       (ARRAY['minutes', 'goals', 'assists', 'clean_sheets', 'goals_conceded', 'own_goals', 'penalties_saved',
              'penalties_missed', 'yellow_cards', 'red_cards', 'saves', 'bonus', 'rating', 'influence', 'creativity',
              'threat', 'ict_index', 'passes', 'tackles', 'shots', 'crosses', 'dribbles', 'duels_won', 'touches',
              'distance'])[1 + place %% 25],
       round((hash %% 1000)::numeric / 10, (hash %% 3)::integer),
       kick_off,
       kick_off + interval '2 hours'
FROM (
    SELECT i,
           ((i - 1) / 700)::integer AS game,
           ((i - 1) %% 700)::integer AS place,
           hashint8extended(i, %(seed)s) & 2147483647 AS hash,
           timestamptz '2015-08-08 11:30:00+00'
               + ((i - 1) / 700 / 380) * interval '364 days'
               + ((i - 1) / 700 %% 380 / 10) * interval '7 days'
               + ((i - 1) / 700 %% 10 / 8) * interval '1 day'
               + ((i - 1) / 700 %% 4) * interval '150 minutes' AS kick_off
    FROM generate_series(1, %(rows)s::bigint) AS i
) AS numbered;

-- name: sequence
-- The sequence goes on after the rows that are there.
SELECT setval('public.player_stats_id_seq', (SELECT max(id) FROM public.player_stats));

-- name: primary_key
-- The key that the application knows.
ALTER TABLE public.player_stats ADD PRIMARY KEY (id);

-- name: index_time
-- For the list of the last matches.
CREATE INDEX player_stats_game_date_idx ON public.player_stats (game_date DESC);

-- name: index_player
-- For the page of one player.
CREATE INDEX player_stats_player_idx ON public.player_stats (player_id, stat_type) INCLUDE (value);

-- name: view
-- What the application's front page reads.
CREATE VIEW public.player_totals AS
SELECT player_id, stat_type, count(*) AS entries, sum(value) AS total
FROM public.player_stats
GROUP BY player_id, stat_type;

-- name: comment
-- A comment, which is to survive as well.
COMMENT ON TABLE public.player_stats IS 'One row for each player, match and statistic';

-- name: analyze
-- Statistics, as a table in use has them.
ANALYZE public.player_stats;

-- name: facts
-- Rows, bytes, first and last match of the table.
SELECT count(*), pg_total_relation_size('public.player_stats'), min(game_date)::date::text, max(game_date)::date::text
FROM public.player_stats;
