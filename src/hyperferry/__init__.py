"""hyperferry takes a live PostgreSQL table into a TimescaleDB hypertable: online, checked, and reversibly."""

__version__ = "0.1.0"
