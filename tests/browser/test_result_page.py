"""The page of a run's result, opened without a network."""

from __future__ import annotations

from tests.unit.strategy.runs import fill, note, whole_run

HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_saved_result_opens_offline_and_shows_texts_as_they_are(chromium, tmp_path):
    run = whole_run(
        name=HOSTILE,
        ended=f"it met {HOSTILE}",
        fills=[fill(2, tag=HOSTILE), fill(5, "sell", price=101.0)],
        notes=[note(3, HOSTILE)],
    )
    path = run.to_html(tmp_path / "run.html")
    page = chromium.new_page()
    asked, dialogs, errors = [], [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(path.as_uri())
        page.wait_for_selector(".gtitle", state="attached")
        page.wait_for_selector(".scatterlayer .point", state="attached")

        text = page.inner_text(".kr-report")
        assert text.startswith(f"✗ ENDED EARLY {HOSTILE}, 2026-01-05")
        assert "2.22 ± 3.06" in text
        assert len(page.query_selector_all(".scatterlayer .point")) == 3
        assert page.query_selector("img") is None
    finally:
        page.close()
    assert asked == [path.as_uri()]
    assert (dialogs, errors) == ([], [])
