"""The steps in order. See README.md."""
