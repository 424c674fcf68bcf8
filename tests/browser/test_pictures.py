"""What a failing browser test leaves behind."""

from tests.browser import pictures


def test_a_failed_test_keeps_a_picture_of_each_page_the_consoles_errors_and_the_outputs(
    page, tmp_path, monkeypatch
):
    monkeypatch.setenv("SCREENSHOTS", str(tmp_path / "kept"))
    page.harmless.append("meant")
    output = "<div class=output>BOOM</div><div class=output></div>"
    page.goto(f"data:text/html,<script>console.error('meant')</script>{output}")
    page.context.new_page()

    (_, screenshots), (_, errors), (_, outputs) = pictures.sections_of(page, "test_it[a b]")

    kept = sorted((tmp_path / "kept").iterdir())
    assert [path.name for path in kept] == ["test_it-a-b-0.png", "test_it-a-b-1.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in kept)
    assert all(str(path) in screenshots for path in kept)
    assert errors == "meant"
    assert outputs == "BOOM"
