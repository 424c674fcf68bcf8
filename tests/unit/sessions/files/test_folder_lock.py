import os
import signal
import sys

import pytest

from kucoin_research.sessions.files.folder_lock import FolderLock, is_being_recorded
from tests.processes import Process


def test_a_lock_is_seen_and_refused_to_others_until_it_is_released(tmp_path):
    lock = FolderLock(tmp_path)

    assert is_being_recorded(tmp_path)
    with pytest.raises(BlockingIOError, match="being recorded"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    assert not is_being_recorded(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no shared locks")
def test_who_only_looks_is_not_taken_for_a_recorder_by_another_who_looks(tmp_path):
    import fcntl

    mark = tmp_path / ".recording"
    mark.touch()  # of a recorder that was killed
    with mark.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)

        assert not is_being_recorded(tmp_path)


def test_a_forked_child_does_not_hold_the_lock_of_a_parent_that_is_gone(tmp_path):
    # The child outlives the parent, as a worker of a pool may, until it is ended.
    script = """
import os, sys
from pathlib import Path
from kucoin_research.sessions.files.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
if os.fork() == 0:
    lock.release()  # which is none of its business
    print(os.getpid(), flush=True)
    os.close(1), os.close(2)
    sys.stdin.readline()
    os._exit(0)
sys.stdin.readline()
os._exit(0)
"""
    with Process(sys.executable, "-c", script, tmp_path) as parent:
        child = int(parent.line())
        assert is_being_recorded(tmp_path)
        assert (tmp_path / ".recording").exists()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        try:
            os.kill(child, 0)  # it lives
            assert not is_being_recorded(tmp_path)
            FolderLock(tmp_path).release()
        finally:
            os.kill(child, signal.SIGKILL)
