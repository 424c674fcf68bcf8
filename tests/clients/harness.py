"""Other people's KuCoin clients with the demo key, each from its plain constructor.

``python -m tests.clients`` builds an environment for each below ``.venv-clients``, runs its program
(``programs/``) against a simulated exchange of its own, and ends with the table; ``--write`` puts
it into CONTRIBUTING.md. Names of packages choose some of them. It fails if a call fails that is not
in `KNOWN`, or passes although it is.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.processes import PATIENCE, Process

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PINS, PROGRAMS = HERE / "pins", HERE / "programs"
ENVIRONMENTS = ROOT / ".venv-clients"
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- clients -->\n", "<!-- end of clients -->"
HEADER = ("client", "version", "how its address is set", "tried", "passed", "why not")


class Client(NamedTuple):
    """One client: the name of its package, ``pip`` or ``npm``, its program, and its address."""

    package: str
    kind: str
    program: str
    address: str

    @property
    def name(self):
        """Its name in the table: two languages may have a package of the same name."""
        return f"{self.package} ({'Python' if self.kind == 'pip' else 'Node'})"

    @property
    def slug(self):
        """Its name in paths."""
        return self.package if self.kind == "pip" else f"npm-{self.package}"

    @property
    def version(self):
        """The version of its package that is pinned."""
        if self.kind == "npm":
            return json.loads(self.pins.read_text())["dependencies"][self.package]
        return re.search(rf"^{self.package}==(.+)$", self.pins.read_text(), re.M)[1]

    @property
    def files(self):
        """All files that its environment is made of."""
        lock = self.pins.with_name("package-lock.json")
        return [self.pins] if self.kind == "pip" else [self.pins, lock]

    @property
    def pins(self):
        """The file of its pinned packages."""
        return PINS / (f"{self.slug}.txt" if self.kind == "pip" else f"{self.slug}/package.json")


CLIENTS = [
    Client(
        "kucoin-universal-sdk", "pip", "universal_sdk_python.py",
        "options `set_spot_endpoint`, `set_futures_endpoint`",
    ),
    Client(
        "kucoin-universal-sdk", "npm", "universal_sdk_js.js",
        "options `setSpotEndpoint`, `setFuturesEndpoint`",
    ),
    Client("ccxt", "pip", "ccxt_python.py", '`urls["api"]`'),
    Client("ccxt", "npm", "ccxt_js.js", "`urls.api`; sockets need `await loadHttpProxyAgent()`"),
    Client("kucoin-node-sdk", "npm", "kucoin_node_sdk.js", "`baseUrl` of its configuration"),
    Client("kucoin-python", "pip", "kucoin_python.py", "argument `url`"),
    Client("kucoin-futures-python", "pip", "kucoin_futures_python.py", "argument `url`"),
    Client(
        "python-kucoin", "pip", "python_kucoin.py",
        "written into its class: `Client.REST_API_URL`, `Client.REST_FUTURES_API_URL`",
    ),
    Client(
        "cryptofeed", "pip", "cryptofeed_calls.py",
        "written into its constructor, as wss; patched: `KuCoin.http_sync`, "
        "`KuCoin.rest_endpoints`, `connection.connect`",
    ),
    Client(
        "typed-kucoin", "pip", "typed_kucoin_calls.py",
        "no argument; set after `new`: `base_url` of its two HTTP clients",
    ),
]  # fmt: skip

_NULLS = "its types refuse nulls that KuCoin's documents show; `validate=False` takes them"
#: Calls that fail for a reason of the client's own: by its name, the call, and the reason.
KNOWN = {
    "kucoin-universal-sdk (Node)": {
        "futures get": "it never fills the variable `order-id` of its own path",
    },
    "python-kucoin (Python)": {
        "spot balances from its plain constructor": (
            "it signs for keys made before 2021, which KuCoin takes no more; with a signed "
            "passphrase and `KC-API-KEY-VERSION` in `requests_params` the others pass"
        ),
        "futures fills": "it does not sign this call",
    },
    "cryptofeed (Python)": {
        "spot socket as released": (
            "it puts a blank into topics, which KuCoin refuses since February 2026 "
            "(cryptofeed issue 1100); without it the others pass"
        ),
    },
    "typed-kucoin (Python)": {
        "futures balances": "it asks the spot address, where KuCoin has no such call",
        "futures get": _NULLS,
        "futures open orders": _NULLS,
        "futures fills": _NULLS,
    },
}


class Row(NamedTuple):
    """What became of one client: its calls, each with its error, empty if it passed."""

    client: Client
    calls: dict[str, str]
    trouble: str = ""

    @property
    def unexpected(self):
        """The calls that went otherwise than `KNOWN` says."""
        known = KNOWN.get(self.client.name, {})
        return {call: error for call, error in self.calls.items() if bool(error) != (call in known)}


# Environments


def build(client):
    """Build the client's environment, unless it is there with these pins; return why it cannot."""
    folder = ENVIRONMENTS / client.slug
    ready, wanted = folder / ".ready", "".join(map(Path.read_text, client.files))
    if ready.exists() and ready.read_text() == wanted:
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for command in _commands(client, folder):
        if shutil.which(command[0]) is None:
            return f"{command[0]} is not on this machine"
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{' '.join(command[:3])}: {(done.stderr or done.stdout).strip()[-300:]}"
    ready.write_text(wanted)
    return ""


def _commands(client, folder):
    if client.kind == "npm":
        for file in client.files:
            shutil.copy(file, folder)
        return [["npm", "ci", "--silent", "--prefix", str(folder)]]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "--disable-pip-version-check", "--requirement", str(client.pins)],
    ]


# Runs


def run(client):
    """Run the client's program against an exchange of its own and return its row."""
    trouble = build(client)
    if trouble:
        return Row(client, {}, trouble)
    words = ["-m", "kucoin_research", "simulate"]
    with Process(sys.executable, *words, PYTHONPATH=str(ROOT)) as exchange:
        addresses = json.loads(exchange.line())
        command = [*_interpreter(client), PROGRAMS / client.program]
        with Process(
            *command, addresses["futures"], addresses["spot"], **_environment(client)
        ) as program:
            return Row(client, *_calls(program))


def _interpreter(client):
    return ["node"] if client.kind == "npm" else [ENVIRONMENTS / client.slug / "bin" / "python"]


def _environment(client):
    modules = str(ENVIRONMENTS / client.slug / "node_modules")
    local = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {"NODE_PATH": modules, "PYTHONPATH": None, **local}


def _calls(program):
    """Read how each call went, and what went wrong with the program as a whole."""
    calls = {}
    try:
        while (line := program.line(PATIENCE)) is not None:
            if line.startswith("{"):
                told = json.loads(line)
                calls[told["call"]] = told["error"]
    except AssertionError as silence:
        return calls, str(silence)
    code = program.wait()
    if code or not calls:
        return calls, f"exit code {code}: {program.stderr.strip()[-300:]}"
    return calls, ""


# The table


def table(rows):
    """Lay the rows out as a table of Markdown."""
    lines = [HEADER, ("---",) * len(HEADER), *map(_cells, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row):
    client = row.client
    known = KNOWN.get(client.name, {})
    failed = {call: known.get(call, error) for call, error in row.calls.items() if error}
    reasons = {}
    for call, reason in failed.items():
        reasons.setdefault(reason, []).append(call)
    why = [f"{', '.join(calls)}: {reason}" for reason, calls in reasons.items()]
    why += [row.trouble] if row.trouble else []
    passed = len(row.calls) - len(failed)
    return (
        client.name, client.version, client.address, str(len(row.calls)), str(passed),
        "; ".join(why).replace("|", "/").replace("\n", " "),
    )  # fmt: skip


def written(text, made):
    """Return the page with the table put in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{made}{END}{after}"


def read_table(text):
    """Return the client and version of each row of the page's table."""
    lines = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()[2:]
    return [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in lines]


def main(words):
    """Run the clients, print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="packages; all if left out")
    parser.add_argument("--write", action="store_true", help="put the table into CONTRIBUTING.md")
    arguments = parser.parse_args(words)
    if os.name == "nt":
        parser.error("the environments of the clients are built on Linux and macOS only")
    chosen = [each for each in CLIENTS if not arguments.names or each.package in arguments.names]
    rows = []
    for client in chosen:
        print(f"{client.name} {client.version}", flush=True)
        rows.append(run(client))
        _show(rows[-1])
    print(f"\n{table(rows)}")
    if arguments.write and chosen == CLIENTS:
        PAGE.write_text(written(PAGE.read_text(), table(rows)))
    return int(any(row.unexpected or row.trouble for row in rows))


def _show(row):
    for call, error in row.calls.items():
        print(f"  {'ok  ' if not error else 'FAIL'} {call}{error and ': '}{error}", flush=True)
    if row.trouble:
        print(f"  {row.trouble}", flush=True)
