"""Data flows one way: a wing imports only what lies below it, and no two towers each other."""

import ast
import re
import subprocess
import sys
from functools import cache

import pytest

import kucoin_research as kr
from scripts.house import PACKAGE, contributing, house, imports, modules, own, room_of

ROOT = PACKAGE.parent
MODULES = modules()

#: What each room may import; `scripts/house.py` draws what it does import.
MODEL = {"errors", "foundation", "model"}
MAY_IMPORT = {
    "errors": set(),
    "foundation": {"errors"},
    "sim": {"errors"},  # it shares no code with the client, so it shares no bug with it
    "model": {"errors", "foundation"},
    "exchange": MODEL,
    "frames": MODEL,
    "sessions": MODEL | {"frames"},
    "figures": MODEL | {"frames", "sessions"},
    # Three towers side by side: none imports another, and only one of them knows a network.
    "streaming": MODEL | {"exchange", "frames", "sessions"},
    "playback": MODEL | {"frames", "sessions"},
    "strategy": MODEL | {"frames", "sessions"},
    "bridges": MODEL | {"frames", "sessions"},
    "api": MODEL | {
        "bridges", "exchange", "frames", "sessions", "streaming", "playback", "strategy", "sim",
    },
    "dashboards": MODEL | {
        "exchange", "frames", "sessions", "streaming", "playback", "strategy", "figures", "api",
    },
    "compat": MODEL | {"exchange", "frames", "sessions", "streaming", "api"},
    "cli": MODEL | {
        "exchange", "frames", "sessions", "streaming", "playback", "strategy", "sim", "api",
    },
    "__main__": {"cli"},
}  # fmt: skip

#: Folders within a wing that may not import one another, and which other folder they may.
INNER = {
    "exchange": {"": set(), "rest": {""}, "websocket": {""}},
    "sessions": {
        "files": set(),
        "writing": {"files"},
        "checks": {"files"},
        "": {"files", "writing", "checks"},
    },
    "sim": {
        "engine": set(),
        "messages": {"engine"},
        "accounts": {"engine", "messages"},
        "faults": {"engine", "messages"},
        "server": {"engine", "messages", "accounts", "faults"},
        "recorded": {"engine", "messages", "accounts", "faults", "server"},
        "": {"engine", "accounts", "faults", "server", "recorded"},
    },
}

MOST_ROOMS, MOST_FLOORS = 24, 9
MOST_METHODS, MOST_ATTRIBUTES = 40, 25


@cache
def parsed(path):
    return ast.parse(path.read_text())


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_a_wing_imports_only_what_it_may():
    rooms = {path: room_of(path) for path in MODULES}
    # The front page may show anything.
    found = {
        dotted(path): own(path) - MAY_IMPORT[room]
        for path, room in rooms.items()
        if room != "__init__"
    }

    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert set(rooms.values()) >= MAY_IMPORT.keys()


def test_what_may_be_imported_has_no_circle_either():
    allowed = dict(MAY_IMPORT)
    while free := [room for room, below in allowed.items() if not below & set(allowed)]:
        for room in free:
            del allowed[room]

    assert not allowed


def test_the_house_is_as_high_and_wide_as_a_reader_can_take_in():
    made = house()

    assert len(made.rooms) <= MOST_ROOMS
    assert max(made.floors.values()) <= MOST_FLOORS


@pytest.mark.parametrize("wing", INNER)
def test_a_folder_of_a_wing_imports_only_what_it_may(wing):
    may = INNER[wing]

    def folder_of(module):
        inner = module.split(".")[2:]
        return inner[0] if inner and inner[0] in may else ""

    def wrong(path):
        here = folder_of(dotted(path))
        found = {
            folder_of(each)
            for each in imports(path)
            if each.startswith(f"kucoin_research.{wing}.")
            and (PACKAGE.parent.joinpath(*each.split(".")).with_suffix(".py")).is_file()
        }
        return found - {here} - may[here]

    paths = [path for path in MODULES if path.is_relative_to(PACKAGE / wing)]

    assert {folder_of(dotted(path)) for path in paths} == may.keys()
    assert {dotted(path): wrong(path) for path in paths if wrong(path)} == {}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("websocket", {"exchange.websocket.connection"}),
        (
            "requests",
            {
                "exchange.certificates",
                "exchange.proxies",
                "exchange.rest.bounded_connections",
                "exchange.rest.transport",
                "exchange.rest.troubles",
            },
        ),
        (
            "urllib3",
            {
                "exchange.network",
                "exchange.rest.bounded_connections",
                "exchange.rest.transport",
                "exchange.tunnels",
            },
        ),
        ("tornado", {"sim"}),
        ("dotenv", {"exchange.credentials"}),
    ],
)
def test_a_library_is_imported_in_one_place(library, allowed):
    users = {
        dotted(path).removeprefix("kucoin_research.")
        for path in MODULES
        if any(module.split(".")[0] == library for module in imports(path))
    }

    assert {"sim" if user.startswith("sim.") else user for user in users} == allowed


def test_no_file_imports_itself_by_way_of_others_not_even_for_types():
    files = {dotted(path): path for path in MODULES}
    edges = {
        name: {module for module in imports(path) if module in files} - {name}
        for name, path in files.items()
    }
    # A package's __init__ runs before its modules; that it imports them is no circle.
    for name, path in files.items():
        if path.name != "__init__.py":
            edges[name] -= {each for each in edges[name] if name.startswith(f"{each}.")}

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


def test_no_module_imports_a_private_name_of_another():
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kucoin_"):
                private = [a.name for a in node.names if a.name.startswith("_")]
                assert not private, f"{path} imports {private}"


def test_only_a_few_modules_start_threads():
    makes_one = re.compile(r"threading\.Thread\(|(clock|machine)\.thread\(")
    starters = {
        dotted(path).removeprefix("kucoin_research.")
        for path in MODULES
        if room_of(path) != "sim" and makes_one.search(path.read_text())
    }

    # A worker makes its thread, ``StreamThreads`` makes the others; figures have one for all.
    # Functions of alerts have one, as users write them.
    # Names are looked up by threads, since nothing else lets go of a name server that is dead.
    assert starters <= {
        "api.errand", "dashboards.alert_calls", "exchange.dialing", "figures.past",
        "figures.refresh", "foundation.clocks", "playback.player", "playback.replay",
        "sessions.writing.recorder",
        "streaming.sinks", "streaming.threads",
    }  # fmt: skip


def test_the_core_imports_neither_plotly_nor_ipywidgets():
    shown = {"figures", "dashboards"}
    for path in MODULES:
        if room_of(path) not in shown:
            tops = {module.split(".")[0] for module in imports(path)}
            assert not tops & {"plotly", "ipywidgets", "anywidget"}, path


def test_importing_the_package_imports_no_exchange_and_no_plotly():
    code = "import kucoin_research, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(found.stdout.split())

    assert "kucoin_research.streaming.stream" in loaded
    assert not loaded & {"kucoin_research.sim", "tornado", "plotly", "ipywidgets", "pandas"}


def test_tab_lists_the_public_names_and_nothing_else():
    assert dir(kr) == sorted([*kr.__all__, "dashboard", "figures"])
    assert all(getattr(kr, name) is not None for name in dir(kr))


def test_what_is_imported_late_can_be_imported_by_name():
    for name in ("simulate", "SimulatedExchange", "serve", "ServedSession", "sim", "figures"):
        assert getattr(__import__("kucoin_research", fromlist=[name]), name).__name__.endswith(name)
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = kr.simulat


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in MODULES} - {PACKAGE}),
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_a_folder_says_what_lives_there(folder):
    text = ast.get_docstring(parsed(folder / "__init__.py"))

    assert text is not None
    assert len(text) > 60, "the docstring of a wing says what lives there, and what it may import"


_REASON = re.compile(r"\bbecause\b|fields are those of|one field per option")


def test_no_class_is_larger_than_a_reader_can_take_in_without_a_reason():
    large = [
        f"{dotted(path)}.{node.name}: {methods} methods, {attributes} attributes"
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
        for methods, attributes in [size_of(node)]
        if methods > MOST_METHODS or attributes > MOST_ATTRIBUTES
        if not _REASON.search(ast.get_docstring(node) or "")
    ]

    assert large == []


def size_of(node):
    """Count a class's methods and attributes: annotated, or stored in one of its methods."""
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    fields = {each.target.id for each in node.body if isinstance(each, ast.AnnAssign)}
    stored = {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
        if isinstance(each.value, ast.Name) and each.value.id == "self"
    }
    return len(methods), len(fields | stored)


def test_contributing_shows_the_drawing_and_the_map_of_now():
    text = (ROOT / "CONTRIBUTING.md").read_text()

    assert text == contributing(text, house()), "run: python scripts/house.py --write"
    assert all(f"`{path.stem}`" in text for path in MODULES if path.stem != "__init__")


def test_the_library_never_prints_and_never_sleeps():
    for path in MODULES:
        tree = parsed(path)
        calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert "time.sleep" not in calls, path
        # Guides print what they do, and so does what is called as theirs.
        assert room_of(path) in {"cli", "compat"} or "print" not in calls, path
