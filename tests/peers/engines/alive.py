"""A line of output each few seconds, for scripts that compile or compute in silence.

A test gives up on a process that prints nothing for a minute; it reads the last line only.
"""

import threading

SECONDS = 5.0


def say_alive():
    """Print a dot on a line of its own, from a thread that ends with the script."""
    threading.Thread(target=_print_dots, daemon=True).start()


def _print_dots():
    never = threading.Event()
    while not never.wait(SECONDS):
        print(".", flush=True)
