"""Count words that make docstrings and comments hard to read, per 10,000 words.

``python scripts/prose.py`` prints the counts for the package, or for the files and folders that are
named; ``--show`` also prints every line with such a word.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

#: The words to avoid, and their limit per 10,000 words.
HARD = {
    "tell, told": (re.compile(r"\b(?:tells?|told|telling)\b", re.IGNORECASE), 3.0),
    "what is, was, has": (
        re.compile(r"\bwhat (?:is|are|was|were|has|have|had)\b", re.IGNORECASE),
        3.0,
    ),
    "so many": (re.compile(r"\bso many\b", re.IGNORECASE), 0.0),
}
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_CODE = re.compile(r"``[^`]*``|`[^`]*`|>>> .*|https?://\S+")


class Passage(NamedTuple):
    """A docstring or a comment, and where it is."""

    path: Path
    line: int
    text: str


class Count(NamedTuple):
    """The number of a hard word's occurrences, and the number of all words."""

    found: int
    words: int

    @property
    def rate(self) -> float:
        """Occurrences per 10,000 words."""
        return 10_000 * self.found / max(self.words, 1)


def passages(path: Path) -> Iterator[Passage]:
    """Find the docstrings and comments of a Python file, without the code in them."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                for number, line in enumerate(_plain(text).splitlines(), node.body[0].lineno):
                    yield Passage(path, number, line)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(path, token.start[0], _plain(token.string))


def _plain(text: str) -> str:
    return _CODE.sub("", text)


def files_of(names: Iterable[str]) -> list[Path]:
    """List the Python files of files and folders."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        found.extend(sorted(path.rglob("*.py")) if path.is_dir() else [path])
    return found


def count(paths: Iterable[Path]) -> dict[str, Count]:
    """Count each hard word in the prose of files."""
    texts = [passage.text for path in paths for passage in passages(path)]
    words = sum(len(_WORD.findall(text)) for text in texts)
    return {
        name: Count(sum(len(pattern.findall(text)) for text in texts), words)
        for name, (pattern, _) in HARD.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the counts; returns 1 if one is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=[str(ROOT / "kucoin_research")])
    parser.add_argument("--show", action="store_true", help="print each line that was counted")
    given = parser.parse_args(arguments)
    paths = files_of(given.paths)
    if given.show:
        for passage in (passage for path in paths for passage in passages(path)):
            if any(pattern.search(passage.text) for pattern, _ in HARD.values()):
                print(f"{passage.path}:{passage.line}: {passage.text.strip()}")
    too_many = False
    for name, made in count(paths).items():
        bound = HARD[name][1]
        too_many |= made.rate > bound
        print(f"{name:20} {made.found:5} in {made.words:,} words, {made.rate:.1f} per 10,000")
    return int(too_many)


if __name__ == "__main__":
    sys.exit(main())
