"""Strategies in Python files, named as ``FILE.py:name``."""

from __future__ import annotations

import difflib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from kucoin_research.errors import InvalidInput
from kucoin_research.strategy.options import Strategy, check_strategy

__all__ = ["load_strategy"]


def load_strategy(named: str) -> Strategy:
    """Import a file and take a strategy from it.

    Parameters
    ----------
    named
        ``FILE.py:name``; a class is called without arguments to make one.

    Raises
    ------
    InvalidInput
        If there is no such file or name, the file cannot be imported, or it is no function.
    """
    path, colon, name = named.rpartition(":")
    if not colon or not name.isidentifier():
        raise InvalidInput(f"name a strategy as FILE.py:function, not {named!r}")
    module = _imported(Path(path).expanduser())
    found: Any = getattr(module, name, None)
    if found is None:
        names = [each for each, value in vars(module).items() if _is_own(value, module)]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(names) or 'nothing'}"
        raise InvalidInput(f"{path} has no {name!r}; {hint}")
    strategy: Strategy = found() if isinstance(found, type) else found
    check_strategy(strategy, "backtest")
    return strategy


def _imported(path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidInput(f"no file {path}")
    name = f"_strategy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Known by name, so that its classes can be pickled; and its neighbours can be imported.
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f" (line {where.lineno} of {Path(where.filename).name})"
        # A syntax error names its own line.
        place = "" if isinstance(error, SyntaxError) else place
        raise InvalidInput(
            f"{path} cannot be imported: {type(error).__name__}: {error}{place}"
        ) from error
    finally:
        sys.path.pop(0)
    return module


def _is_own(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__
