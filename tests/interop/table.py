"""The table that these tests end with: client × call × rows compared × ok."""

import pytest

ROWS = pytest.StashKey()
WHY_NOT = pytest.StashKey()


def render(rows):
    """Lay the table out as text, one line per client and call."""
    width = max((len(call) for _, call in rows), default=4)
    lines = [f"{'client':<14}{'call':<{width + 2}}{'rows':>7}  ok   note"]
    for (client, call), (count, is_ok, note) in sorted(rows.items()):
        ok = "yes" if is_ok else "NO"
        lines.append(f"{client:<14}{call:<{width + 2}}{count:>7}  {ok:<5}{note}".rstrip())
    compared = sum(count for count, _, note in rows.values() if not note)
    good = sum(is_ok for _, is_ok, _ in rows.values())
    lines.append(f"{good} of {len(rows)} calls agree; {compared:,} rows compared with ours")
    return lines
