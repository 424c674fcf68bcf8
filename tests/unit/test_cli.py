"""The command line, run as users run it: in its own process."""

import contextlib
import json
import os
import re
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import requests
import websocket

import kucoin_research as kr
from kucoin_research import cli
from kucoin_research.model.records import Ticker
from kucoin_research.sim.engine import likeness
from tests import processes
from tests.conftest import wait_until
from tests.processes import Process
from tests.unit.interrupting import interrupt_when
from tests.unit.rows import NOON, ticker
from tests.unit.sessions.test_session import recorded

# The command line runs in processes of its own.
REAL_TIME = True

SAMPLE = Path(kr.__file__).parents[1] / "data" / "sample"
COMMAND = (sys.executable, "-m", "kucoin_research")


def run(*words, cwd, **environment):
    return processes.run(*COMMAND, *words, cwd=cwd, **environment)


class Refusal(NamedTuple):
    """The exit code of a command, and the one line that it wrote to stderr."""

    code: int
    line: str


def refusal(capsys, *words):
    """Run a command that only refuses, in this process, as an interpreter takes long to begin."""
    capsys.readouterr()
    code = cli.main(list(words))
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    return Refusal(code, line)


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
        "--verbose", "--timeout", "3", "--save-data",
        cwd=tmp_path, KUCOIN_FUTURES_URL=exchange.futures_url, KUCOIN_SPOT_URL=exchange.spot_url,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "Trade(timestamp=" in done.stdout
    assert {path.name.split("_")[1] for path in tmp_path.glob("*.csv")} == {
        "ticker", "trade", "candle", "depth",
    }  # fmt: skip


def test_a_second_run_appends_and_repeats_no_header(tmp_path, exchange):
    words = ["XBTUSDTM", "--timeout", "2", "--save-data"]
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
        (["XBTUSDTM", "--timeout", "soon"], 2, "--timeout: must be a positive number"),
        (["--timeout", "nan", "XBTUSDTM"], 2, "positive"),
        (["simulate", "--spot-port", "99999"], 2, "65535"),
        (["simulate", "--speed", "0"], 2, "speed"),
        (["simulate", "--start", "soon"], 2, "soon"),
        (["simulate", "--like", "nowhere"], 1, "nowhere"),
        (["simulate", "--trader", "0"], 2, "--trader: must be a positive number"),
        (["simulate", "--inject", "explode"], 2, "no fault 'explode'"),
        (["simulate", "--inject", "drop:count=0"], 2, "count >= 1"),
        (["simulate", "--inject", "drop:color=red"], 2, "no option 'color'"),
        (["simulate", "--inject", "rebase:symbol=MOON"], 2, "MOON"),
        (["simulate", "--chaos", "x"], 2, "--chaos"),
        (["simulate", "--connection-lifetime", "0"], 2, "--connection-lifetime"),
        (["simulate", "--ping-interval", "never"], 2, "--ping-interval"),
        (["serve", "nowhere", "--speed", "0"], 2, "--speed: must be a number above 0, or max"),
        (["X:Y", "--save-data"], 2, "file name"),
        (["backtest", "nothing.py", "x"], 2, "name a strategy as FILE.py:function"),
        (["backtest", "nowhere.py:buy", "x"], 2, "no file nowhere.py"),
        (["backtest", "a.py:b", "x", "--latency", "-1"], 2, "--latency: must be seconds"),
        (["backtest", "a.py:b", "x", "--html", "nowhere/x.html"], 2, "there is no folder"),
        (["XBTUSDTM", "--venue", "moon"], 2, "no venue 'moon'"),
        ([], 2, "COMMAND"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    exchange, monkeypatch, capsys, words, code, sentence
):
    monkeypatch.setenv("KUCOIN_FUTURES_URL", exchange.futures_url)
    monkeypatch.setenv("KUCOIN_SPOT_URL", exchange.spot_url)

    assert cli.main(words) == code

    printed = capsys.readouterr().err
    assert printed.count("\n") == 1, printed
    assert sentence in printed


@pytest.mark.parametrize("words", [["BTCUSDTM", "--timeout", "1"], []])
def test_wrong_use_ends_the_process_with_one_line_and_exit_code_2(tmp_path, exchange, words):
    done = run(
        *words,
        cwd=tmp_path,
        KUCOIN_FUTURES_URL=exchange.futures_url,
        KUCOIN_SPOT_URL=exchange.spot_url,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr


def test_no_network_is_one_line_and_exit_code_1(tmp_path):
    nowhere = "http://127.0.0.1:9"
    done = run("XBTUSDTM", cwd=tmp_path, KUCOIN_FUTURES_URL=nowhere, KUCOIN_SPOT_URL=nowhere)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "127.0.0.1:9" in done.stderr


def test_init_makes_a_file_for_keys_and_leaves_the_one_there_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert cli.main(["init"]) == 0
    made = tmp_path / ".env"
    assert "KUCOIN_API_KEY=" in made.read_text()
    assert made.stat().st_mode & 0o777 == 0o600
    assert str(made) in capsys.readouterr().out

    made.write_text("KUCOIN_API_KEY=mine\n")
    assert cli.main(["init"]) == 1
    assert "left as it is" in capsys.readouterr().err
    assert made.read_text() == "KUCOIN_API_KEY=mine\n"


def test_lab_opens_jupyterlab_on_a_folder(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(cli.subprocess, "call", lambda words: called.append(words) or 0)

    assert cli.main(["lab", str(tmp_path)]) == 0
    assert called == [[sys.executable, "-m", "jupyterlab", "--notebook-dir", str(tmp_path)]]
    assert cli.main(["lab", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda _: None)
    assert cli.main(["lab"]) == 1
    assert "pip install jupyterlab" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "meant"), [("recrod", "record"), ("simulat", "simulate"), ("dotcor", "doctor")]
)
def test_a_misspelt_command_is_no_symbol(capsys, word, meant):
    assert cli.main([word, "XBTUSDTM"]) == 2
    assert capsys.readouterr().err == (
        f"kucoin-research: no command {word!r}; did you mean {meant!r}?\n"
    )


@pytest.mark.parametrize("options", [[], ["--timeout", "0"]])
def test_an_interrupt_saves_what_has_arrived(tmp_path, exchange, options):
    words = ["XBTUSDTM", "--verbose", "--save-data", *options]
    with start(words, tmp_path, exchange) as process:
        process.line_with("Ticker(")
        process.send_signal(signal.SIGINT)

        assert process.wait() == 0
    (path,) = tmp_path.glob("*.csv")
    assert pl.read_csv(path).height >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "place", ["attach", "collect", "wait_until_live", "append_lines", "finish"]
)
def test_rows_are_saved_at_whatever_step_an_interrupt_comes(
    exchange, monkeypatch, capsys, place, number
):
    def is_there(frame):
        if frame.f_code.co_name != place or seen:
            return False
        seen.append(frame)
        if place != "finish":  # at "finish" the stream has ended
            wait_until(lambda: any(stream.total() for stream in kr.running()))
        return True

    seen = []
    monkeypatch.setenv("KUCOIN_FUTURES_URL", exchange.futures_url)
    monkeypatch.setenv("KUCOIN_SPOT_URL", exchange.spot_url)
    with interrupt_when(is_there, number=number):
        if place == "finish":
            status = cli.main(["XBTUSDTM", "--verbose", "--save-data", "--timeout", "0.5"])
        else:
            status = cli.main(["XBTUSDTM", "--verbose", "--save-data"])

    assert (seen != [], status) == (True, cli.DONE)
    out, err = capsys.readouterr()
    (path,) = Path().glob("*.csv")
    rows = pl.read_csv(path)
    assert rows.height >= max(1, out.count("Ticker("))
    assert rows["sequence"].is_unique().all()
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["-m", "kucoin_research"], ["kucoin-research"]])
def test_an_interrupt_while_it_is_imported_is_one_line(tmp_path, words):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, signal\n"
        "def hook(name, words):\n"
        "    if name == 'import' and words[0] == 'polars':\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "sys.addaudithook(hook)\n"
    )
    (tmp_path / "kucoin-research").write_text("import kucoin_research.cli\n")
    folders = f"{tmp_path}{os.pathsep}{Path(kr.__file__).parents[1]}"
    done = processes.run(sys.executable, *words, "XBTUSDTM", cwd=tmp_path, PYTHONPATH=folders)

    assert (done.returncode, done.stderr) == (1, "kucoin-research: interrupted\n")


def start(words, cwd, exchange, **environment):
    environment.setdefault("PYTHONUNBUFFERED", "1")
    return Process(
        *COMMAND, *words, cwd=cwd,
        KUCOIN_FUTURES_URL=exchange.futures_url, KUCOIN_SPOT_URL=exchange.spot_url,
        **environment,
    )  # fmt: skip


def lines_of(path):
    return path.read_bytes().count(b"\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_a_terminated_process_saves_what_has_arrived(tmp_path, exchange):
    with start(["XBTUSDTM", "--verbose", "--save-data"], tmp_path, exchange) as process:
        process.line_with("Ticker(")
        process.terminate()

        assert process.wait() == 0
    (path,) = tmp_path.glob("*.csv")
    assert f"{lines_of(path) - 1:,} rows written to {path.name}" in process.stdout


def test_rows_are_saved_while_they_come_so_that_a_crash_costs_little(tmp_path, exchange):
    with start(["XBTUSDTM", "--save-data"], tmp_path, exchange) as process:
        wait_until(lambda: any(lines_of(path) > 1 for path in tmp_path.glob("*.csv")), timeout=30)
        process.kill()
        process.wait()
    (path,) = tmp_path.glob("*.csv")

    assert pl.read_csv(path).height >= 1


def test_rows_that_cannot_be_saved_here_are_saved_elsewhere_and_told(tmp_path, exchange):
    for day in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)):
        (tmp_path / f"XBTUSDTM_ticker_{day:%Y-%m-%d}.csv").mkdir()
    refuge = tmp_path / "refuge"
    refuge.mkdir()
    done = run(
        "XBTUSDTM", "ETHUSDTM", "--timeout", "3", "--save-data", cwd=tmp_path, TMPDIR=str(refuge),
        TEMP=str(refuge), KUCOIN_FUTURES_URL=exchange.futures_url,
        KUCOIN_SPOT_URL=exchange.spot_url,
    )  # fmt: skip

    assert done.returncode == 1
    assert "rows cannot be saved here" in done.stderr
    (saved,) = refuge.rglob("XBTUSDTM_ticker_*.csv")
    count = pl.read_csv(saved).height  # on a busy machine, only one or two
    assert count
    assert re.search(rf"{count:,} rows? written to {re.escape(str(saved))}", done.stdout)


def test_a_folder_that_cannot_be_written_is_reported_before_anything_is_streamed(
    tmp_path, exchange, monkeypatch, capsys
):
    monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "gone")
    tokens = sum("bullet" in path for _, path in exchange.requests)

    assert cli.main(["XBTUSDTM", "--save-data", "--venue", "demo"]) == 1
    assert "gone" in capsys.readouterr().err
    assert sum("bullet" in path for _, path in exchange.requests) == tokens


def test_each_row_is_saved_once_however_often_it_is_asked_for(tmp_path, exchange):
    done = run(
        "--timeout", "3", "--save-data", "XBTUSDTM", "BTC-USDT", "XBTUSDTM", "--channels",
        "candle", "candle:5min", "bbo", "bbo", "status",
        cwd=tmp_path, KUCOIN_FUTURES_URL=exchange.futures_url, KUCOIN_SPOT_URL=exchange.spot_url,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    names = {path.name.rpartition("_")[0]: pl.read_csv(path) for path in tmp_path.glob("*.csv")}
    assert set(names) == {
        "XBTUSDTM_candle", "XBTUSDTM_candle-5min", "XBTUSDTM_bbo",
        "BTC-USDT_candle", "BTC-USDT_candle-5min", "BTC-USDT_bbo", "all_status",
    }  # fmt: skip
    assert set(names["XBTUSDTM_candle"]["interval"]) == {"1min"}
    assert names["XBTUSDTM_bbo"]["local_timestamp"].is_unique().all()
    assert set(names["BTC-USDT_bbo"]["symbol"]) == {"BTC-USDT"}
    assert {"connected", "stopped"} <= set(names["all_status"]["event"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_leaves_ends_it(tmp_path, exchange):
    with start(["XBTUSDTM", "--verbose", "--channels", "bbo"], tmp_path, exchange) as process:
        process.hang_up()

        assert process.wait() == 1
    assert "Exception ignored" not in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_report_that_nobody_reads_is_no_traceback(tmp_path, exchange):
    words = ["XBTUSDTM", "--timeout", "0.5"]
    with start(words, tmp_path, exchange, is_read=False, PYTHONUNBUFFERED="") as process:
        assert process.wait() == 1
    assert "BrokenPipeError" not in process.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_no_command_says_much_when_nobody_reads_what_it_prints(tmp_path, exchange):
    shutil.copytree(SAMPLE, tmp_path / "sample")
    commands = {
        "XBTUSDTM --verbose": 1,
        "record XBTUSDTM --minutes 0.05": 1,
        "replay sample --speed max --verbose": 1,
        "symbols": 1,
        "verify sample": 1,
        "repair sample": 1,
        "convert sample archive": 1,
        "doctor": 1,
        "demo": 1,
        "--help": 1,
    }
    with contextlib.ExitStack() as opened:
        started = {
            words: opened.enter_context(
                start(words.split(), tmp_path, exchange, is_read=False, PYTHONUNBUFFERED="")
            )
            for words in commands
        }
        assert {words: process.wait() for words, process in started.items()} == commands
    for words, process in started.items():
        for noise in ("Traceback", "BrokenPipe", "Exception ignored", "kucoin-research:"):
            assert noise not in process.stderr, (words, process.stderr)


def test_a_broken_dotenv_file_is_one_line(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff")
    done = run("XBTUSDTM", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="the locale is POSIX")
def test_a_console_without_unicode_shows_what_it_can(tmp_path, exchange):
    done = run(
        "XBTUSDTM", "--timeout", "0.2", cwd=tmp_path, PYTHONIOENCODING="ascii",
        KUCOIN_FUTURES_URL=exchange.futures_url, KUCOIN_SPOT_URL=exchange.spot_url,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_simulate_prints_its_addresses_and_serves_until_interrupted(tmp_path):
    began = datetime.now(UTC)
    with Process(*COMMAND, "simulate", "--speed", "20", cwd=tmp_path) as process:
        urls = json.loads(process.line())
        status = requests.get(urls["spot"] + "/api/v1/status", timeout=60).json()
        frame = kr.stream_to_frame(
            "XBTUSDTM", rows=50, venue=kr.Venue(urls["futures"], urls["spot"]), progress=False
        )
        process.send_signal(signal.SIGINT)

        assert (process.wait(), process.stderr) == (0, "")
    assert status["data"]["status"] == "open"
    assert frame.height == 50
    assert began < frame["timestamp"][0]


def test_simulate_misbehaves_as_told(tmp_path):
    words = ["--chaos", "3", "--journal", "--connection-lifetime", "50", "--ping-interval", "900"]
    words += ["--inject", "bye:at=0.3"]
    with Process(*COMMAND, "simulate", *words, cwd=tmp_path) as process:
        urls = json.loads(process.line())
        data = requests.post(urls["futures"] + "/api/v1/bullet-public", timeout=60).json()["data"]
        server = data["instanceServers"][0]
        socket = websocket.create_connection(f"{server['endpoint']}?token={data['token']}")
        topic = "/contractMarket/level2:XBTUSDTM"
        socket.send(json.dumps({"id": "1", "type": "subscribe", "topic": topic}))
        opcode, ending = websocket.ABNF.OPCODE_TEXT, b""
        while opcode == websocket.ABNF.OPCODE_TEXT:
            opcode, ending = socket.recv_data(control_frame=True)
        socket.shutdown()
        process.send_signal(signal.SIGINT)

        assert (process.wait(), process.stderr) == (0, "")
    assert (server["pingInterval"], data["simulation"]["lifetime"]) == (900, 50.0)
    assert ending[2:] == b"Bye"


def test_simulate_shows_how_like_a_recording_it_is(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_wait_for_interrupt", lambda: None)
    monkeypatch.setattr(likeness, "_ROUNDS", (200,))

    assert cli.main(["simulate", "--like", str(SAMPLE)]) == 0

    out, err = capsys.readouterr()
    assert set(json.loads(out)) == {"futures", "spot"}
    assert all(trait in err for trait in ("recorded", "volatility", "depth", "size_spread"))


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
    assert done.stdout.count("equal to the live rows") == 4
    assert "the book at the end: equal" in done.stdout


def test_a_session_is_replayed_at_full_speed(tmp_path, capsys):
    path = recorded(tmp_path, [ticker(n) for n in range(500)], start_ns=NOON)

    done = run("replay", str(path), "--speed", "max", cwd=tmp_path)
    loud = run("replay", str(path), "--speed", "max", "--verbose", cwd=tmp_path)
    wrong = refusal(capsys, "replay", str(path), "--speed", "0")
    none = refusal(capsys, "replay", str(tmp_path / "none"))

    assert done.returncode == 0, done.stderr
    assert "shape: (500, 11)" in done.stdout
    assert "NOT PROVABLE" in done.stdout
    assert "ended" in done.stderr
    assert loud.stdout.count("Ticker(timestamp=") == 500
    assert (wrong.code, none.code) == (2, 1)
    assert "above 0, or max" in wrong.line
    assert "none" in none.line


STRATEGY = """
import kucoin_research as kr

class Once:
    def __init__(self):
        self.is_done = False

    def __call__(self, record, broker):
        if not self.is_done and broker.best().best_ask is not None:
            self.is_done = True
            broker.buy(1)
            broker.note("bought")

def broken(record, broker):
    return 1 / 0
"""


def test_a_session_is_played_to_a_strategy(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(STRATEGY)
    (tmp_path / "wrong.py").write_text("import nothing_like_it")
    sample = str(Path(__file__).parents[2] / "data" / "sample")

    done = run("backtest", "mine.py:Once", sample, "--html", "result.html", cwd=tmp_path)
    broken = run("backtest", "mine.py:broken", sample, cwd=tmp_path)
    missing = refusal(capsys, "backtest", "mine.py:Onse", sample)
    wrong = refusal(capsys, "backtest", "wrong.py:Once", sample)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Once: PLAYED TO THE END")
    assert "plotly" in (tmp_path / "result.html").read_text()
    assert broken.returncode == 1
    assert "ZeroDivisionError" in broken.stdout
    assert (missing.code, wrong.code) == (2, 2)
    assert "did you mean 'Once'?" in missing.line
    assert "ModuleNotFoundError: No module named 'nothing_like_it' (line 1 of" in wrong.line


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent on Windows")
def test_an_interrupt_ends_a_replay_with_what_has_come(tmp_path):
    rows = [ticker(n)._replace(local_timestamp=NOON + n * 3600 * 10**9) for n in range(5)]
    path = recorded(tmp_path, rows, start_ns=NOON)
    with Process(*COMMAND, "replay", path, "--verbose", PYTHONUNBUFFERED="1") as running:
        assert "Ticker(timestamp=" in running.line()
        running.send_signal(signal.SIGINT)

        assert running.wait() == 1
    assert "shape: (1, 11)" in running.stdout


def test_a_server_ends_at_whatever_step_of_its_waiting_an_interrupt_comes(tmp_path):
    script = (
        "from kucoin_research import cli\n"
        "from tests.unit.interrupting import interrupt_at\n"
        "for number in range(1, 61, 3):\n"
        "    with interrupt_at(number, 1_000, after='_wait_for_interrupt') as lines:\n"
        "        status = cli.main(['simulate'])\n"
        "    if status:\n"
        "        break\n"
        "print('status', status)\n"
    )
    root = str(Path(kr.__file__).parents[1])
    done = processes.run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=root)

    assert done.stdout.endswith("status 0\n")
