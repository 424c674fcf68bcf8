"""The sizes of a chart in the unit that its user has chosen, and the words that name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kucoin_research.figures.chart import Sketch
from kucoin_research.figures.decimals import COMPUTED, plain
from kucoin_research.figures.theme import NUMBER, literal
from kucoin_research.figures.time_axis import Floats
from kucoin_research.model.size_unit import SizeUnit

__all__ = ["NATIVE", "ShownSizes", "sizes_of"]

_CONVERTED = f",.{COMPUTED}~r"


@dataclass(frozen=True)
class ShownSizes:
    """Converts the sizes of a chart, and names their unit.

    Attributes
    ----------
    unit
        The unit; ``None``: the exchange's, which no text of the chart names.
    """

    unit: SizeUnit | None = None

    @property
    def depends_on_price(self) -> bool:
        """Whether a size has to be converted at its own price."""
        return self.unit is not None and self.unit.power != 0

    @property
    def meta(self) -> dict[str, str]:
        """The ``meta`` of a trace of sizes, whose unit is read out."""
        return {} if self.unit is None else {"unit": self.unit.name}

    @property
    def unit_word(self) -> str:
        """The unit with a space before it, as it follows a size; empty for the exchange's own.

        The line of values has little room, and the title of the axis names any unit.
        """
        return "" if self.unit is None or self._is_native else f" {literal(self.unit.name)}"

    @property
    def _is_native(self) -> bool:
        return self.unit is None or self.unit.is_native

    def of(self, sizes: Floats, prices: Floats) -> Floats:
        """Convert the exchange's sizes, each at its own price."""
        return sizes if self.unit is None else self.unit.of(sizes, prices)

    def title(self, what: str) -> str:
        """Return the title of an axis of sizes, such as ``volume, USDT``."""
        return what if self.unit is None else f"{what}, {literal(self.unit.name)}"

    def value(self, variable: str, sign: str = "") -> str:
        """Return the part of a hover text that shows a size with ``unit_word``.

        Parameters
        ----------
        variable
            Plotly's name of the value, such as ``y``.
        sign
            ``+`` to show the sign of positive values, too.
        """
        digits = NUMBER if self._is_native else _CONVERTED
        return f"%{{{variable}:{sign}{digits}}}{self.unit_word}"

    def written(self, size: float) -> str:
        """Write a converted size; only another unit than the exchange's is named."""
        if self.unit is None or self._is_native:
            return plain(size)
        return f"{plain(size, COMPUTED)} {self.unit.name}"

    def written_at(self, size: float, price: float) -> str:
        """Convert one of the exchange's sizes at its price, and write it."""
        return self.written(size if self.unit is None else float(self.unit.of(size, price)))


#: Sizes as the exchange counts them.
NATIVE = ShownSizes()


def sizes_of(sketch: Sketch) -> ShownSizes:
    """Read the option ``unit`` of a chart."""
    unit: Any = sketch.options.get("unit")
    return ShownSizes(unit)
