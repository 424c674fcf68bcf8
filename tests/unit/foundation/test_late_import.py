"""Late imports, in processes of their own: a fork waits for them, and Ctrl-C too."""

import os
import sys

import pytest

from tests.processes import run

REAL_TIME = True  # processes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

FORK = """
import builtins, os, sys, threading
from kucoin_research.foundation.late_import import import_late

builtins.has_begun, builtins.may_end = threading.Event(), threading.Event()
importer = threading.Thread(target=import_late, args=("slow_module",))
importer.start()
has_begun.wait()
threading.Timer(0.2, may_end.set).start()

child = os.fork()  # waits for the import, whose lock nobody could release in the child
value = import_late("slow_module").VALUE
if not child:
    print("child", value, flush=True)
    os._exit(0)
os.waitpid(child, 0)  # else both might print at once
print("parent", value, flush=True)
"""

INTERRUPT = """
import sys
from kucoin_research.foundation.late_import import import_late

try:
    import_late("interrupted_module")
except KeyboardInterrupt:
    print("interrupted", sys.modules["interrupted_module"].VALUE)
"""


def test_a_fork_waits_for_a_late_import_of_another_thread(tmp_path):
    (tmp_path / "slow_module.py").write_text("has_begun.set(); may_end.wait(); VALUE = 5")

    done = run(sys.executable, "-c", FORK, PYTHONPATH=str(tmp_path), cwd=tmp_path)

    assert done.returncode == 0
    assert done.stdout.splitlines() == ["child 5", "parent 5"]


def test_an_interrupt_is_raised_when_the_module_is_whole(tmp_path):
    (tmp_path / "interrupted_module.py").write_text(
        "import os, signal; os.kill(os.getpid(), signal.SIGINT); VALUE = 5"
    )

    done = run(sys.executable, "-c", INTERRUPT, PYTHONPATH=str(tmp_path), cwd=tmp_path)

    assert (done.returncode, done.stdout.strip()) == (0, "interrupted 5")
