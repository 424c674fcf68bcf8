"""Draw the layout of the package as a house: its rooms, and the floor of each by its imports.

``python scripts/house.py`` prints the drawing and a line of figures, and fails if imports go in a
circle; ``--map`` prints the purpose of each module, ``--write`` puts both into CONTRIBUTING.md.

A room is a file or a folder directly in ``kucoin_research/``. Its floor is one above the highest
room that it imports; imports for the type checker count.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "kucoin_research"
_FRONT = "__init__"


class House(NamedTuple):
    """The rooms, the arrows between them (who imports whom), and each one's floor."""

    rooms: list[str]
    arrows: dict[str, set[str]]
    floors: dict[str, int]


def modules() -> list[Path]:
    """List the files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room that a file is in: itself, or its folder within the package."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def imports(path: Path) -> frozenset[str]:
    """Return every module of an import in a file, also inside functions."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module
            # `from kucoin_research.foundation import clocks` imports a module, too.
            yield from (name for alias in node.names if _is_ours(name := f"{module}.{alias.name}"))


def _is_ours(module: str) -> bool:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return module.startswith("kucoin_research.") and (
        path.is_dir() or path.with_suffix(".py").is_file()
    )


def own(path: Path) -> set[str]:
    """Return the rooms that a file imports, other than its own."""
    found = {each.split(".")[1] for each in imports(path) if each.startswith("kucoin_research.")}
    return found - {room_of(path)}


def house() -> House:
    """Read the layout from the imports.

    Raises
    ------
    graphlib.CycleError
        If rooms import each other in a circle.
    """
    arrows: dict[str, set[str]] = {}
    for path in modules():
        arrows.setdefault(room_of(path), set()).update(own(path))
    floors: dict[str, int] = {}
    for room in TopologicalSorter(arrows).static_order():
        floors[room] = 1 + max((floors[each] for each in arrows[room]), default=0)
    return House(sorted(arrows), arrows, floors)


def drawing(made: House) -> str:
    """Draw the floors, the highest first; a room imports only rooms of floors below its own."""
    text = []
    for floor in range(max(made.floors.values()), 0, -1):
        rooms = [room for room in made.rooms if made.floors[room] == floor]
        text.append(f"{floor}   " + "   ".join(rooms))
    return "\n".join(text)


def code_map(made: House) -> str:
    """List every module with the first line of its docstring, wing by wing from the ground up."""
    text: list[str] = []
    by_floor = sorted(made.rooms, key=lambda room: (made.floors[room], room))
    files = [room for room in by_floor if not (PACKAGE / room).is_dir()]
    text.append("\n".join(_entry(PACKAGE / f"{room}.py") for room in files))
    text.extend(_wing(PACKAGE / room) for room in by_floor if room not in files)
    return "\n\n".join(text)


def _wing(folder: Path) -> str:
    name = folder.relative_to(PACKAGE)
    lines = [f"**{name}/** {_purpose(folder / '__init__.py')}", ""]
    lines.extend(_entry(path) for path in sorted(folder.glob("*.py")) if path.stem != _FRONT)
    inner = [_wing(path) for path in sorted(folder.iterdir()) if (path / "__init__.py").is_file()]
    return "\n\n".join(["\n".join(lines).rstrip(), *inner])


def _entry(path: Path) -> str:
    return f"- `{path.stem}` {_purpose(path)}"


def _purpose(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text()))
    if text is None:  # of __main__
        return "Runs the command line."
    return " ".join(text.split("\n\n")[0].split())


def figures(made: House) -> str:
    """Count rooms, floors and arrows."""
    arrows = sum(len(each) for each in made.arrows.values())
    return f"{len(made.rooms)} rooms on {max(made.floors.values())} floors, {arrows} arrows"


def contributing(text: str, made: House) -> str:
    """Return the text of CONTRIBUTING.md with the current drawing and map."""
    text = _between(text, "drawing", f"```\n{drawing(made)}\n```")
    return _between(text, "map", code_map(made))


def _between(text: str, mark: str, content: str) -> str:
    head, _, rest = text.partition(f"<!-- {mark} -->\n")
    _, _, tail = rest.partition(f"<!-- end of {mark} -->\n")
    return f"{head}<!-- {mark} -->\n{content}\n<!-- end of {mark} -->\n{tail}"


def main(arguments: list[str] | None = None) -> int:
    """Print the drawing; returns 1 if rooms import each other in a circle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--map", action="store_true", help="print what each module is for")
    parser.add_argument("--write", action="store_true", help="put both into CONTRIBUTING.md")
    given = parser.parse_args(arguments)
    try:
        made = house()
    except CycleError as error:
        print("in a circle:", " -> ".join(error.args[1]))
        return 1
    if given.write:
        path = PACKAGE.parent / "CONTRIBUTING.md"
        path.write_text(contributing(path.read_text(), made))
    print(code_map(made) if given.map else drawing(made))
    print(f"{figures(made)}; none goes up, none in a circle")
    return 0


if __name__ == "__main__":
    sys.exit(main())
