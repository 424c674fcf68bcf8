"""What works on this machine, and the line that mends what does not.

``diagnose`` looks at the packages, at JupyterLab and its limits, at the disk, at a venue's REST and
WebSocket sides, at the clock and at the credentials. It changes nothing, shows no secret, and talks
to the venue only, within a few seconds for each question.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kucoin_research.api.checks import find_venue
from kucoin_research.errors import (
    CredentialsMissing,
    InvalidInput,
    KucoinResearchError,
    shown,
)
from kucoin_research.exchange import network
from kucoin_research.exchange.credentials import Credentials, held, refuse_other
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.topics import Feed
from kucoin_research.exchange.venues import Venue, is_trusted, target_of
from kucoin_research.exchange.websocket.connection import open_hidden
from kucoin_research.exchange.websocket.feeds import spec_of
from kucoin_research.model.channels import (
    Market,
)

__all__ = ["Check", "Diagnosis", "Severity", "diagnose", "doctor"]

_NEEDED = ("polars", "pandas", "pyarrow", "numpy", "msgspec", "requests", "websocket-client")
# The notebook's half, and the first major release that will do.
_NOTEBOOK = {"jupyterlab": 4, "ipykernel": 6, "ipywidgets": 8, "anywidget": 0, "plotly": 6}
_LAB_EXTENSIONS = {
    "ipywidgets": "@jupyter-widgets/jupyterlab-manager",
    "anywidget": "anywidget",
}
# JupyterLab's own defaults; a dashboard stays far below them.
_RATE_LIMITS = {"iopub_msg_rate_limit": 1_000.0, "iopub_data_rate_limit": 1_000_000.0}
_ENOUGH = {"iopub_msg_rate_limit": 200.0, "iopub_data_rate_limit": 500_000.0}
# Signed calls are refused at 5 s; lags are off by as much as the clock is.
_SKEW_NOTICED, _SKEW_REFUSED = 1.0, 5.0
_LITTLE_DISK = 1_000_000_000
_TIMEOUTS = (3.0, 5.0)
_OPEN_TIMEOUT = 5.0
_WELCOME_TIMEOUT = 5.0


@unique
class Severity(StrEnum):
    """How something is."""

    OK = "ok"
    NOTE = "note"  # works, but worth knowing
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name, health, detail
        The part that was checked, its state, and the finding.
    fix
        The one line that mends it; empty where nothing is to be mended.
    """

    name: str
    health: Severity
    detail: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{_MARKS[self.health]} {self.name:<28} {self.detail}"
        return f"{line}\n  {'':<28} → {self.fix}" if self.fix else line


_MARKS = {Severity.OK: "✓", Severity.NOTE: "·", Severity.BAD: "✗"}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was looked at; print it, or let a notebook show it."""

    checks: tuple[Check, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing is bad."""
        return all(check.health is not Severity.BAD for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """Find a check by its name."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check {shown(name)}; checks: {', '.join(c.name for c in self.checks)}")

    def __str__(self) -> str:
        bad = sum(check.health is Severity.BAD for check in self.checks)
        head = "all is well" if not bad else f"{bad} of {len(self.checks)} need mending"
        return "\n".join([head, *map(str, self.checks)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{_MARKS[check.health]}</td><td><b>{html.escape(check.name)}</b></td>"
            f"<td style='text-align:left'>{html.escape(check.detail)}"
            + (f"<br>→ <code>{html.escape(check.fix)}</code>" if check.fix else "")
            + "</td></tr>"
            for check in self.checks
        )
        return f"<table>{rows}</table>"


def diagnose(venues: Sequence[Venue], credentials: Credentials | None = None) -> Diagnosis:
    """Look at everything.

    Parameters
    ----------
    venues
        Whose REST and WebSocket sides to try.
    credentials
        To be tried; those of the environment or ``.env`` unless given.
    """
    checks = [*_packages(), *_notebook(), *_limits(), *_disk()]
    found, told = _credentials(credentials)
    checks.append(told)
    for venue in venues:
        checks.extend(_venue(venue, found))
    return Diagnosis(tuple(checks))


# -- this machine ----------------------------------------------------------------------------------


def _packages() -> Iterator[Check]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", Severity.OK, f"{python} at {sys.executable}")
    missing = [name for name in _NEEDED if _version(name) is None]
    if missing:
        fix = f"pip install {' '.join(missing)}"
        yield Check("packages", Severity.BAD, f"missing: {', '.join(missing)}", fix)
    else:
        yield Check("packages", Severity.OK, ", ".join(f"{n} {_version(n)}" for n in _NEEDED))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _notebook() -> Iterator[Check]:
    for package, first in _NOTEBOOK.items():
        found = _version(package)
        if found is None:
            fix = f"pip install '{package}>={first}'"
            yield Check(package, Severity.BAD, "not installed, so there are no live figures", fix)
        elif int(found.split(".")[0]) < first:
            fix = f"pip install --upgrade '{package}>={first}'"
            yield Check(package, Severity.BAD, f"{found} is too old", fix)
        else:
            yield _extension(package, found)


def _extension(package: str, found: str) -> Check:
    """Tell whether the browser's half of a package is where JupyterLab looks for it."""
    name = _LAB_EXTENSIONS.get(package)
    if name is None:
        return Check(package, Severity.OK, found)
    places = [Path(path) / "labextensions" / name for path in _jupyter_paths("jupyter_path")]
    home = next((place for place in places if (place / "package.json").is_file()), None)
    if home is None:
        fix = f"pip install --force-reinstall {package}, then restart JupyterLab"
        return Check(package, Severity.BAD, f"{found}, but JupyterLab has no {name}", fix)
    its_version = json.loads((home / "package.json").read_text()).get("version", "?")
    return Check(package, Severity.OK, f"{found}, in the browser {name} {its_version}")


def _jupyter_paths(function: str) -> list[str]:
    try:
        from jupyter_core import paths
    except ImportError:
        return []
    found: list[str] = getattr(paths, function)()
    return found


def _limits() -> Iterator[Check]:
    settings = _server_settings()
    for name, usual in _RATE_LIMITS.items():
        value = float(settings.get(name, usual))
        where = "set" if name in settings else "the default"
        if 0 < value < _ENOUGH[name]:
            fix = f"jupyter lab --ServerApp.{name}={usual:g}"
            yield Check(name, Severity.BAD, f"{value:g} per second is too little for charts", fix)
        else:
            yield Check(name, Severity.OK, f"{value:g} per second, {where}")


def _server_settings() -> dict[str, Any]:
    """Read what JSON files set for JupyterLab's server; files of Python are not run."""
    merged: dict[str, Any] = {}
    for folder in reversed(_jupyter_paths("jupyter_config_path")):
        for path in (
            Path(folder) / "jupyter_server_config.json",
            *sorted((Path(folder) / "jupyter_server_config.d").glob("*.json")),
        ):
            merged.update(_settings_of(path))
    return merged


def _settings_of(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # absent, or not Jupyter's own business of today
    found: dict[str, Any] = {}
    for section in ("NotebookApp", "ServerApp", "ZMQChannelsWebsocketConnection"):
        values = content.get(section)
        if isinstance(values, dict):
            found.update(values)
    return found


def _disk() -> Iterator[Check]:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free at {folder}"
    if not os.access(folder, os.W_OK):
        fix = "change to a folder of your own before recording"
        yield Check("disk", Severity.BAD, f"{folder} cannot be written to", fix)
    elif free < _LITTLE_DISK:
        need = "free some space: a day of one symbol takes 1-10 GB"
        yield Check("disk", Severity.BAD, text, need)
    else:
        yield Check("disk", Severity.OK, text)


# -- the venue -------------------------------------------------------------------------------------


def _credentials(given: Credentials | None) -> tuple[Credentials | None, Check]:
    name = "credentials"
    if given is not None:
        return given, Check(name, Severity.OK, "given")
    try:
        found = Credentials.from_env()
    except CredentialsMissing:
        text = "none; public data needs none"
        fix = "for private channels: kucoin-research init makes a file .env to fill in"
        return None, Check(name, Severity.NOTE, text, fix)
    except InvalidInput as error:
        return None, Check(name, Severity.BAD, str(error), "mend the file or variable it names")
    return found, Check(name, Severity.OK, f"found, version {found.key_version}")


def _venue(venue: Venue, credentials: Credentials | None) -> Iterator[Check]:
    yield from _ways(venue)
    for market in Market:
        where = f"{venue.name} {market}"
        # No retries: a failure now is the finding.
        with Rest(
            venue, credentials=credentials, timeout=_TIMEOUTS, total=sum(_TIMEOUTS), patience=0.0
        ) as rest:
            clock = _tried(f"{where} REST", partial(_clock, rest, market))
            yield clock
            if clock.health is Severity.BAD and "clock" not in clock.detail:
                continue  # nothing else can be had there, and each try takes its time
            yield _tried(f"{where} WebSocket", partial(_welcome, rest, market))
            if credentials is not None and is_trusted(venue.url(market)):
                yield _tried(f"{where} key", partial(_login, rest, market))


def _ways(venue: Venue) -> Iterator[Check]:
    """Tell through which proxy, and by whose certificates, the venue is reached."""
    urls = {market: venue.url(market) for market in Market}
    found = {
        market: _tried(f"{venue.name} {market} network", partial(_way, url))
        for market, url in urls.items()
    }
    if len({(check.detail, check.fix) for check in found.values()}) == 1:
        check = next(iter(found.values()))
        yield Check(f"{venue.name} network", check.health, check.detail, check.fix)
    else:  # NO_PROXY may name one of the hosts
        yield from found.values()


def _way(url: str) -> tuple[Severity, str, str]:
    return Severity.OK, network.described(target_of(url)), ""


def _tried(name: str, look: Callable[[], tuple[Severity, str, str]]) -> Check:
    try:
        health, detail, fix = look()
    except KucoinResearchError as error:
        detail, _, fix = str(error).partition("; ")
        return Check(name, Severity.BAD, detail, fix or "check the network, or use venue='demo'")
    return Check(name, health, detail, fix)


def _clock(rest: Rest, market: Market) -> tuple[Severity, str, str]:
    began = time.monotonic()
    offset = rest.clock_offset(market)
    took_ms = (time.monotonic() - began) * 1e3
    skew = offset.offset_ns / 1e9
    answer = f"answers in {took_ms:.0f} ms"
    if rest.venue.is_loopback and abs(skew) >= _SKEW_NOTICED:
        return Severity.OK, f"{answer}; its clock is its own", ""
    text = f"{answer}; this clock is {-skew:+.2f} s off"
    if abs(skew) >= _SKEW_REFUSED:
        return Severity.BAD, text, "set this machine's clock by network time (NTP)"
    if abs(skew) >= _SKEW_NOTICED:
        return Severity.NOTE, text, "set this machine's clock by network time (NTP)"
    return Severity.OK, text, ""


def _welcome(rest: Rest, market: Market) -> tuple[Severity, str, str]:
    began = time.monotonic()
    endpoint = spec_of(Feed.CLASSIC).endpoint(rest, market, False, 0)
    with open_hidden(endpoint.url, timeout=_OPEN_TIMEOUT) as connection:
        deadline = time.monotonic() + _WELCOME_TIMEOUT
        while time.monotonic() < deadline:
            if connection.receive(0.2):
                took_ms = (time.monotonic() - began) * 1e3
                return Severity.OK, f"welcomes in {took_ms:.0f} ms", ""
    return Severity.BAD, "opens, but does not greet", "try again in a minute"


def _login(rest: Rest, market: Market) -> tuple[Severity, str, str]:
    rest.token(market, private=True)
    return Severity.OK, "accepted", ""


def doctor(
    venue: Venue | str | None = None, *, credentials: Credentials | None = None
) -> Diagnosis:
    """Look at what works on this machine; print the result, or let a notebook show it.

    Packages, JupyterLab with its extensions and limits, disk, credentials (never shown), and each
    venue's REST and WebSocket sides and clock: each is ok, or has the one line that mends it. It
    talks to the venue that is meant (see ``find_venue``) and to the simulated exchange.

    Parameters
    ----------
    venue
        Only this one.
    credentials
        To be tried; those of the environment or ``.env`` unless given.
    """
    credentials = held(credentials)
    refuse_other(credentials)
    meant = find_venue(venue)
    venues = [meant] if venue is not None or meant.name == "demo" else [meant, find_venue("demo")]
    return diagnose(venues, credentials)
