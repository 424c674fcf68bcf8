"""What a notebook, a terminal and a debugger show of an error, with the variables of its frames."""

from __future__ import annotations

import io
import pprint
import traceback
from pathlib import Path
from urllib.parse import quote, quote_plus

import IPython
import rich.console
import rich.pretty
import rich.traceback
from IPython.core.ultratb import VerboseTB
from IPython.lib.pretty import pretty

# Colours take more than half of the time.
NO_COLOURS = (
    {"theme_name": "nocolor"} if IPython.version_info[0] >= 9 else {"color_scheme": "NoColor"}
)
TESTS = str(Path(__file__).parents[2])


def from_ours(error):
    """Give the traceback from the first frame that is no test's: a test's may hold secrets."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(TESTS):
        trace = trace.tb_next
    return trace


def texts_of(error):
    """Show an error by every formatter, by name: those that people use, and all there is."""
    kind, trace = type(error), from_ours(error)
    shown = traceback.TracebackException(kind, error, trace, capture_locals=True)
    yield "traceback", "".join(shown.format())
    verbose = VerboseTB(include_vars=True, tb_offset=0, **NO_COLOURS)
    yield "IPython's Verbose", verbose.text(kind, error, trace)
    yield "rich", with_rich(kind, error, trace)
    yield "chain", "".join(everything(error))
    yield "error", repr(error) + str(error) + repr(error.args) + repr(vars(error))


def with_rich(kind, error, trace):
    made = rich.traceback.Traceback.from_exception(
        kind, error, trace, show_locals=True, width=2_000, max_frames=1_000,
        locals_max_length=None, locals_max_string=None,
        locals_hide_dunder=False, locals_hide_sunder=False,
    )  # fmt: skip
    # Without the source, which takes nearly all of the time.
    for stack in made.trace.stacks:
        for frame in stack.frames:
            frame.filename = f"<{frame.filename}>"
    console = rich.console.Console(file=io.StringIO(), width=2_000)
    console.print(made)
    return console.file.getvalue()


def everything(error):
    """Show every variable of every frame of the whole chain, also of what is suppressed."""
    seen, left = set(), [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        left += [each.__cause__, each.__context__]
        yield f"{each!r} {each}"
        for frame, _ in traceback.walk_tb(from_ours(each)):
            for name, value in frame.f_locals.items():
                yield f"\n{frame.f_code.co_name} {name} "
                yield repr(value) + pretty(value) + rich.pretty.pretty_repr(value, max_depth=5)


def dumps_of(value):
    """Show one value by every printer, alone, within others, and its state."""
    for each in (value, [value], {"it": value}, getattr(value, "__dict__", None)):
        yield repr(each)
        yield f"{each}"
        yield pprint.pformat(each)
        yield pretty(each)
        yield rich.pretty.pretty_repr(each)


def spellings(secret):
    """Give a secret as it is, and as addresses write it."""
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}


def leaks(error, secrets):
    """Name what is shown where it must not be."""
    return [
        (name, what)
        for name, text in texts_of(error)
        for what, secret in secrets.items()
        if any(each in text for each in spellings(secret))
    ]
