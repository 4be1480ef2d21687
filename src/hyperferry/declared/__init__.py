"""The declared state of a hypertable: what the file wants, against what the database has. Pure. See README.md."""
