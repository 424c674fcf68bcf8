#!/bin/sh
# Make sure that there is a Chromium for tests/browser: one that is there, else Debian's, else
# playwright's own. Says so and succeeds where none can be had; the tests then fail in CI and are
# skipped, loudly, elsewhere.
#   scripts/chromium.sh [python with playwright]
set -u
python=${1:-python3}

found() { "$python" -c 'import sys
from tests.browser.lab import find_chromium
sys.exit(find_chromium() is None)' 2>/dev/null; }

found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing Chromium for the browser tests"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update && apt-get install --yes --no-install-recommends chromium; } >/dev/null 2>&1
	found && exit 0
fi
timeout 300 "$python" -m playwright install chromium >/dev/null 2>&1
found || echo "no Chromium could be installed; the browser tests need one (or CHROMIUM=/path/to/it)"
