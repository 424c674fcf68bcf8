"""The command line: ``kucoin-research SYMBOL …`` and its subcommands."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import polars as pl

from kucoin_research import api
from kucoin_research.collect import Limit, collect
from kucoin_research.errors import InvalidInput, KucoinResearchError
from kucoin_research.records import Record
from kucoin_research.stream import Stream
from kucoin_research.tables import append_csv, csv_name

__all__ = ["main"]

DONE, FAILED, WRONG_USE = 0, 1, 2

_DEMO_ROWS = 1_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Without the program's name; ``sys.argv`` when left out.

    Returns
    -------
    int
        0 done, 2 wrong use, 1 anything else. Every failure is told in one line on stderr.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] not in _COMMANDS and not words[0].startswith("-"):
        words.insert(0, "stream")  # the short form: a symbol comes first
    try:
        arguments = _parser().parse_args(words)
        status: int = arguments.run(arguments)
    except SystemExit as error:  # argparse: help is 0, wrong use 2
        return error.code if isinstance(error.code, int) else WRONG_USE
    except InvalidInput as error:
        return _complain(error, WRONG_USE)
    except (KucoinResearchError, OSError) as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", FAILED)
    return status


def _complain(error: object, status: int) -> int:
    print(f"kucoin-research: {error}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Argparse, with one line instead of usage and a line."""

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
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="until Ctrl-C if left out")
    parser.add_argument(
        "--save-data", action="store_true", help="write <SYMBOL>_<channel>_<date>.csv here"
    )
    parser.add_argument("--verbose", action="store_true", help="print every record")
    _add_venue(parser)
    parser.set_defaults(run=_stream)


def _add_venue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--venue", metavar="live|demo", help="demo is the simulated exchange that ships inside"
    )


def _stream(arguments: argparse.Namespace) -> int:
    limit = Limit.of(None, arguments.timeout, None)
    _log_to_stderr(verbose=arguments.verbose)
    if arguments.save_data:
        for symbol in arguments.symbols:
            csv_name(symbol, "ticker")  # refused before anything is streamed
    handle = api._start(  # noqa: SLF001  stream() with everything kept
        arguments.symbols,
        arguments.channels,
        market=arguments.market,
        venue=arguments.venue,
        capacity=2**40,
        name=None,
    )
    try:
        if arguments.verbose:
            handle.attach(_print_record)
        collect(handle, arguments.channels, limit, progress=not arguments.verbose)
    finally:
        handle.stop()
        if arguments.save_data:
            _save(handle, arguments.symbols, arguments.channels)
    for channel in arguments.channels:
        print(handle.frame(channel))
    print(handle.report())
    return DONE


def _print_record(record: Record) -> None:
    print(record)


def _save(handle: Stream, symbols: Sequence[str], channels: Sequence[str]) -> None:
    for channel in channels:
        for symbol in symbols:
            rows = handle.frame(channel, symbol)
            path = append_csv(rows, Path(csv_name(symbol, channel)))
            print(f"{rows.height:,} rows written to {path}")


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )


def _describe_symbols(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--market", choices=["futures", "spot"], default="futures")
    parser.add_argument("--active", action="store_true", help="only the names that trade now")
    _add_venue(parser)
    parser.set_defaults(run=_symbols)


def _symbols(arguments: argparse.Namespace) -> int:
    if arguments.active:
        print("\n".join(api.get_active_symbols(arguments.market, venue=arguments.venue)))
        return DONE
    with pl.Config(tbl_rows=-1):
        print(api.symbols(arguments.market, venue=arguments.venue))
    return DONE


def _describe_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same market")
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per second")
    parser.add_argument("--start", help="ISO time, or 'now'; the default is always the same")
    parser.add_argument("--futures-port", type=int, default=0, metavar="PORT")
    parser.add_argument("--spot-port", type=int, default=0, metavar="PORT")
    parser.set_defaults(run=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with api.simulate(
        seed=arguments.seed,
        speed=arguments.speed,
        start=arguments.start,
        futures_port=arguments.futures_port,
        spot_port=arguments.spot_port,
    ) as exchange:
        urls = {"futures": exchange.futures_url, "spot": exchange.spot_url}
        print(json.dumps(urls), flush=True)
        while not stop.wait(0.2):  # in slices: a plain wait hides Ctrl-C on Windows
            pass
    return DONE


def _describe_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:  # noqa: ARG001  every command takes them
    print("Starting the simulated exchange on this machine; nothing leaves it.")
    with api.simulate(speed=30.0) as exchange:
        print(f"futures {exchange.futures_url} · spot {exchange.spot_url} · 30 x real time\n")
        channels = ["ticker", "level2", "trade"]
        handle = api.stream("XBTUSDTM", channels, venue=exchange.venue)
        with handle:
            finished = collect(handle, ["ticker"], Limit.of(None, None, _DEMO_ROWS), progress=True)
            book = handle.book("XBTUSDTM")
        with pl.Config(tbl_rows=6, tbl_cols=11, tbl_width_chars=200, fmt_str_lengths=40):
            for channel in channels:
                print(f"\n{channel}")
                print(handle.frame(channel).drop("local_timestamp"))
            print(f"\n{book}")
            print(book.depth(5))
        print(f"\n{handle.report()}")
        return DONE if finished else FAILED


_COMMANDS = {
    "stream": (_describe_stream, "stream symbols into frames, and CSV files if asked"),
    "symbols": (_describe_symbols, "list a market's instruments"),
    "simulate": (_describe_simulate, "run the simulated exchange until interrupted"),
    "demo": (_describe_demo, "stream from the simulated exchange and show what comes"),
}
