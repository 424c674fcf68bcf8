"""Two clients trade over REST at once; what they leave agrees to the last digit."""

from tests.interop import trading_day


def test_what_two_clients_leave_agrees_everywhere(python):
    orders, refusals, complaints = trading_day.run(
        python, hours=0.06, speed=20, orders_per_minute=30
    )

    assert list(complaints) == []
    assert min(len(ids) for ids in orders.values()) > 50
    assert min(complaints.compared.values()) >= 1
    for what in ("trade on the tape", "matches of an order", "spot balance", "realised profit"):
        assert complaints.compared[what] > 0
    # A refused cancel of an order that is filled already, and the seconds of a settlement.
    assert sum(refusals.values()) < sum(len(ids) for ids in orders.values()) / 3
