"""Whatever a session's folder holds, it ends in a result or in an error of ours, soon and safely.

Some in the suite, and 10,000 with ``SOAK=1``.
"""

import json
import os
import sys

import pytest

from tests.processes import Process

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="a process looks at its memory in /proc"
)

BATCH = 24
FOLDERS = 10_000 if os.environ.get("SOAK") else BATCH
MOST_SECONDS, MOST_MEGABYTES = 1.0, 200


@pytest.mark.parametrize("first", range(0, FOLDERS, BATCH))
def test_strange_folders_end_in_a_result_or_an_error_of_ours(first, tmp_path):
    end = min(FOLDERS, first + BATCH)

    told = list(outcomes(first, end, tmp_path))

    assert [seed for seed, _, _ in told] == list(range(first, end))
    assert [each for each in told if each[2]] == []


def outcomes(first, end, root):
    """Yield for each seed how its folder was spoiled, and the faults of the results."""
    while first < end:
        command = (sys.executable, "-m", "tests.unit.sessions.strange_folders", first, end, root)
        with Process(*command) as process:
            ways = None
            while (line := process.line()) is not None:
                told = json.loads(line)
                if "begins" in told:
                    seed, ways = told["seed"], told["begins"]
                    continue
                yield seed, ways, wrongs(told)
                first, ways = seed + 1, None
            if ways is not None:
                yield seed, ways, [f"the process has ended: {process.returncode}"]
                first = seed + 1
            elif first < end:
                raise AssertionError(f"the process has ended before seed {first}")


def wrongs(told):
    found = [] if told["is_safe"] else ["something outside the folder has changed"]
    for deed, cost in told["costs"].items():
        if cost["wrong"] is not None:
            found.append(f"{deed}: {cost['wrong']}")
        if cost["cpu"] > MOST_SECONDS or cost["megabytes"] > MOST_MEGABYTES:
            found.append(f"{deed}: {cost['cpu']} s, {cost['megabytes']} MB")
    return found
