"""Child processes of tests, whose output is read while they run and shown if a test fails.

``tests/conftest.py`` adds the sections to the report. A failed test shows its own processes and
those that its fixtures have started, even if they have ended.
"""

import contextlib
import os
import shlex
import subprocess
import threading

# Seconds to wait for a process that prints nothing. Each line renews them, since a busy machine
# makes a process slower, but not silent.
PATIENCE = 60.0
SHOWN, WIDTH = 100, 300  # a report has this many last lines of each pipe, this many characters wide

_started = []


class Process:
    """A child process whose output is read as it comes, so that no pipe fills and nothing is lost.

    As a context manager, it ends the process. Any thread may call the methods.

    Parameters
    ----------
    *command
        The words of the command line.
    cwd
        The working directory.
    is_merged
        Whether to read stderr as part of stdout.
    is_read
        Whether to read stdout; if not, stdout is a pipe without a reader.
    **environment
        Environment variables in addition to those of this process; ``None`` removes one.
    """

    def __init__(self, *command, cwd=None, is_merged=False, is_read=True, **environment):
        self.command = [str(word) for word in command]
        self.owner = None  # node and name of the fixture that started it; None if the test did
        self._out, self._err = [], []
        self._taken = 0  # lines that `line` has returned
        self._is_leaving = False
        self._was_shown = False
        self._news = threading.Condition()  # guards the lines and `_open`
        variables = os.environ | environment
        abandoned = None if is_read else _abandoned_pipe()
        self._process = subprocess.Popen(
            self.command, cwd=cwd, encoding="utf-8",
            env={name: text for name, text in variables.items() if text is not None},
            errors="replace", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if is_read else abandoned,
            stderr=subprocess.STDOUT if is_merged else subprocess.PIPE,
        )  # fmt: skip
        if abandoned is not None:
            os.close(abandoned)
        pipes = [(self._process.stdout, self._out), (self._process.stderr, self._err)]
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in pipes
            if pipe is not None
        ]
        self._open = len(self._readers)
        for reader in self._readers:
            reader.start()
        _started.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __str__(self):
        return shlex.join(self.command)[:200]

    def _read(self, pipe, lines):
        with pipe:
            for line in pipe:
                with self._news:
                    lines.append(line)
                    self._news.notify_all()
                if self._is_leaving and lines is self._out:
                    break
        with self._news:
            self._open -= 1
            self._news.notify_all()

    # Its output

    @property
    def pid(self):
        """The process id."""
        return self._process.pid

    @property
    def returncode(self):
        """The exit code, or minus the signal that ended it; None while it runs."""
        return self._process.poll()

    @property
    def stdout(self):
        """Everything that it has printed so far."""
        with self._news:
            return "".join(self._out)

    @property
    def stderr(self):
        """Everything that it has printed to stderr so far."""
        with self._news:
            return "".join(self._err)

    def line(self, patience=PATIENCE):
        """Wait for the next line of stdout and return it; None at its end."""
        self._wait_until(lambda: len(self._out) > self._taken or not self._open, patience, "a line")
        with self._news:
            if len(self._out) == self._taken:
                return None
            self._taken += 1
            return self._out[self._taken - 1]

    def line_with(self, word, patience=PATIENCE):
        """Wait for the next line of stdout that contains ``word``, and return it."""
        while (line := self.line(patience)) is not None:
            if word in line:
                return line
        raise AssertionError(f"{self} ended ({self.wait()}) before a line with {word!r}")

    def wait(self, patience=PATIENCE):
        """Wait until it has ended and its output is read, and return its exit code."""
        self._wait_until(lambda: not self._open, patience, "its end")
        return self._process.wait(patience)

    def _wait_until(self, condition, patience, what):
        with self._news:
            while not condition():
                if not self._news.wait(patience):
                    raise AssertionError(
                        f"{self} printed nothing for {patience:g} s; waited for {what}"
                    )

    # Input and signals

    def tell(self, text):
        """Write one line to its stdin."""
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def send_signal(self, number):
        """Send it a signal."""
        self._process.send_signal(number)

    def terminate(self):
        """Ask it to end."""
        self._process.terminate()

    def kill(self):
        """End it without asking."""
        self._process.kill()

    def hang_up(self):
        """Close our end of its stdout after the next line."""
        self._is_leaving = True

    def close(self, patience=5.0):
        """End it: ask, wait, then kill."""
        if self.returncode is None:
            self.terminate()
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.wait(patience)
            self.kill()
            self._process.wait()
        # A reader may wait for a child of this process that is still running, and ends with it.
        for reader in self._readers:
            reader.join(patience)
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def section(self):
        """Return a heading and text for a report; an ended process shows its text only once."""
        if self.returncode is None:
            return f"process: {self} (still runs)", self._last_words()
        text = "as shown before" if self._was_shown else self._last_words()
        self._was_shown = True
        return f"process: {self} (exit code {self.returncode})", text

    def _last_words(self):
        with self._news:
            parts = [("stdout", self._out[-SHOWN:]), ("stderr", self._err[-SHOWN:])]
        texts = [f"-- {name} --\n{''.join(map(_cut, lines))}" for name, lines in parts if lines]
        return "\n".join(texts) or "it has printed nothing"


def _cut(line):
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}…\n"


def run(*command, patience=PATIENCE, **options):
    """Run a process to its end and return the `Process`."""
    with Process(*command, **options) as process:
        process.wait(patience)
    return process


# The tests that processes belong to


@contextlib.contextmanager
def belonging_to(node, fixture):
    """Note that the processes started inside belong to a fixture of a node."""
    before = len(_started)
    try:
        yield
    finally:
        for process in _started[before:]:
            process.owner = process.owner or (node, fixture)


def sections_of(item):
    """Return the sections of the processes that a test used."""
    return [process.section() for process in _started if _is_used(process, item)]


def _is_used(process, item):
    node, fixture = process.owner or (item, None)
    return node in item.listchain() and (fixture is None or fixture in item.fixturenames)


def forget_after(item):
    """Forget the processes that no later test can use."""
    lasting = item.listchain()[:-1]
    _started[:] = [each for each in _started if each.owner and each.owner[0] in lasting]


def _abandoned_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer
