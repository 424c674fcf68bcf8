"""The command line: ``kucoin-research SYMBOL …`` and its subcommands.

For each command, ``_describe_<name>`` adds its options to a parser, and ``_<name>`` runs it and
returns the exit status. The table ``_COMMANDS`` at the end lists them.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import json
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import polars as pl

from kucoin_research.api import doctor, market, streams
from kucoin_research.api.other_clients import pointers_text
from kucoin_research.errors import InvalidInput, KucoinResearchError, StreamStopped, shown
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.foundation import interrupts
from kucoin_research.foundation.arguments import path_of
from kucoin_research.foundation.late_import import import_late
from kucoin_research.foundation.progress import quiet_tqdm
from kucoin_research.foundation.regular_files import create
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.records import Record, Status
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.checks.repair import mend
from kucoin_research.sessions.checks.verification import verify
from kucoin_research.sessions.conversion import convert
from kucoin_research.sessions.frame_csv import append_csv, csv_name
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.writing.recorder import COMPRESSIONS, FSYNC_POLICIES
from kucoin_research.streaming.collect import Limit, collect
from kucoin_research.streaming.stream import Stream

if TYPE_CHECKING:  # the simulated exchange takes long to import, and few commands need it
    from kucoin_research.sim.faults.kinds import Fault
    from kucoin_research.sim.server.doors import Doors

__all__ = ["main"]

DONE, FAILED, WRONG_USE = 0, 1, 2  # exit statuses

_DEMO_ROWS = 1_000
_DEMO_START = "2026-01-05"  # fixed, so that the rows do not depend on the day
_SAVE_INTERVAL = 1.0  # seconds
_REDRAW_INTERVAL = 0.5  # seconds
_SLICE = 0.05  # seconds
_KEPT_WHILE_RECORDING = 10_000  # rows in memory; a recording's rows are on the disk
_ALL = "all"  # in place of a symbol, for the status channel: its rows mostly have no symbol
_WORDS_OF_ITS_OWN = ("-h", "--help", "--version")
# They run until interrupted. A script that starts them with `&` has them ignore SIGINT, but they
# heed it all the same.
_SERVERS = ("simulate", "serve")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        The words without the program's name. If left out, ``sys.argv``; then the process ends
        after this call, and an interrupt does not disturb that.

    Returns
    -------
    int
        0 done, 2 wrong use, 1 any other failure. Every failure prints one line on stderr.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    heeded = ("SIGINT", "SIGTERM") if words[:1] and words[0] in _SERVERS else ("SIGTERM",)
    with interrupts.as_program(FAILED, heeded=heeded, is_last=argv is None):
        return _main(words)


def _main(words: list[str]) -> int:
    if words and words[0] not in (*_COMMANDS, *_WORDS_OF_ITS_OWN):
        near = _command_near(words[0])
        if near is not None:
            return _complain(f"no command {shown(words[0])}; did you mean {near!r}?", WRONG_USE)
        words.insert(0, "stream")  # the short form begins with a symbol or an option
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console that lacks "·" shows "?", without an error
            stream.reconfigure(errors="replace")
    try:
        status = _do(words)
        # Flushed here, since Python prints an error if it finds a broken pipe at its exit.
        sys.stdout.flush()
    except InvalidInput as error:
        return _complain(error, WRONG_USE)
    except BrokenPipeError:  # `| head` has stopped reading: end without a message
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KucoinResearchError, OSError) as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", FAILED)
    return status


def _do(words: list[str]) -> int:
    try:
        with interrupts.passing():
            arguments = _parser().parse_args(words)
    except SystemExit as error:  # argparse exits with 0 after help, and with 2 after wrong use
        return error.code if isinstance(error.code, int) else WRONG_USE
    status: int = arguments.run(arguments)
    return status


def _command_near(word: str) -> str | None:
    """Return the command that a word is probably a misspelling of; symbols have capital letters."""
    if not re.fullmatch("[a-z]{4,}", word):
        return None
    return next(iter(difflib.get_close_matches(word, _COMMANDS, n=1, cutoff=0.75)), None)


def _complain(error: object, status: int) -> int:
    print(f"kucoin-research: {error}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kucoin-research",
        description="Stream KuCoin market data. `kucoin-research SYMBOL …` is short for `stream`.",
    )
    parser.add_argument(
        "--version", action="version", version=f"kucoin-research {version('kucoin-research')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name, (describe, help_text) in _COMMANDS.items():
        describe(commands.add_parser(name, help=help_text, description=help_text))
    return parser


def _describe_stream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="XBTUSDTM, BTC-USDT, …")
    parser.add_argument(
        "--channels",
        nargs="+",
        default=["ticker"],
        metavar="CHANNEL",
        help="ticker bbo trade candle[:5min] depth depth5 depth50 mark_price funding_rate snapshot",
    )
    parser.add_argument("--market", choices=["futures", "spot"], help="override the spelling's")
    parser.add_argument(
        "--timeout", type=_patience, metavar="SECONDS", help="until Ctrl-C if 0 or left out"
    )
    parser.add_argument(
        "--save-data", action="store_true", help="write <SYMBOL>_<channel>_<date>.csv here"
    )
    parser.add_argument("--verbose", action="store_true", help="print every record")
    _add_venue(parser)
    parser.set_defaults(run=_stream)


def _stream(arguments: argparse.Namespace) -> int:
    _log_to_stderr(verbose=arguments.verbose)
    symbols, channels = _words(arguments.symbols), _words(arguments.channels)
    saver = _Saver(symbols, channels) if arguments.save_data else None
    handle = streams.open_stream(  # as stream(), but keeps every row
        symbols,
        channels,
        market=arguments.market,
        venue=arguments.venue,
        capacity=2**40,
        name=None,
        credentials=_key_for(channels),
    )
    detach, printer = None, _Printer(handle)
    try:
        if arguments.verbose:
            detach = handle.attach(printer)
        collect(
            handle,
            channels,
            Limit.of(None, arguments.timeout, None),
            progress=not arguments.verbose,
            on_look=None if saver is None else lambda: saver.save(handle),
            on_end=lambda _: _stop(handle),  # first, so that the bar counts the rows that are shown
        )
    except StreamStopped as error:  # stopped before it was live, perhaps by the printer
        raise error if printer.is_read else BrokenPipeError() from error
    except BaseException:
        _stop(handle)
        raise
    finally:
        if detach is not None:
            detach()  # Python aborts at its exit if a thread is still printing
        is_saved = saver is None or saver.finish(handle)
    for channel in channels:
        print(handle.frame(_name(channel)))
    print(handle.report())
    return DONE if is_saved else FAILED


def _stop(handle: Stream) -> None:
    try:
        handle.stop()
    except KeyboardInterrupt:
        handle.stop(timeout=0.0)  # the interrupt ends only the waiting; the rows are still saved


def _name(channel: str) -> str:
    # Plain "candle" means 1min here, even if other intervals are streamed too.
    return str(parse_channel(channel))


class _Printer:
    """Prints records, and stops the stream once nobody reads them."""

    def __init__(self, handle: Stream | Replay) -> None:
        self._handle = handle
        self.is_read = True

    def __call__(self, record: Record) -> None:
        if not self.is_read:
            return
        try:
            print(record)
        except BrokenPipeError:  # stop, so that the main thread ends, too
            self.is_read = False
            self._handle.stop()


class _Saver:
    """Writes rows to CSV files once a second, so that a crash loses the last second at most.

    Rows that cannot be written are kept and tried again. If that fails at the end, too, they are
    written to the folder for temporary files.
    """

    def __init__(self, symbols: Sequence[str], channels: Sequence[str]) -> None:
        self._files = [
            (channel, symbol)
            for channel in channels
            for symbol in (symbols if parse_channel(channel).record is not Status else [_ALL])
        ]
        self._seen: Counter[tuple[str, str]] = Counter()  # rows of the channel's frame handled
        self._written: Counter[Path] = Counter()
        self._next = 0.0
        self._has_complained = False
        for channel, symbol in self._files:
            csv_name(symbol, channel)  # raises before anything is streamed
        self._try_folder()

    @staticmethod
    def _try_folder() -> None:
        with tempfile.TemporaryFile(dir=Path.cwd()):  # raises before anything is streamed
            pass

    def save(self, handle: Stream) -> None:
        """Write the new rows, at most once a second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SAVE_INTERVAL
        try:
            self._write_all(handle, Path())
        except OSError as error:
            if not self._has_complained:
                _complain(f"rows cannot be saved now and are kept: {error}", FAILED)
            self._has_complained = True

    def finish(self, handle: Stream) -> bool:
        """Write the rest and print the files; return whether all are in the working directory."""
        is_in_place = True
        try:
            self._write_all(handle, Path())
        except OSError as error:
            refuge = Path(tempfile.mkdtemp(prefix="kucoin-research-"))
            _complain(f"rows cannot be saved here ({error}); the rest is in {refuge}", FAILED)
            self._write_all(handle, refuge)
            is_in_place = False
        for path, rows in self._written.items():
            print(f"{rows:,} rows written to {path}")
        return is_in_place

    def _write_all(self, handle: Stream, folder: Path) -> None:
        for channel, symbol in self._files:
            arrived = handle.frame(_name(channel))
            seen = self._seen[channel, symbol]
            rows = arrived[seen:]
            if symbol != _ALL:
                rows = rows.filter(pl.col("symbol") == symbol)
            if rows.height or (channel, symbol) not in self._seen:
                path = append_csv(rows, folder / csv_name(symbol, channel))
                self._written[path] += rows.height
            self._seen[channel, symbol] = arrived.height


def _describe_record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="XBTUSDTM, BTC-USDT, …")
    parser.add_argument("--channels", nargs="+", default=["ticker"], metavar="CHANNEL")
    parser.add_argument("--market", choices=["futures", "spot"], help="override the spelling's")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=_minutes, metavar="N", help="how long to record")
    length.add_argument("--forever", action="store_true", help="until Ctrl-C, which is the default")
    parser.add_argument("--root", default="data/sessions", metavar="DIR", help="data/sessions")
    parser.add_argument("--compression", choices=[each for each in COMPRESSIONS if each])
    parser.add_argument("--fsync", choices=FSYNC_POLICIES, default="never")
    _add_venue(parser)
    parser.set_defaults(run=_record)


def _record(arguments: argparse.Namespace) -> int:
    _log_to_stderr(verbose=False)
    recording = streams.record(
        arguments.symbols,
        arguments.channels,
        market=arguments.market,
        venue=arguments.venue,
        root=arguments.root,
        minutes=arguments.minutes,
        compression=arguments.compression,
        fsync=arguments.fsync,
        capacity=_KEPT_WHILE_RECORDING,
        credentials=_key_for(_words(arguments.channels)),
    )
    try:
        recording.wait()
    finally:
        is_saved = recording.stop()
    print(recording.stream.report())
    print(f"{recording.recorder.rows:,} rows in {recording.path}")
    if not is_saved:
        return _complain(f"not everything is on the disk: {recording.recorder.error}", FAILED)
    return DONE


def _describe_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="SESSION", help="a session's folder")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="N",
        help="seconds of the recording per second (1), or max: as fast as it can be read",
    )
    parser.add_argument("--channels", nargs="+", metavar="CHANNEL", help="only these")
    parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="only these")
    parser.add_argument("--verbose", action="store_true", help="print every record")
    parser.set_defaults(run=_replay)


def _replay(arguments: argparse.Namespace) -> int:
    _log_to_stderr(verbose=arguments.verbose)
    handle = streams.replay(
        arguments.paths,
        arguments.speed,
        channels=arguments.channels,
        symbols=arguments.symbols,
        paused=True,
    )
    with handle:
        detach = handle.attach(_Printer(handle)) if arguments.verbose else None
        handle.resume()
        is_whole = _follow(handle, shown=not arguments.verbose)
    if detach is not None:
        detach()
    for channel in handle.channels:
        print(handle.frame(channel))
    print(handle.report())
    return DONE if is_whole else FAILED


def _follow(handle: Replay, *, shown: bool) -> bool:
    """Wait for the end of a replay and show its position in a line; an interrupt ends it.

    Returns whether the replay has reached its end.
    """
    bar = quiet_tqdm(bar_format="{desc}", mininterval=0.0) if shown else None
    try:
        while not handle.wait_until_done(_REDRAW_INTERVAL, on_error="tell"):
            if handle.stopping.is_set():
                return False
            if bar is not None:
                bar.set_description_str(str(handle))
    except KeyboardInterrupt:
        return False
    finally:
        if bar is not None:
            bar.set_description_str(str(handle))
            bar.close()
    return True


def _describe_backtest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("strategy", metavar="FILE.py:NAME", help="a function, or a class of one")
    parser.add_argument("paths", nargs="+", metavar="SESSION", help="a session's folder")
    parser.add_argument("--cash", type=float, default=10_000.0, metavar="N", help="(10000)")
    parser.add_argument("--currency", default="USDT", help="of the cash and the results (USDT)")
    parser.add_argument(
        "--latency", type=_latency, default=0.05, metavar="S", help="each way (0.05), or recorded"
    )
    parser.add_argument("--leverage", type=float, default=1.0, metavar="N", help="(1)")
    parser.add_argument("--margin-mode", default="isolated", help="isolated (the default) or cross")
    parser.add_argument("--queue", default="risk_averse", help="risk_averse, proportional or none")
    parser.add_argument("--channels", nargs="+", metavar="CHANNEL", help="only these")
    parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="only these")
    parser.add_argument("--html", metavar="FILE", help="write the result as a page, too")
    parser.set_defaults(run=_backtest)


def _backtest(arguments: argparse.Namespace) -> int:
    if arguments.html is not None and not Path(arguments.html).absolute().parent.is_dir():
        raise InvalidInput(f"--html: there is no folder {Path(arguments.html).absolute().parent}")
    strategies = import_late("kucoin_research.api.strategies")
    result = strategies.backtest(
        strategies.load_strategy(arguments.strategy),
        arguments.paths,
        cash=arguments.cash,
        currency=arguments.currency,
        latency=arguments.latency,
        leverage=arguments.leverage,
        margin_mode=arguments.margin_mode,
        queue=arguments.queue,
        channels=arguments.channels,
        symbols=arguments.symbols,
    )
    print(result)
    if arguments.html is not None:
        print(result.to_html(arguments.html))
    return DONE if result.complete else FAILED


def _describe_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a session's folder")
    parser.set_defaults(run=_verify)


@interrupts.passing()
def _verify(arguments: argparse.Namespace) -> int:
    found = [verify(path) for path in arguments.paths]
    print("\n".join(map(str, found)))
    return DONE if all(each.ok for each in found) else FAILED


def _describe_repair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a session's folder")
    parser.set_defaults(run=_repair)


@interrupts.passing()
def _repair(arguments: argparse.Namespace) -> int:
    for path in arguments.paths:
        print(mend(path))
    found = [verify(path) for path in arguments.paths]
    for each in found:
        if not each.ok:
            print(each)
    return DONE if all(each.ok for each in found) else FAILED


def _describe_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a session's folder")
    parser.add_argument("folder", metavar="FOLDER", help="or a URL, such as s3://bucket/folder")
    parser.set_defaults(run=_convert)


@interrupts.passing()
def _convert(arguments: argparse.Namespace) -> int:
    for path in convert(arguments.path, arguments.folder):
        print(path)
    return DONE


def _describe_symbols(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--market", choices=["futures", "spot"], default="futures")
    parser.add_argument("--active", action="store_true", help="only the names that trade now")
    _add_venue(parser)
    parser.set_defaults(run=_symbols)


@interrupts.passing()
def _symbols(arguments: argparse.Namespace) -> int:
    if arguments.active:
        print("\n".join(market.get_active_symbols(arguments.market, venue=arguments.venue)))
        return DONE
    with pl.Config(tbl_rows=-1):
        print(market.symbols(arguments.market, venue=arguments.venue))
    return DONE


def _describe_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, default=7, help="the same seed and --start give the same market"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per second")
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="ISO time at which the exchange's clock stands until the first subscription, so that "
        "the first rows are the same in each run; the default is this machine's present, which "
        "passes at once",
    )
    parser.add_argument(
        "--like",
        nargs="+",
        metavar="SESSION",
        help="folders of a recording: its markets are made like the recorded ones",
    )
    parser.add_argument(
        "--trader",
        type=_rate,
        metavar="N",
        help="let the demo account trade every symbol, N orders per virtual minute each",
    )
    parser.add_argument(
        "--chaos",
        type=int,
        metavar="SEED",
        help="let things go wrong; the same seed gives the same trouble",
    )
    parser.add_argument(
        "--inject",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME[:key=value,...]",
        help="let one thing go wrong once the first client has subscribed, or with at=SECONDS "
        "virtual seconds after that; repeatable",
    )
    parser.add_argument(
        "--connection-lifetime",
        type=_seconds,
        metavar="SECONDS",
        help="how long connections live; KuCoin's live a day",
    )
    parser.add_argument(
        "--ping-interval", type=_milliseconds, metavar="MS", help="what clients are told"
    )
    parser.add_argument(
        "--journal", action="store_true", help="keep every message that is published"
    )
    parser.add_argument("--futures-port", type=_port, default=0, metavar="PORT")
    parser.add_argument("--spot-port", type=_port, default=0, metavar="PORT")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = pointers_text()
    parser.set_defaults(run=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    chosen = {
        "connection_lifetime": arguments.connection_lifetime,
        "ping_interval_ms": arguments.ping_interval,
    }
    from kucoin_research.api.simulated import simulate

    with simulate(
        seed=arguments.seed,
        speed=arguments.speed,
        start=arguments.start,
        like=arguments.like,
        futures_port=arguments.futures_port,
        spot_port=arguments.spot_port,
        chaos=arguments.chaos,
        journal=arguments.journal,
        **{name: value for name, value in chosen.items() if value is not None},
    ) as exchange:
        for fault, at in arguments.inject:
            exchange.inject(fault, at=at)
        if arguments.trader is not None:
            exchange.start_trader(orders_per_minute=arguments.trader)
        _print_addresses(exchange)
        if arguments.like is not None:
            with pl.Config(tbl_rows=-1):
                print(exchange.likeness, file=sys.stderr)
        _wait_for_interrupt()
    return DONE


def _describe_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="SESSION", help="a session's folder")
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="N|max", help="recorded seconds per second"
    )
    parser.add_argument("--channels", nargs="+", metavar="CHANNEL", help="serve only these")
    parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="serve only these")
    parser.add_argument(
        "--grace",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="from the first subscription to the first row, to subscribe to the rest",
    )
    parser.add_argument("--futures-port", type=_port, default=0, metavar="PORT")
    parser.add_argument("--spot-port", type=_port, default=0, metavar="PORT")
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from kucoin_research.api.serve import serve

    with serve(
        arguments.paths,
        arguments.speed,
        channels=arguments.channels,
        symbols=arguments.symbols,
        grace=arguments.grace,
        futures_port=arguments.futures_port,
        spot_port=arguments.spot_port,
    ) as exchange:
        _print_addresses(exchange)
        _wait_for_interrupt()
    return DONE


def _print_addresses(exchange: Doors) -> None:
    print(json.dumps({"futures": exchange.futures_url, "spot": exchange.spot_url}), flush=True)


def _wait_for_interrupt() -> None:
    never = threading.Event()
    while not interrupts.is_pending():
        # Not an event that the signal's handler sets: that could deadlock the main thread.
        never.wait(_SLICE)


def _describe_doctor(parser: argparse.ArgumentParser) -> None:
    _add_venue(parser)
    parser.set_defaults(run=_doctor)


@interrupts.passing()
def _doctor(arguments: argparse.Namespace) -> int:
    diagnosis = doctor.doctor(arguments.venue)
    print(diagnosis)
    return DONE if diagnosis.is_ok else FAILED


def _describe_init(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:  # noqa: ARG001  every command takes them
    path = Path.cwd() / ".env"
    template = (Path(__file__).parent / "env.example").read_bytes()
    try:
        handle = create(path, mode=0o600)
    except FileExistsError:
        return _complain(f"there is {path} already; it is left as it is", FAILED)
    with os.fdopen(handle, "wb") as file:
        file.write(template)
    print(f"{path} is made, for your eyes only; fill in your key, and see kucoin-research doctor")
    return DONE


def _describe_lab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="what it shows")
    parser.set_defaults(run=_lab)


def _lab(arguments: argparse.Namespace) -> int:
    folder = path_of(arguments.folder, "FOLDER")
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder}")
    if importlib.util.find_spec("jupyterlab") is None:
        return _complain("JupyterLab is not installed: pip install jupyterlab anywidget", FAILED)
    return subprocess.call([sys.executable, "-m", "jupyterlab", "--notebook-dir", str(folder)])  # noqa: S603


def _describe_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:  # noqa: ARG001  every command takes them
    from kucoin_research.api.simulated import simulate

    print("Starting the simulated exchange on this machine; nothing leaves it.")
    with simulate(speed=30.0, start=_DEMO_START) as exchange, tempfile.TemporaryDirectory() as root:
        print(f"futures {exchange.futures_url} · spot {exchange.spot_url} · 30 x real time\n")
        channels = ["ticker", "level2", "trade"]
        recording = streams.record(
            "XBTUSDTM", channels, venue=exchange.venue, root=root, progress=False
        )
        handle = recording.stream
        with recording:
            finished = collect(handle, ["ticker"], Limit.of(None, None, _DEMO_ROWS), progress=True)
            if not finished:
                return _complain("interrupted", FAILED)
            book = handle.book("XBTUSDTM")
        with pl.Config(tbl_rows=6, tbl_cols=11, tbl_width_chars=200, fmt_str_lengths=40):
            for channel in channels:
                print(f"\n{channel}")
                print(handle.frame(channel).drop("local_timestamp"))
            print(f"\n{book}")
            print(book.depth(5))
        print(f"\n{handle.report()}")
        is_equal = _replay_demo(handle, recording.session())
        return DONE if is_equal else FAILED


def _replay_demo(handle: Stream, session: Session) -> bool:
    """Replay the recording, and print and return whether its rows equal those of the stream."""
    print(f"\nRecorded as {session.name}; {session.verify()}")
    with streams.replay(session, speed=None) as replay:
        replay.wait_until_done()
    is_equal = True
    for channel in [*session.channels, "status"]:
        live, replayed = handle.frame(channel), replay.frame(channel)
        result = "equal to the live rows" if live.equals(replayed) else "NOT the live rows"
        is_equal = is_equal and live.equals(replayed)
        print(f"{channel}: {replayed.height:,} rows replayed, {result}")
    is_same_book = handle.book().depth().equals(replay.book().depth())
    print(f"the book at the end: {'equal' if is_same_book else 'NOT the live one'}")
    return is_equal and is_same_book


def _add_venue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--venue", metavar="live|demo", help="demo is the simulated exchange that ships inside"
    )


def _words(given: Iterable[str]) -> list[str]:
    """Split names at commas, and return each once."""
    return [each for each in dict.fromkeys(",".join(given).split(",")) if each]


def _key_for(channels: Iterable[str]) -> Credentials | None:
    """Read the key from the environment or ``.env`` if a channel is private."""
    is_private = any(parse_channel(channel).is_private for channel in channels)
    return Credentials.from_env() if is_private else None


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a positive number of seconds, not {shown(text)}")


def _patience(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        if float(text) == 0:
            return None
    return _seconds(text)


def _minutes(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a positive number of minutes, not {shown(text)}")


def _rate(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a positive number of orders, not {shown(text)}")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number above 0, or max, not {shown(text)}")


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 65_536:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be from 0 (any free one) to 65535, not {shown(text)}")


def _latency(text: str) -> float | str:
    if text == "recorded":
        return text
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be seconds, or recorded, not {shown(text)}")


def _milliseconds(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"must be a positive number of milliseconds, not {shown(text)}"
    )


def _fault(text: str) -> tuple[Fault, float]:
    from kucoin_research.sim.faults.kinds import parse_fault

    try:
        return parse_fault(text)
    except KucoinResearchError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


_COMMANDS = {
    "stream": (_describe_stream, "stream symbols into frames, and CSV files if asked"),
    "record": (_describe_record, "stream symbols into a session's CSV files"),
    "replay": (_describe_replay, "play a session as if it were live"),
    "backtest": (_describe_backtest, "play a session to a strategy with paper money"),
    "verify": (_describe_verify, "check sessions, line by line"),
    "repair": (_describe_repair, "mend sessions, keeping the original bytes beside"),
    "convert": (_describe_convert, "write a session as Parquet"),
    "symbols": (_describe_symbols, "list a market's instruments"),
    "simulate": (_describe_simulate, "run the simulated exchange until interrupted"),
    "serve": (_describe_serve, "serve a session to KuCoin clients until interrupted"),
    "doctor": (_describe_doctor, "tell what works on this machine, and how to mend the rest"),
    "init": (_describe_init, "make a file .env for keys and settings, in this folder"),
    "lab": (_describe_lab, "open JupyterLab in this folder, or in another"),
    "demo": (_describe_demo, "stream from the simulated exchange, record and replay it"),
}
