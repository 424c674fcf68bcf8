"""KuCoin's errors, and replies that are not KuCoin's, become exceptions that say what to do."""

import json
import logging
from urllib.parse import urlsplit

import pytest

from kucoin_research import errors
from tests.unit.exchange.rest import answering
from tests.unit.exchange.rest.answering import (
    HTML,
    NOW_NS,
    SECRET,
    Answer,
    ok,
    payload,
    refusal,
)

# Against servers that live in real time: what is tested is how their answers are read.
REAL_TIME = True

exchange = answering.exchange
waiter = answering.waiter
rest = answering.rest


# -- KuCoin's errors -------------------------------------------------------------------------------


CODES = {
    errors.AuthenticationFailed: [
        *range(400001, 400013), 400201, 400202, *range(400301, 400305), 400400, 400401, 400500,
        411100, 411200,
    ],
    errors.InvalidRequest: [
        100001, 100004, 400100, 400101, 400102, 400200, 400413, 415000, 420001, 420002, 260210,
        300000, 300018, 330005, 330008, 330011, 405,
    ],
    errors.NotFound: [404, 404000, 400600, 600203, 900001],
    errors.RateLimited: [429000, 429001, 429002, 1015],
    errors.ExchangeUnavailable: [230005, 500000, 501000, 503000, 504000, 505000],
    errors.ExchangeError: [777, 777777],
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind"), [(str(code), kind) for kind, codes in CODES.items() for code in codes]
)
@pytest.mark.parametrize("market", ["futures", "spot"])
def test_every_code_has_its_exception_and_a_sentence(exchange, rest, code, kind, market):
    exchange.answers = [refusal(code, "Some text.")]

    with pytest.raises(errors.ExchangeError) as caught:
        rest.status(market)

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.http_status) == (code, 200)
    host = urlsplit(exchange.url).netloc
    said = str(caught.value)
    assert said.startswith(f"{host} answered its status with code {code} ('Some text.'); ")
    assert "{" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("code", "market", "kind"),
    [
        ("200001", "futures", errors.InvalidRequest),
        ("200002", "futures", errors.RateLimited),
        ("200003", "futures", errors.NotFound),
        ("200001", "spot", errors.InvalidRequest),
        ("200002", "spot", errors.InvalidRequest),
        ("200003", "spot", errors.InvalidRequest),
    ],
)
def test_a_code_can_mean_two_things(exchange, rest, code, market, kind):
    exchange.answers = [refusal(code)]

    with pytest.raises(kind):
        rest.status(market)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("x", 401, errors.AuthenticationFailed),
        ("x", 403, errors.AuthenticationFailed),
        ("x", 404, errors.NotFound),
        ("x", 429, errors.RateLimited),
        ("x", 500, errors.ExchangeUnavailable),
        ("x", 418, errors.ExchangeError),
        ("400999", 400, errors.InvalidRequest),
        ("429999", 200, errors.RateLimited),
        ("404999", 200, errors.NotFound),
        ("502999", 200, errors.ExchangeUnavailable),
        (400100, 200, errors.InvalidRequest),
    ],
)
def test_an_unlisted_code_is_placed_by_status_and_family(exchange, rest, code, status, kind):
    exchange.answers = [refusal(code, status=status)]

    with pytest.raises(errors.ExchangeError) as caught:
        rest.status()

    assert type(caught.value) is kind


@pytest.mark.parametrize("recorded", json.loads(payload("errors")), ids=lambda r: r["body"]["msg"])
def test_recorded_errors_are_understood(exchange, rest, recorded):
    exchange.answers = [Answer(json.dumps(recorded["body"]).encode(), recorded["http"])]

    with pytest.raises(errors.ExchangeError, match=recorded["body"]["code"]) as caught:
        rest.trades("NOPE")

    assert type(caught.value) is not errors.ExchangeError
    assert len(exchange.asked) == 1


def test_a_misspelt_symbol_is_answered_with_the_right_one(exchange, rest):
    exchange.answers = [refusal("404000")]

    with pytest.raises(errors.NotFound, match="call Bitcoin XBT: use 'XBTUSDTM'"):
        rest.contract("BTCUSDTM")


@pytest.mark.parametrize("call", ["spot_symbol", "trades", "level2_snapshot", "candles_page"])
def test_a_success_with_nothing_in_it_means_there_is_no_such_symbol(exchange, rest, call):
    exchange.answers = [ok(None)]
    arguments = ("NO-PE", "1min") if call == "candles_page" else ("NO-PE",)

    with pytest.raises(errors.NotFound, match="NO-PE with nothing; check its spelling"):
        getattr(rest, call)(*arguments)


def test_a_day_without_any_figure_means_there_is_no_such_pair(exchange, rest):
    exchange.answers = [ok({"time": 1787422576250, "symbol": "NO-PE", "last": None, "buy": None})]

    with pytest.raises(errors.NotFound, match="NO-PE with nothing; check its spelling"):
        rest.stats("NO-PE", market="spot")


# -- replies that are not KuCoin's -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(HTML, 502), r"an HTML page \(HTTP 502, '502 Bad Gateway'\)"),
        (Answer(HTML, 200), "an HTML page"),
        (Answer(b"<p>log in</p>", 302, {"Location": "/login"}), r"an HTML page \(HTTP 302\)"),
        (Answer(b""), r"an empty reply \(HTTP 200\)"),
        (Answer(b"  \r\n"), "an empty reply"),
        (Answer(payload("status")[:30]), r"cut short or not KuCoin's \(30 bytes"),
        (Answer(b"{}"), "cut short or not KuCoin's"),
        (Answer(b'{"data": 1}'), "cut short or not KuCoin's"),
        (Answer(b'{"code": [1]}'), "cut short or not KuCoin's"),
        (Answer(b"[1, 2]"), "cut short or not KuCoin's"),
        (Answer(b"[" * 100_000), "cut short or not KuCoin's"),
        (Answer(b"upstream connect error", 503), "something that is not JSON"),
        (Answer(b"\xff\xfe\x00"), "something that is not JSON"),
    ],
)
def test_what_is_not_kucoins_json_is_a_bad_reply(exchange, rest, answer, said):
    exchange.answers = [answer]

    with pytest.raises(errors.BadReply, match=said):
        rest.status()


def test_a_message_that_is_no_text_leaves_the_code_to_tell(exchange, rest):
    exchange.answers = [Answer(b'{"code":"404000","msg":"no \xff such","data":"\xff"}')]

    with pytest.raises(errors.NotFound, match="code 404000 \\('no \N{REPLACEMENT CHARACTER} such'"):
        rest.status()


def test_a_compressed_reply_that_is_broken_is_a_bad_reply(exchange, rest):
    exchange.answers = [Answer(b"not gzip", 200, {"Content-Encoding": "gzip"})]

    with pytest.raises(errors.BadReply, match="could not be unpacked"):
        rest.status()


@pytest.mark.parametrize(
    "data",
    [
        {"sequence": "x", "bids": [], "asks": []},
        {"sequence": 2**63, "bids": [], "asks": []},
        {"sequence": 1, "bids": [["nan", "1"]], "asks": []},
        {"sequence": 1, "bids": [["1", "Infinity"]], "asks": []},
        {"sequence": 1, "bids": [[-1, 1]], "asks": []},
        {"sequence": 1, "bids": [[1, -1]], "asks": []},
        {"sequence": 1, "bids": [[1]], "asks": []},
        {"sequence": 1, "bids": [], "asks": [], "ts": -5},
        [],
        7,
    ],
)
def test_values_that_cannot_be_meant_are_a_bad_reply(exchange, rest, data):
    exchange.answers = [ok(data)]

    with pytest.raises(errors.BadReply, match="the order book of XBTUSDTM is not as documented"):
        rest.level2_snapshot("XBTUSDTM")


@pytest.mark.parametrize(
    "row",
    [
        {"price": "1", "size": 1, "side": "buy"},
        {"price": "1", "size": 1, "side": "long", "ts": NOW_NS},
        {"price": None, "size": 1, "side": "buy", "ts": NOW_NS},
    ],
)
def test_a_broken_trade_is_a_bad_reply(exchange, rest, row):
    exchange.answers = [ok([row])]

    with pytest.raises(errors.BadReply, match="the trades of XBTUSDTM"):
        rest.trades("XBTUSDTM")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(payload("bullet_public")[:150]),
        Answer(payload("bullet_public").replace(b'"wss:', b'"ftp:')),
        Answer(payload("bullet_public").replace(b"18000", b'"never"')),
        Answer(payload("bullet_public"), promised=5_000),
    ],
)
def test_no_failure_shows_a_token(exchange, rest, caplog, answer):
    exchange.answers = [answer]

    with caplog.at_level(logging.DEBUG), pytest.raises(errors.BadReply) as caught:
        rest.token("futures")

    shown = caplog.text
    error = caught.value
    while error is not None:
        shown += repr(error)
        error = error.__cause__ or error.__context__
    assert SECRET not in shown
