"""The settings of a simulated exchange."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.sim.accounts.keys import DEMO_ACCOUNT, Account
from kucoin_research.sim.accounts.ledger import MARGIN_RULES, MarginRules
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.more_contracts import MOST_CONTRACTS

__all__ = ["Settings", "make_settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    r"""The choices a user has about the simulated exchange, beyond its seed, speed and addresses.

    It has one field per option that ``Exchange`` takes by name, and so more fields than a class of
    ours should have.

    Attributes
    ----------
    ping_interval_ms, ping_timeout_ms
        The token reply's two fields for clients, which decide when they send pings.
    idle_timeout
        Seconds (wall) of client silence before the exchange closes a connection.
    rate_limit, rate_window
        Quota of the public pool per market, and its window in seconds (wall).
    max_topics
        Topics per connection; None for KuCoin's own: 400 on spot, unlimited on futures.
    max_connections
        Connections per market.
    max_messages, message_window
        Client messages allowed per window, and the window in seconds (wall); one more message
        closes the connection.
    token_lifetime, connection_lifetime
        Seconds (wall). They belong to the connection, so they do not run with the market's virtual
        clock.
    ack_delay_ms
        Longest delay of an ack (wall). Each delay is drawn at random, so data can come first.
    compression
        Whether permessage-deflate is accepted when the client offers it.
    patience
        Seconds (wall) for which a reader may take nothing. Then its data is dropped, as KuCoin
        does. Meanwhile virtual time waits for it, but not at a speed of 1 or less: there a slow
        reader slows nobody.
    buffer_bytes
        Unsent bytes per connection from which its reader counts as slow.
    spot_fillers
        Whether every third spot book sequence is a price-0 filler, as in the 2021 captures.
    spot_changes_per_frame
        Most changes in one spot level 2 frame. Above 1 they are unordered, and a change that a
        later one overwrites has no entry.
    spot_resend_depth
        Whether spot depth frames are sent although nothing changed (futures always does).
    candle_add
        Whether a spot candle begins with the undocumented subject ``trade.candles.add``.
    bare_announcements
        Whether funding announcements carry the topic without a symbol even if the client named
        one, as in the documents' samples. KuCoin's own SDK does not find such frames.
    number_market_snapshots
        Whether the outer ``sequence`` of snapshots on the topic of a whole market is a number, as
        in captures of 2024 and 2026, or text, as in the documents. KuCoin's own SDK refuses the
        number.
    kline_page
        Rows in one futures kline reply; the documents say 500, a probe of KuCoin got 200.
    candles_include_end
        Whether spot candles that open at the ``endAt`` of a call are among its rows. Public clients
        disagree.
    pro_idle_timeout
        Seconds (wall) of client silence before a connection of the pro feed without a subscription
        is closed.
    max_pro_topics, max_pro_messages
        Channels per connection of the pro feed, and client messages in ``message_window``.
    states
        The symbols that do not trade, each with its state: ``{"SOLUSDTM": "Paused"}``. Such a
        symbol is silent on the stream. On futures the state is one of KuCoin's words; on spot any
        word but ``Open`` closes a pair.
    warm_up
        Virtual seconds for which a symbol has traded, unseen, when it is first touched, so that
        there are recent trades.
    accounts
        The accounts (`Account`) beside the demo account, which is always there.
    private_rate_limit
        Quota of signed calls per market and account; None for KuCoin's own: 4000 on spot, 2000 on
        futures.
    margin_rules
        The rules by which isolated positions are liquidated: KuCoin's since 2025-05-22
        (``"2025-05"``), or those before (``"legacy"``).
    journal
        Whether every published message is kept, for ``Exchange.journal``; memory grows without
        bound.
    dead_servers
        Number of servers that refuse every connection; the token reply names them ahead of the one
        that works.
    contracts
        Number of contracts on offer: those of the catalog, then perpetuals of other coins up to
        this number (KuCoin lists about 700), a few of them busy and most of them slow. None for
        the catalog alone.
    quiet_contracts
        Number of synthetic contracts on offer beside the catalog: ``SIM001USDTM`` and so on. They
        are USDT-margined perpetuals with little activity, so that hundreds can be streamed.
    """

    ping_interval_ms: int = 18_000
    ping_timeout_ms: int = 10_000
    idle_timeout: float = 60.0
    rate_limit: int = 2_000
    rate_window: float = 30.0
    max_topics: int | None = None
    max_connections: int = 800
    max_messages: int = 100
    message_window: float = 10.0
    token_lifetime: float = 86_400.0
    connection_lifetime: float = 86_400.0
    ack_delay_ms: int = 0
    compression: bool = True
    patience: float = 1.0
    buffer_bytes: int = 1 << 20
    spot_fillers: bool = True
    spot_changes_per_frame: int = 1
    spot_resend_depth: bool = False
    candle_add: bool = False
    bare_announcements: bool = False
    number_market_snapshots: bool = False
    kline_page: int = 200
    candles_include_end: bool = False
    pro_idle_timeout: float = 60.3
    max_pro_topics: int = 600
    max_pro_messages: int = 300
    states: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warm_up: float = 60.0
    accounts: tuple[Account, ...] = ()
    private_rate_limit: int | None = None
    margin_rules: MarginRules = "2025-05"
    journal: bool = False
    dead_servers: int = 0
    contracts: int | None = None
    quiet_contracts: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, str(field.type), getattr(self, field.name))
        if self.margin_rules not in MARGIN_RULES:
            raise InvalidInput(
                f"no margin_rules {shown(self.margin_rules)}; rules: {', '.join(MARGIN_RULES)}"
            )
        keys = [account.key for account in (DEMO_ACCOUNT, *self.accounts)]
        if len(set(keys)) < len(keys):
            raise InvalidInput("two accounts have the same key, or that of the demo account")
        for name, most in (("dead_servers", 20), ("quiet_contracts", 999)):
            if not 0 <= getattr(self, name) <= most:
                raise InvalidInput(f"{name} must be from 0 to {most}, not {getattr(self, name)}")
        fewest = sum(listing.market == "futures" for listing in LISTINGS.values())
        if self.contracts is not None and not fewest <= self.contracts <= MOST_CONTRACTS:
            raise InvalidInput(
                f"contracts must be from {fewest} to {MOST_CONTRACTS}, or left out for the catalog "
                f"alone, not {self.contracts}"
            )


def _check(name: str, kind: str, value: object) -> None:
    """Raise `InvalidInput` for a setting of another kind than its field's."""
    if kind.endswith(" | None") and value is None:
        return
    kind = kind.removesuffix(" | None")
    if kind == "bool" and not isinstance(value, bool):
        raise InvalidInput(f"{name} must be True or False, not {shown(value)}")
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind == "int" and not is_whole:
        raise InvalidInput(f"{name} must be a whole number from 0 on, not {shown(value)}")
    if kind == "float" and not (is_whole or (isinstance(value, float) and value >= 0)):
        raise InvalidInput(f"{name} must be a number of seconds from 0 on, not {shown(value)}")
    if kind.startswith("Mapping") and not isinstance(value, Mapping):
        raise InvalidInput(f"{name} must be a dict, not {shown(value)}")


def make_settings(chosen: dict[str, Any]) -> Settings:
    """Make settings of keyword arguments.

    Raises
    ------
    InvalidInput
        If there is no such setting, or an account is no `Account`.
    """
    known = [one.name for one in dataclasses.fields(Settings)]
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise InvalidInput(f"no setting {shown(unknown[0])}; settings: {', '.join(known)}")
    accounts = chosen.get("accounts", ())
    if not isinstance(accounts, Iterable) or isinstance(accounts, str | bytes | Mapping):
        raise InvalidInput(f"accounts takes a list of Account(…), not {type(accounts).__name__}")
    accounts = tuple(accounts)
    for each in accounts:
        if not isinstance(each, Account):  # and may hold a secret, so it is not shown
            raise InvalidInput(f"accounts takes Account(…), not {type(each).__name__}")
    return Settings(**(chosen | {"accounts": accounts}))
