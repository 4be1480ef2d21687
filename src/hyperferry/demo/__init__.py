"""The whole job before your eyes, on a table made for it, under load: `story.run_demo`. See README.md.

Nothing is imported here: each writer is a process of this package, and begins within a moment.
"""
