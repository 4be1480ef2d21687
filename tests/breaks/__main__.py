"""`python -m breaks`, with tests/ on the path."""

import sys

from .runner import main

sys.exit(main())
