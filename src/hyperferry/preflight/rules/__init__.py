"""One rule a file: `check(inspection, options)` yields what it finds. The file is named as the rule."""
