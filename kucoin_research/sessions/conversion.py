"""Converting recorded sessions to Parquet."""

from __future__ import annotations

from collections.abc import Iterable

from kucoin_research.foundation.arguments import explained
from kucoin_research.sessions import parquet
from kucoin_research.sessions.checks.session_files import Paths
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session

__all__ = ["convert"]


@explained("convert")
def convert(
    session: Session | Paths | Iterable[Paths],
    folder: Paths,
    *,
    part: str = "part",
    storage_options: dict[str, str] | None = None,
) -> list[str]:
    """Write a session as Parquet that polars, DuckDB and Dask read in place.

    Parameters
    ----------
    session
        A session, or a path as for ``load``.
    folder
        A folder, or a URL: ``file://…``, ``s3://bucket/…`` or any other that polars can write to.
        In it: ``channel=…/symbol=…/date=…/part.parquet``; ``date`` is the UTC day of arrival. The
        files hold all columns except ``symbol``, which is in the folder's name. Rows without a
        symbol are under hive's ``__HIVE_DEFAULT_PARTITION__``, which reads as null.
    part
        The files' name. To collect several sessions that share a day in one archive, name each
        session's files differently.
    storage_options
        Passed on to polars, for URLs.

    Returns
    -------
    list[str]
        The files written.

    Raises
    ------
    InvalidInput
        If a file exists already, also at a URL: nothing is overwritten. If the folder is a
        session's folder or inside one: only recorded files belong there.
    SessionBroken
        If a line cannot be read.
    OSError
        If the folder cannot be made or written to; of the kind that the system raises.
    """
    if not isinstance(session, Session):
        session = load(session)
    return parquet.write_archive(
        session.pieces(), folder, own=session.paths, part=part, storage_options=storage_options
    )
