"""Statistics of players: the example application of hyperferry."""
