"""Fixtures and helpers for all tests: the simulated exchange, and waiting without sleeping."""

import functools
import gc
import itertools
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import kucoin_research as kr
from kucoin_research.api import checks, registry, simulated
from kucoin_research.foundation import clocks
from tests import processes
from tests.exchanges import simulate
from tests.held_time import HeldTime

HERE = Path(__file__).parent
# Tests in these folders run in held time, except in modules with ``REAL_TIME = True`` and a reason.
HELD = (HERE / "unit", HERE / "healing")


# Tests with browsers and other clients wait with a timeout that each progress renews, so they have
# no limit in all: on a busy machine they take longer. After this many seconds, one surely hangs.
_RENEWED = [Path(__file__).parent / name for name in ("browser", "interop")]
_HANGING = 900


# In real time, waits allow at least this many seconds without progress, for busy machines.
_PATIENCE = 120.0


def pytest_collection_modifyitems(items):
    renewed = functools.cache(lambda path: any(path.is_relative_to(each) for each in _RENEWED))
    for item in items:
        if renewed(item.path):
            item.add_marker(pytest.mark.timeout(_HANGING))


def pytest_collection_finish():
    """Exclude imported modules and collected tests from garbage collection: they stay.

    Copying a simulated market makes thousands of objects that stay, too. At Python's own thresholds
    the collections meanwhile take three times as long as the copying.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def wait_until(condition, timeout=30.0, *, progress=None):
    """Wait until a condition holds; fail with a clear message if it never does.

    Parameters
    ----------
    condition
        Called until it returns something true.
    timeout
        Seconds from now, or from the last progress; in real time at least two minutes.
    progress
        Returns any value; each time it changes, the timeout starts again. So a busy machine takes
        longer and does not fail, and a test without progress still ends after the timeout.
    """
    clock = clocks.current()
    if isinstance(clock, HeldTime):  # where no machine is slow
        clock.wait_until(condition, timeout)
        return
    timeout = max(timeout, _PATIENCE)
    deadline, last = time.monotonic() + timeout, progress and progress()
    pause = threading.Event()
    while not condition():
        if progress and (now := progress()) != last:
            deadline, last = time.monotonic() + timeout, now
        assert time.monotonic() < deadline, _too_late(timeout, progress, last)
        pause.wait(0.01)


def _too_late(timeout, progress, last):
    if progress is None:
        return f"did not come true within {timeout} s"
    return f"did not come true, and nothing moved for {timeout} s; at last {last!r}"


def spawn(target, *arguments):
    """Start a thread that runs by the same clock as the test."""
    thread = clocks.current().thread(lambda: target(*arguments), "of the test")
    thread.start()
    return thread


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """Note the processes that a fixture starts, for the reports of all tests that use it."""
    with processes.belonging_to(request.node, fixturedef.argname):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Show the processes of a failed test, and escape invalid Unicode in reports.

    Some tests log names that are no valid Unicode, and pytest-xdist sends reports as UTF-8.
    """
    report = yield
    if report.failed:
        report.sections += processes.sections_of(item)
    if report.when == "teardown":
        processes.forget_after(item)
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True, scope="session")
def _interrupts_arrive():
    """Restore Ctrl-C, which is ignored here and in child processes if tests run in background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def held_time(request):
    """Run the module's tests in held time, unless it is excepted."""
    is_real = getattr(request.module, "REAL_TIME", False)
    if is_real or not any(request.path.is_relative_to(folder) for folder in HELD):
        yield None
        return
    with HeldTime() as time_of_module:
        yield time_of_module
        registry.close_all()  # the demo exchange lives as long as the process, which time does not
        for each in (registry, checks, simulated):
            each.forget()


@pytest.fixture(autouse=True)
def _jitter_of_its_own(held_time):
    """Seed the jitter, so that back-off does not depend on earlier tests of the same worker."""
    if held_time is not None:
        held_time.random.seed(1)


@pytest.fixture
def real_time(held_time):
    """Run one test of a held-time module in the machine's time."""
    with clocks.use(clocks.Clock()):
        yield


@pytest.fixture
def real_exchange(real_time):
    """A simulated exchange in the machine's time, for child processes."""
    with simulate(seed=7, speed=30.0) as running:
        yield running


_places = itertools.count()


@pytest.fixture
def tmp_path(tmp_path_factory, request):
    """Make a folder for the test, as pytest does.

    Pytest finds a free name by listing the folders of all tests before, which takes milliseconds
    after some thousands of them.
    """
    name = re.sub(r"\W", "_", request.node.name)[:30]
    path = tmp_path_factory.getbasetemp() / f"{name}-{next(_places)}"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    """Keep tests from the developer's keys, venue and `.env`, and from writing to the checkout."""
    for name in (
        "KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE", "KUCOIN_API_KEY_VERSION",
        "KUCOIN_RESEARCH_VENUE", "KUCOIN_RESEARCH_REDRAWS", "KUCOIN_FUTURES_URL",
        "KUCOIN_SPOT_URL", "KUCOIN_FUTURES_PUSH_URL", "KUCOIN_SPOT_PUSH_URL",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _no_stream_left_running():
    yield
    left = kr.running()
    for stream in left:
        stream.stop()
    assert not left, f"the test left streams running: {left}"


@pytest.fixture(autouse=True, scope="module")
def _no_figure_left_live():
    """Fail if a module leaves a figure that would be refreshed for the rest of the process."""
    yield
    refresh = sys.modules.get("kucoin_research.figures.refresh")
    left = [] if refresh is None else refresh.refresher().wanted
    for ticket in left:
        ticket.cancel()
    assert not left, f"the module left {len(left)} figures open"


@pytest.fixture(scope="module")
def exchange(held_time):
    """A simulated exchange at thirty times real time, shared by a test module."""
    with simulate(seed=7, speed=30.0) as running:
        yield running
