"""Answers questions by other people's engines, one after the other, in one process.

A question is a line on stdin, a JSON list: a module of this folder, and the arguments of its
``answer``. The reply is a line of JSON. What an engine compiles is compiled once for all questions.
Until a reply comes, a dot on a line of its own says now and then that something is done: a test
gives up on a process that prints nothing for a minute.
"""

import contextlib
import importlib
import json
import sys
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


def main():
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        with dots():
            reply = importlib.import_module(name).answer(*arguments)
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
