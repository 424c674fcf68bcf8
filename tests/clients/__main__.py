"""``python -m tests.clients`` runs the clients; see harness.py."""

import sys

from tests.clients.harness import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
