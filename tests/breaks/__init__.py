"""The invariants I0 to I9 of the design broken on purpose, one clause at a time: does a named test notice? See README.md."""
