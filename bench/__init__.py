"""What hyperferry costs, measured against what a user would do otherwise. `make bench`; README.md says how to read it."""
