"""Records with hostile values, for what writes and reads them."""

from hypothesis import strategies as st

from kucoin_research.model.records import CHANNELS, Column, Ticker, columns_of

DAY = 86_400 * 10**9
NOON = 1_708_950_436_957_000_000  # 2024-02-26 12:27:16.957 UTC

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "null",
        "None",
        "NaN",
        "é",
        "币安人生",
        "\ufeff",
        "a\x00b",
        "'",
    ]
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [-0.0, 5e-324, 1.7976931348623157e308, 1e-7, 1e16, 0.1 + 0.2, 123456789012345680.0]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    Column.TIME: st.none() | st.integers(-(2**62), 2**62),
    Column.INTEGER: st.none() | INTEGERS,
    Column.NUMBER: st.none() | FLOATS,
    Column.NUMBERS: st.lists(FLOATS, max_size=4).map(tuple),
    Column.SIDE: st.sampled_from([None, "buy", "sell"]),
    Column.FLAG: st.sampled_from([None, True, False]),
    Column.LABEL: st.none() | TEXTS,
    Column.TEXT: st.none() | TEXTS,
}


def records(channel):
    """Draw lists of a channel's records; all that vary in size, none without an arrival."""
    record = CHANNELS[channel]
    columns = [
        st.integers(0, 2**62) if name == "local_timestamp" else VALUES[kind]
        for name, kind in columns_of(record).items()
    ]
    return st.lists(st.builds(record, *columns), min_size=1, max_size=6)


def plain(frame):
    """Give a frame's rows as the records' own values, floats so that their bits show."""
    physical = frame.with_columns(
        frame[name].to_physical() for name, dtype in frame.schema.items() if dtype.is_temporal()
    )
    return [tuple(map(_shown, row)) for row in physical.rows()]


def shown(rows):
    return [tuple(map(_shown, row)) for row in rows]


def _shown(value):
    if isinstance(value, float):
        return value.hex()
    return tuple(map(_shown, value)) if isinstance(value, list | tuple) else value


def ticker(number, symbol="XBTUSDTM", **values):
    price = 80_000.5 + number
    row = Ticker(
        NOON + number, NOON + number + 7, symbol, 1_000 + number, price, 3.0, "buy", price - 0.1,
        5.0, price + 0.1, 7.0,
    )  # fmt: skip
    return row._replace(**values)
