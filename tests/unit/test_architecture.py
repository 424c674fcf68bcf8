"""Data flows one way: a module imports only modules of a lower rank."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "kucoin_research"

RANKS = {
    "clocks": -2, "forking": -2, "errors": -1, "bounds": -1,
    "dialing": 0, "early": 0, "typed_json": 0, "intervals": 0, "hidden": 0,
    "records": 1, "units": 1, "credentials": 1, "sim": 1, "beats": 1, "outlets": 1,
    "interrupts": 1, "given": 1, "regular": 1, "network": 1, "loose_json": 1,
    "instruments": 2, "topics": 2, "progress": 2, "ring": 2, "wire": 2, "venues": 2,
    "account": 2, "signing": 2, "orderbook": 2, "integrity": 2, "tables": 2, "backfill": 2,
    "rowcsv": 2, "packing": 2, "archive": 2, "bookrows": 3, "pacing": 1, "collector": 1,
    "damage": 2, "moments": 2, "transport": 2, "quotas": 1,
    "decode": 3, "rest": 3, "report": 3, "analytics": 3, "listings": 3, "manifest": 3,
    "protocol": 4, "universe": 4, "decode_pro": 4, "overlap": 4, "checkup": 4,
    "reckoning": 4, "timekeeping": 4, "sequences": 2, "rowfiles": 4, "sessionfolder": 4,
    "lines": 4,
    "intake": 5, "live": 5, "feeds": 5, "recorder": 5, "sessions": 5,
    "errands": 6, "lanes": 6, "foreign": 6, "timeline": 6, "diagnosis": 6, "shelf": 6,
    "stream": 7,
    "collect": 8, "stage": 7, "tape": 7, "replay": 8,
    "figures": 9, "recordings": 9, "serving": 9,
    "api": 10, "dashboards": 11, "classic": 11, "cli": 11, "__init__": 12, "__main__": 12,
}  # fmt: skip

# Folders, whose files may import one another, but not in circles.
PACKAGES = {"sim", "figures", "dashboards"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@cache
def parsed(path):
    return ast.parse(path.read_text())


@cache
def imports(path):
    """Name every module of an import, also inside functions."""
    return list(_imports(path))


def _imports(path):
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            if node.module == "kucoin_research":
                yield from (f"kucoin_research.{alias.name}" for alias in node.names)
            else:
                yield node.module


def own(path):
    for module in imports(path):
        if module.startswith("kucoin_research."):
            yield module.split(".")[1]


def test_the_simulated_exchange_shares_nothing_with_the_client_but_errors():
    for path in (PACKAGE / "sim").glob("*.py"):
        assert set(own(path)) <= {"errors", "sim"}, path


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("websocket", {"live"}),
        ("requests", {"network", "transport"}),
        ("urllib3", {"network", "transport"}),
        ("tornado", {"sim"}),
        ("dotenv", {"credentials"}),
    ],
)
def test_a_library_is_imported_in_one_place(library, allowed):
    users = {
        name_of(path)
        for path in MODULES
        if any(module.split(".")[0] == library for module in imports(path))
    }

    assert users == allowed


def test_no_file_imports_itself_by_way_of_others_not_even_for_types():
    files = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in MODULES}
    edges = {
        name: {
            found
            for module in imports(path)
            for found in (module, f"{module}.__init__")
            if found in files
        }
        for name, path in files.items()
    }

    def above(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in seen:
            for imported in edges[name]:
                above(imported, [*path, name])
            seen.add(name)

    seen = set()
    for name in edges:
        above(name, [])
    assert seen == set(files)


def test_only_a_few_modules_start_threads():
    makes_one = re.compile(r"threading\.Thread\(|(clock|machine)\.thread\(")
    starters = {name_of(path) for path in MODULES if makes_one.search(path.read_text())}

    # An outlet and a lane make threads, and the stream starts them; figures have one for all. Names
    # are looked up by threads, since nothing else lets go of a name server that is dead.
    assert starters <= {
        "clocks", "dialing", "stream", "outlets", "recorder", "sim", "figures", "replay",
    }  # fmt: skip


def test_the_core_imports_neither_plotly_nor_ipywidgets():
    for path in MODULES:
        if RANKS[name_of(path)] <= 7:
            tops = {module.split(".")[0] for module in imports(path)}
            assert not tops & {"plotly", "ipywidgets", "anywidget"}, path


def test_the_library_never_prints_and_never_sleeps():
    for path in MODULES:
        tree = parsed(path)
        calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert "time.sleep" not in calls, path
        # Guides print what they do, and so does what is called as theirs.
        assert name_of(path) in {"cli", "classic"} or "print" not in calls, path
