import http.server
import io
import threading

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput
from kucoin_research.records import Balance, Depth50
from tests.unit.rows import DAY, NOON, ticker
from tests.unit.test_sessions import recorded


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
    """Just enough of S3 to take uploads, whole or in parts."""

    stored: dict[str, bytes]

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


def test_an_s3_url_is_written_by_polars(session):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        server.stored = {}
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
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
        server.shutdown()
        thread.join(5)

    key = "/bucket/archive/channel=ticker/symbol=BTC-USDT/date=2024-02-26/part.parquet"
    stored = {name.replace("%3D", "="): data for name, data in server.stored.items()}
    assert pl.read_parquet(io.BytesIO(stored[key]))["price"].to_list() == [80005.5]
