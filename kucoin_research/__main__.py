"""``python -m kucoin_research`` is the command line."""

import sys

from kucoin_research.cli import main

sys.exit(main())
