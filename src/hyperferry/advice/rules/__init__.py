"""One recommendation, or one kind of warning, a file: `check(case)` yields what it has to say. See the README of the room."""
