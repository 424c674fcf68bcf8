"""Faults put into an exchange: on its messages, connections, requests, books and contracts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kucoin_research.sim.faults.delivery import Subscriber
from kucoin_research.sim.faults.kinds import KINDS, Fault
from kucoin_research.sim.server.core import ExchangeCore
from kucoin_research.sim.server.door import Connection, Door

__all__ = ["FaultInjector"]


class FaultInjector:
    """Puts faults in their places, now or at a virtual time; runs on the exchange's thread.

    Parameters
    ----------
    core
        Takes the faults of messages, requests, books and contracts.
    doors
        By market: their connections take the other faults.
    """

    def __init__(self, core: ExchangeCore[Any], doors: Mapping[str, Door]) -> None:
        self._core = core
        self._doors = doors
        self._calms = 0  # how often all planned faults were called off

    def plan(self, after_ns: int, fault: Fault) -> None:
        """Inject a fault at a virtual time after the first subscription, unless calmed before."""
        calms = self._calms

        def strike() -> None:
            if self._calms == calms:
                self.inject(fault)

        self._core.plan(after_ns, strike)

    def inject(self, fault: Fault) -> None:
        """Do a fault at once, or put it where it waits for something to strike."""
        place = KINDS[fault.name].place
        if place == "connection":
            for door in self._doors_of(fault):
                self._break_connections(fault, door)
        elif place == "symbol":
            for symbol in self._symbols_of(fault):
                self._strike_symbol(dataclasses.replace(fault, symbol=symbol, pick=None))
        elif fault.pick is not None and fault.topic is None:
            topics = self._core.topics(fault.market)
            if topics:
                topic = topics[fault.pick % len(topics)]
                self._arm(dataclasses.replace(fault, topic=topic, pick=None))
        else:
            self._arm(fault)

    def heal(self) -> None:
        """Take away every fault that still waits or lasts; planned ones still come."""
        self._core.delivery.heal()
        for door in self._doors.values():
            door.reopen()
            for connection in door.connections:
                connection.forgive()

    def calm(self) -> None:
        """Call off all planned faults, and heal the rest."""
        self._calms += 1
        self.heal()

    def _arm(self, fault: Fault) -> None:
        connections = [one for door in self._doors_of(fault) for one in door.connections]
        if fault.name == "slow_reader":
            connections = [one for one in connections if one.is_subscribed(fault.topic)][:1]
        elif fault.name == "stall_socket":
            for connection in connections:
                connection.silence()
                self._core.delivery.note_fault(
                    fault, connection.market, connection=connection.number
                )
        self._core.delivery.arm(fault, list[Subscriber](connections))

    def _doors_of(self, fault: Fault) -> list[Door]:
        return [door for market, door in self._doors.items() if fault.market in (None, market)]

    def _symbols_of(self, fault: Fault) -> list[str]:
        if fault.symbol is not None:
            return [fault.symbol]
        symbols = self._core.streamed(fault.market)
        if fault.pick is None or not symbols:
            return symbols
        return [symbols[fault.pick % len(symbols)]]

    def _strike_symbol(self, fault: Fault) -> None:
        symbol, core = str(fault.symbol), self._core
        core.delivery.note_fault(fault, core.listings[symbol].market)
        if fault.name == "delist":
            core.delivery.arm(fault)
        else:
            core.strike(symbol, fault)

    def _break_connections(self, fault: Fault, door: Door) -> None:
        name = fault.name
        self._core.delivery.note_fault(fault, door.market)
        if name in ("expire_token", "end_of_day"):
            door.tokens.expire()
        if name == "maintenance":
            door.shut(fault.delay)
        # A copy: ending a connection takes it out of the door's connections.
        connections: list[Connection] = list(door.connections)
        for connection in connections:
            if fault.topic is None or connection.is_subscribed(fault.topic):
                connection.end(
                    name,
                    is_closed=name == "bye",
                    reset=name == "abort",
                    torn=name == "half_frame",
                    error_text="token is expired" if name == "expire_token" else "",
                )
