"""A fresh Python that works for a process which was forked.

Where a process that has used polars is forked, polars waits for ever in the child: the fork copies
its locks, and not the threads that would release them.
(https://docs.pola.rs/user-guide/misc/multiprocessing/)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["FreshInterpreter", "serve"]

_CODE = "import sys; sys.path[:] = {path!r}; from {module} import serve; serve({handle})"


class FreshInterpreter:
    """Calls a function in another interpreter, which is started for the first call.

    The interpreter ends with this process, however that ends. May be used from several threads; it
    does one call at a time.

    Parameters
    ----------
    function
        Of a module, which the interpreter imports. Arguments and value have to be picklable.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._lock = threading.Lock()  # one call at a time
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    def call(self, *arguments: Any) -> Any:
        """Call the function and return its value.

        Raises
        ------
        EOFError, OSError
            If the interpreter has died; the next call starts another one.
        """
        with self._lock:
            line = self._line or self._start()
            try:
                line.send((self._function, arguments))
                return line.recv()
            except (EOFError, OSError):
                self.close()
                raise

    def _start(self) -> Connection:
        ours, its = Pipe()
        code = _CODE.format(path=sys.path, module=__name__, handle=its.fileno())
        self._process = subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-c", code], pass_fds=[its.fileno()]
        )
        its.close()  # so that the line ends with the interpreter
        self._line = ours
        return ours

    def close(self) -> None:
        """End the interpreter; another call would start a new one."""
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def serve(handle: int) -> None:
    """Do calls that come over a pipe, until the process at its other end is gone."""
    # Ctrl-C in a terminal reaches all processes; this one ends when the pipe does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(handle, False)
    line = Connection(handle)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            function, arguments = line.recv()
            line.send(function(*arguments))
