"""What a failing browser test leaves behind."""

from tests.browser import pictures


def test_a_failed_test_keeps_a_picture_of_each_page_and_the_consoles_errors(
    page, tmp_path, monkeypatch
):
    monkeypatch.setenv("SCREENSHOTS", str(tmp_path / "kept"))
    page.harmless.append("meant")
    page.goto("data:text/html,<script>console.error('meant')</script>")
    page.context.new_page()

    (_, screenshots), (_, errors) = pictures.sections_of(page, "test_it[a b]")

    kept = sorted((tmp_path / "kept").iterdir())
    assert [path.name for path in kept] == ["test_it-a-b-0.png", "test_it-a-b-1.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in kept)
    assert all(str(path) in screenshots for path in kept)
    assert errors == "meant"
