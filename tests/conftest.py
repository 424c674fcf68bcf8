"""Shared by all tests: the simulated exchange, and waiting without sleeping."""

import signal
import threading
import time

import pytest

import kucoin_research as kr


def wait_until(condition, timeout=30.0):
    """Wait until a condition holds; fail with a clear message when it never does."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"did not come true within {timeout} s"
        pause.wait(0.01)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape what is no Unicode: tests log such names, and pytest-xdist sends reports as UTF-8."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True, scope="session")
def _interrupts_arrive():
    """Whoever starts the tests in the background may have had Ctrl-C ignored, here and below."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    """No test reads the developer's keys, venue or `.env`, or writes into the checkout."""
    for name in (
        "KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE", "KUCOIN_API_KEY_VERSION",
        "KUCOIN_RESEARCH_VENUE", "KUCOIN_FUTURES_URL", "KUCOIN_SPOT_URL",
        "KUCOIN_FUTURES_PUSH_URL", "KUCOIN_SPOT_PUSH_URL",
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


@pytest.fixture(scope="module")
def exchange():
    """A simulated exchange at thirty times real time, one per test module."""
    with kr.simulate(seed=7, speed=30.0) as running:
        yield running
