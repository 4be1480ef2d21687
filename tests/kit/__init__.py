"""The test kit: tables, writers and an oracle that know nothing of hyperferry's own code."""
