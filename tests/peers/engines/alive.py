"""A line of output each few seconds, for scripts that compile or compute in silence.

A test gives up on a process that prints nothing for a minute. It decodes the last line only.
"""

import contextlib
import threading

SECONDS = 5.0


@contextlib.contextmanager
def dots():
    """Print a dot on a line of its own now and then, and none once the block has ended."""
    ended = threading.Event()

    def show():
        while not ended.wait(SECONDS):
            print(".", flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
