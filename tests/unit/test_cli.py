"""The command line, run as users run it: in its own process."""

import json
import os
import re
import signal
import subprocess
import sys

import polars as pl
import pytest
import requests

import kucoin_research as kr
from kucoin_research.records import Ticker


def run(*words, cwd, timeout=90, **environment):
    return subprocess.run(
        [sys.executable, "-m", "kucoin_research", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_save_data_writes_every_row(tmp_path):
    done = run("XBTUSDTM", "--timeout", "5", "--venue", "demo", "--save-data", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("XBTUSDTM_ticker_*.csv")
    assert re.fullmatch(r"XBTUSDTM_ticker_\d{4}-\d\d-\d\d\.csv", path.name)
    saved = pl.read_csv(path)
    assert saved.columns == list(Ticker._fields)
    assert f"{saved.height:,} rows written to {path.name}" in done.stdout
    assert saved.height > 0
    assert "NOT PROVABLE" in done.stdout


def test_the_guides_words_all_work(tmp_path, exchange):
    done = run(
        "XBTUSDTM", "--channels", "ticker", "trade", "candle", "depth", "--market", "futures",
        "--verbose", "--timeout", "1", "--save-data",
        cwd=tmp_path, KUCOIN_FUTURES_URL=exchange.futures_url, KUCOIN_SPOT_URL=exchange.spot_url,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Trade(timestamp=" in done.stdout
    assert {path.name.split("_")[1] for path in tmp_path.glob("*.csv")} == {
        "ticker", "trade", "candle", "depth",
    }  # fmt: skip


def test_a_second_run_appends_and_repeats_no_header(tmp_path, exchange):
    words = ["XBTUSDTM", "--timeout", "1", "--save-data"]
    urls = {"KUCOIN_FUTURES_URL": exchange.futures_url, "KUCOIN_SPOT_URL": exchange.spot_url}
    run(*words, cwd=tmp_path, **urls)
    (path,) = tmp_path.glob("*.csv")
    first = path.read_bytes()
    run(*words, cwd=tmp_path, **urls)

    assert path.read_bytes().startswith(first)
    assert path.read_text().count("local_timestamp") == 1
    assert pl.read_csv(path).height > first.count(b"\n") - 1


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["BTCUSDTM", "--timeout", "1"], 2, "XBTUSDTM"),
        (["XBTUSDTM", "--channels", "tick"], 2, "channel"),
        (["XBTUSDTM", "--timeout", "-1"], 2, "positive"),
        (["XBTUSDTM", "--timeout", "soon"], 2, "--timeout"),
        (["XBTUSDTM", "--venue", "moon"], 2, "no venue 'moon'"),
        ([], 2, "COMMAND"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(tmp_path, exchange, words, code, sentence):
    done = run(
        *words,
        cwd=tmp_path,
        KUCOIN_FUTURES_URL=exchange.futures_url,
        KUCOIN_SPOT_URL=exchange.spot_url,
    )

    assert done.returncode == code
    assert done.stderr.count("\n") == 1, done.stderr
    assert sentence in done.stderr


def test_no_network_is_one_line_and_exit_code_1(tmp_path):
    nowhere = "http://127.0.0.1:9"
    done = run("XBTUSDTM", cwd=tmp_path, KUCOIN_FUTURES_URL=nowhere, KUCOIN_SPOT_URL=nowhere)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "127.0.0.1:9" in done.stderr


def test_an_interrupt_saves_what_has_arrived(tmp_path, exchange):
    process = subprocess.Popen(
        [sys.executable, "-m", "kucoin_research", "XBTUSDTM", "--verbose", "--save-data"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1",
             "KUCOIN_FUTURES_URL": exchange.futures_url, "KUCOIN_SPOT_URL": exchange.spot_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with process:
        for line in process.stdout:
            if line.startswith("Ticker("):
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == 0
    (path,) = tmp_path.glob("*.csv")
    assert pl.read_csv(path).height >= 1


def test_simulate_prints_its_addresses_and_serves_until_interrupted(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "kucoin_research", "simulate", "--speed", "20"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        urls = json.loads(process.stdout.readline())
        status = requests.get(urls["spot"] + "/api/v1/status", timeout=10).json()
        frame = kr.stream_to_frame(
            "XBTUSDTM", rows=50, venue=kr.Venue(urls["futures"], urls["spot"]), progress=False
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert status["data"]["status"] == "open"
    assert frame.height == 50
    assert process.returncode == 0
    assert errors == ""


def test_symbols_lists_the_market(tmp_path, exchange):
    done = run(
        "symbols", "--market", "spot", "--active", cwd=tmp_path,
        KUCOIN_FUTURES_URL=exchange.futures_url, KUCOIN_SPOT_URL=exchange.spot_url,
    )  # fmt: skip

    assert "BTC-USDT" in done.stdout.split()


def test_demo_shows_a_thousand_rows_and_the_report(tmp_path):
    done = run("demo", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "level2" in done.stdout
    assert "COMPLETE" in done.stdout
    heights = [int(n.replace("_", "")) for n in re.findall(r"shape: \(([\d_]+), 10\)", done.stdout)]
    assert heights
    assert heights[0] >= 1_000
