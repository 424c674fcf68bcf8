import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.server.settings import make_settings


@pytest.mark.parametrize("rules", ["2025", "", None, ["legacy"], 2025])
def test_unknown_margin_rules_are_refused_with_those_there_are(rules):
    with pytest.raises(InvalidInput, match=r"^no margin_rules .*; rules: 2025-05, legacy$"):
        make_settings({"margin_rules": rules})


@pytest.mark.parametrize("rules", ["2025-05", "legacy"])
def test_margin_rules_are_chosen_by_name(rules):
    assert make_settings({"margin_rules": rules}).margin_rules == rules
    assert make_settings({}).margin_rules == "2025-05"
