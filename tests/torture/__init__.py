"""The torture harness: random tables, writers and faults, drawn from one seed; see docs/torture.md."""
