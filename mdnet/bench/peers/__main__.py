"""`python -m peers NAME`: answer the requests of a benchmark on the standard input, as the peer of that name."""

import sys

from .pipe import serve

serve(sys.argv[1])
