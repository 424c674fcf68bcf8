"""The doctor: each check ok, or with the line that mends it; no secret shown."""

from __future__ import annotations

import json
import socket

import pytest

import kucoin_research as kr
from kucoin_research import cli
from kucoin_research.api import doctor
from kucoin_research.api.doctor import Check, Diagnosis, Severity
from kucoin_research.exchange.rest.client import ClockOffset


def names(diagnosis, health):
    return [check.name for check in diagnosis.checks if check.health is health]


def test_the_simulated_exchange_is_found_in_order(exchange):
    diagnosis = kr.doctor(exchange.venue, credentials=exchange.credentials)

    for market in ("futures", "spot"):
        assert diagnosis[f"simulated {market} REST"].health is Severity.OK
        assert diagnosis[f"simulated {market} WebSocket"].detail.startswith("welcomes in ")
        assert diagnosis[f"simulated {market} key"].detail == "accepted"
    assert diagnosis["Python"].health is Severity.OK
    assert diagnosis["packages"].detail.startswith("polars ")
    assert diagnosis["disk"].health is Severity.OK


def test_a_refused_key_is_told_with_its_remedy_and_never_shown(exchange):
    wrong = kr.Credentials("alien-key", "alien-secret", "alien-pass")

    diagnosis = kr.doctor(exchange.venue, credentials=wrong)

    check = diagnosis["simulated futures key"]
    assert check.health is Severity.BAD
    assert check.fix
    for text in (str(diagnosis), diagnosis._repr_html_(), repr(diagnosis)):
        assert "alien" not in text


def test_without_credentials_that_is_a_note_and_no_login_is_tried(exchange):
    before = len(exchange.requests)
    diagnosis = kr.doctor(exchange.venue)

    assert diagnosis["credentials"].health is Severity.NOTE
    assert "kucoin-research init" in diagnosis["credentials"].fix
    assert not any("private" in path for _, path in exchange.requests[before:])


def test_an_unreachable_venue_is_told_once_per_market_and_soon():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nowhere = kr.Venue(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}", "nowhere")

    diagnosis = kr.doctor(nowhere)

    assert {"nowhere futures REST", "nowhere spot REST"} <= set(names(diagnosis, Severity.BAD))
    assert not any("WebSocket" in check.name for check in diagnosis.checks)
    assert not diagnosis.is_ok
    assert "need mending" in str(diagnosis)


@pytest.mark.parametrize(
    ("offset", "health"), [(0.2, Severity.OK), (2.0, Severity.NOTE), (-30.0, Severity.BAD)]
)
def test_a_clock_that_is_off_is_told(offset, health):
    class Clock:
        venue = kr.LIVE

        def clock_offset(self, _market):
            return ClockOffset(int(offset * 1e9), 1_000_000)

    found, detail, fix = doctor._clock(Clock(), "futures")

    assert found is health
    assert f"{-offset:+.2f} s off" in detail
    assert bool(fix) == (health is not Severity.OK)


@pytest.mark.parametrize("offset", [1.3, -3e7])
def test_the_clock_of_an_exchange_on_this_machine_may_differ(offset):
    class Clock:
        venue = kr.Venue("http://127.0.0.1:1", "http://127.0.0.1:2")

        def clock_offset(self, _market):
            return ClockOffset(int(offset * 1e9), 1_000_000)

    found, detail, fix = doctor._clock(Clock(), "futures")

    assert (found, fix) == (Severity.OK, "")
    assert "its clock is its own" in detail


def test_limits_are_read_from_jupyters_own_files(monkeypatch, tmp_path):
    settings = {"ServerApp": {"iopub_msg_rate_limit": 50}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(settings))
    monkeypatch.setattr(doctor, "_jupyter_paths", lambda _: [str(tmp_path)])

    few, enough = doctor._limits()

    assert few.health is Severity.BAD
    assert few.fix == "jupyter lab --ServerApp.iopub_msg_rate_limit=1000"
    assert enough.health is Severity.OK
    assert "the default" in enough.detail


def test_a_missing_half_in_the_browser_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_jupyter_paths", lambda _: [str(tmp_path)])

    check = doctor._extension("ipywidgets", "8.1.9")

    assert check.health is Severity.BAD
    assert "pip install --force-reinstall ipywidgets" in check.fix


def test_an_absent_package_is_told_with_how_to_get_it(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "plotly" else "99.0")
    monkeypatch.setattr(doctor, "_extension", lambda name, found: Check(name, Severity.OK, found))

    found = {check.name: check for check in doctor._notebook()}

    assert found["plotly"].health is Severity.BAD
    assert found["plotly"].fix.startswith("pip install 'plotly>=")


def test_the_command_line_says_by_its_exit_code_whether_all_is_well(exchange, capsys, monkeypatch):
    monkeypatch.setattr(
        cli.doctor,
        "doctor",
        lambda _venue: Diagnosis((Check("disk", Severity.BAD, "full", "free it"),)),
    )

    assert cli.main(["doctor"]) == 1
    assert "→ free it" in capsys.readouterr().out
