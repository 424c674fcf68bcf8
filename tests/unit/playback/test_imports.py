import subprocess
import sys
from pathlib import Path

import kucoin_research

PACKAGE = Path(kucoin_research.__file__).parent

# The package's own __init__ imports everything, so a bare module stands in for it.
ALONE = """
import sys
import types

package = types.ModuleType("kucoin_research")
package.__path__ = [sys.argv[1]]
sys.modules["kucoin_research"] = package

import kucoin_research.playback.replay

print(*sys.modules, sep="\\n")
"""
NETWORKING = (
    "kucoin_research.exchange",
    "kucoin_research.sim",
    "kucoin_research.streaming",
    "requests",
    "urllib3",
    "websocket",
    "tornado",
)


def test_a_replay_reaches_no_networking_by_import():
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(PACKAGE)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )

    loaded = done.stdout.split()
    assert "kucoin_research.playback.replay" in loaded
    assert [name for name in loaded if name.startswith(tuple(f"{n}." for n in NETWORKING))] == []
    assert set(NETWORKING).isdisjoint(loaded)
