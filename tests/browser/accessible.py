"""What axe-core finds in a part of a page."""

from axe_playwright_python.sync_playwright import Axe


def assert_accessible(page, root):
    """Ask axe-core for what it calls serious or critical within an element."""
    found = Axe().run(page, root).response["violations"]
    grave = [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not grave
