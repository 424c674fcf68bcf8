"""The last word: every call that was to be compared stands in the table of the summary."""

from tests.interop.table import ROWS


def test_the_table_misses_no_row(python, request):
    expected = {
        (item.callspec.params["client"], item.callspec.params["call"])
        for item in request.session.items
        if "row" in getattr(item, "fixturenames", ()) and hasattr(item, "callspec")
    }

    assert set(request.config.stash[ROWS]) == expected
