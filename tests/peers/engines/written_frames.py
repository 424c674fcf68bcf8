"""Reads the frames that the tests have written: they come from another pandas, as arrays."""

import numpy as np
import pandas as pd


def frame_of(path):
    """Read a frame; columns of two levels have a bar between their names."""
    with np.load(path) as stored:
        names = [tuple(name.split("|")) for name in stored["names"].tolist()]
        is_plain = all(len(name) == 1 for name in names)
        columns = [name[0] for name in names] if is_plain else pd.MultiIndex.from_tuples(names)
        times = stored["index"].astype("datetime64[ns]")
        freq = str(stored["freq"]) or None
        index = pd.DatetimeIndex(times, tz="UTC", freq=freq, name="timestamp")
        return pd.DataFrame(stored["values"], index=index, columns=columns)
