import errno
import http.server
import io
import os
import threading
from pathlib import Path

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput
from kucoin_research.model.records import Balance, Depth50
from kucoin_research.sessions import parquet
from tests.unit.rows import DAY, NOON, ticker
from tests.unit.sessions.test_session import recorded


@pytest.fixture
def session(tmp_path):
    rows = [
        *(ticker(n, "XBTUSDTM", local_timestamp=NOON + n * DAY) for n in range(2)),
        ticker(5, "BTC-USDT"),
        Depth50(NOON, NOON + 9, "XBTUSDTM", 1, (1.0, 2.0), (), (3.0,), (4.0,)),
        Balance(*[None] * len(Balance._fields))._replace(local_timestamp=NOON, total=1.5),
    ]
    return kr.load(recorded(tmp_path / "sessions", rows, channels=["ticker", "depth50", "balance"]))


def test_files_lie_in_the_hive_layout(session, tmp_path):
    written = kr.convert(session, tmp_path / "archive")

    assert [path.removeprefix(f"{tmp_path}/archive/") for path in sorted(written)] == [
        "channel=balance/symbol=__HIVE_DEFAULT_PARTITION__/date=2024-02-26/part.parquet",
        "channel=depth50/symbol=XBTUSDTM/date=2024-02-26/part.parquet",
        "channel=ticker/symbol=BTC-USDT/date=2024-02-26/part.parquet",
        "channel=ticker/symbol=XBTUSDTM/date=2024-02-26/part.parquet",
        "channel=ticker/symbol=XBTUSDTM/date=2024-02-27/part.parquet",
    ]


def test_polars_reads_it_in_place(session, tmp_path):
    session.to_parquet(tmp_path / "archive")

    rows = pl.scan_parquet(tmp_path / "archive/channel=ticker", hive_partitioning=True)

    found = rows.filter(pl.col("symbol") == "XBTUSDTM").sort("local_timestamp").collect()
    assert found["price"].to_list() == session.frame("ticker", "XBTUSDTM")["price"].to_list()
    assert found["local_timestamp"].dtype == pl.Datetime("ns", "UTC")
    lists = pl.read_parquet(tmp_path / "archive/channel=depth50/**/*.parquet")
    assert lists["bid_prices"].to_list() == [[1.0, 2.0]]
    assert lists["bid_sizes"].to_list() == [[]]


def test_duckdb_reads_it_in_place(session, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    session.to_parquet(tmp_path / "archive")

    with duckdb.connect() as connection:
        found = connection.execute(
            "select symbol, count(*), sum(price) from read_parquet(?, hive_partitioning = true) "
            "where channel = 'ticker' group by symbol order by symbol",
            [f"{tmp_path}/archive/channel=ticker/**/*.parquet"],
        ).fetchall()

    assert found == [("BTC-USDT", 1, 80005.5), ("XBTUSDTM", 2, 160002.0)]


@pytest.mark.filterwarnings("ignore")
def test_dask_reads_it_in_place(session, tmp_path):
    dataframe = pytest.importorskip("dask.dataframe")
    session.to_parquet(tmp_path / "archive")

    rows = dataframe.read_parquet(tmp_path / "archive/channel=ticker").compute(
        scheduler="synchronous"
    )

    assert sorted(rows["symbol"].astype(str)) == ["BTC-USDT", "XBTUSDTM", "XBTUSDTM"]
    assert sorted(rows["price"]) == [80000.5, 80001.5, 80005.5]


def test_nothing_is_written_over(session, tmp_path):
    kr.convert(session, tmp_path / "archive")

    with pytest.raises(InvalidInput, match="there already"):
        kr.convert(session, tmp_path / "archive")
    kr.convert(session.path, tmp_path / "archive", part="second")
    assert len(pl.read_parquet(tmp_path / "archive/channel=ticker/**/*.parquet")) == 6


def test_a_file_url_is_a_folder(session, tmp_path):
    written = kr.convert(session, (tmp_path / "an archive").as_uri())

    assert pl.read_parquet(written[0]).height == 1


@pytest.mark.parametrize("target", ["s3://", "file://elsewhere/x"])
def test_urls_that_mean_nothing_are_refused(session, target):
    with pytest.raises(InvalidInput):
        kr.convert(session, target)
    with pytest.raises(InvalidInput, match="part"):
        kr.convert(session, "x", part="../x")


class Bucket(http.server.BaseHTTPRequestHandler):
    """Just enough of S3 to take uploads, whole or in parts, and to give them back."""

    stored: dict[str, bytes]

    def do_GET(self):
        found = self.server.stored.get(self.path.partition("?")[0])
        self.send_response(self.server.missing if found is None else 206)
        body = b"<Error/>" if found is None else found
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        key = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stored[key] = self.server.stored.get(key, b"") + body
        self._answer(b"")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        end = b"uploads" in self.path.encode()
        name = b"InitiateMultipartUploadResult" if end else b"CompleteMultipartUploadResult"
        inner = b"<Bucket>b</Bucket><Key>k</Key><UploadId>1</UploadId><ETag>1</ETag>"
        self._answer(b"<" + name + b">" + inner + b"</" + name + b">")

    def _answer(self, body):
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        server.stored = {}
        server.missing = 404
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def put(session, server):
    kr.convert(
        session,
        "s3://bucket/archive",
        storage_options={
            "aws_endpoint_url": f"http://127.0.0.1:{server.server_port}",
            "aws_access_key_id": "none",
            "aws_secret_access_key": "none",
            "aws_region": "none",
            "aws_allow_http": "true",
        },
    )


@pytest.mark.parametrize("content", ["parquet", b"something else"], ids=str)
def test_nothing_is_written_over_at_a_url(session, bucket, content):
    put(session, bucket)
    if content != "parquet":
        bucket.stored = dict.fromkeys(bucket.stored, content)
    before = dict(bucket.stored)

    with pytest.raises(InvalidInput, match="there already"):
        put(session, bucket)

    assert bucket.stored == before


def test_a_store_that_does_not_say_what_is_there_is_not_written_to(session, bucket):
    bucket.missing = 403

    with pytest.raises(InvalidInput, match="cannot be told"):
        put(session, bucket)

    assert bucket.stored == {}


def test_a_file_in_the_place_of_the_folder_is_refused(session, tmp_path):
    (tmp_path / "archive").touch()

    with pytest.raises(InvalidInput, match="is a file"):
        kr.convert(session, tmp_path / "archive")


def test_what_comes_while_writing_is_not_written_over(session, tmp_path, monkeypatch):
    portable = parquet._portable

    def late(rows):
        place = "channel=ticker/symbol=BTC-USDT/date=2024-02-26"
        (tmp_path / "archive" / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "archive" / place / "part.parquet").write_text("mine")
        return portable(rows)

    monkeypatch.setattr(parquet, "_portable", late)
    with pytest.raises(InvalidInput, match="there already"):
        kr.convert(session, tmp_path / "archive")

    (mine,) = tmp_path.glob("archive/channel=ticker/symbol=BTC-USDT/*/*")
    assert mine.read_text() == "mine"


def test_an_s3_url_is_written_by_polars(session, bucket):
    put(session, bucket)

    key = "/bucket/archive/channel=ticker/symbol=BTC-USDT/date=2024-02-26/part.parquet"
    stored = {name.replace("%3D", "="): data for name, data in bucket.stored.items()}
    assert pl.read_parquet(io.BytesIO(stored[key]))["price"].to_list() == [80005.5]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENOENT])
@pytest.mark.parametrize("at", ["folder", "file"])
def test_a_folder_that_cannot_be_written_to_is_named_with_the_reason(
    tmp_path, monkeypatch, code, at
):
    session = kr.load(recorded(tmp_path, [ticker(0)]))

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code), "somewhere")

    if at == "folder":
        monkeypatch.setattr(Path, "mkdir", refuse)
    else:
        monkeypatch.setattr(parquet, "create", refuse)
    folder = tmp_path / "archive"
    with pytest.raises(OSError, match="cannot be written to") as told:
        kr.convert(session, folder)

    assert type(told.value) is type(OSError(code, ""))
    assert told.value.errno == code
    assert str(told.value) == (
        f"{folder} cannot be written to: {os.strerror(code)}; choose another folder"
    )
