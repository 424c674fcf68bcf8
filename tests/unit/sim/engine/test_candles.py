from datetime import UTC, datetime

from kucoin_research.sim.engine.candles import MONTH_MS, WEEK_MS, candle_end, candle_open


def test_weeks_open_on_monday_and_months_on_their_first_day():
    moment = int(datetime(2026, 2, 11, 13, tzinfo=UTC).timestamp()) * 1_000

    week, month = candle_open(WEEK_MS, moment), candle_open(MONTH_MS, moment)

    assert datetime.fromtimestamp(week / 1_000, UTC) == datetime(2026, 2, 9, tzinfo=UTC)
    assert datetime.fromtimestamp(month / 1_000, UTC) == datetime(2026, 2, 1, tzinfo=UTC)
    assert candle_end(MONTH_MS, month) - month == 28 * 86_400_000
