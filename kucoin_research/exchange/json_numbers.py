"""The numbers that we accept in KuCoin's JSON, over REST and over WebSockets.

msgspec refuses a number outside of the bounds: so nan, infinities, and integers beyond 64 bits are
kept out of records.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

__all__ = ["AboveZero", "BookSequence", "Integer", "NotNegative", "Number"]

#: Any finite number.
Number: TypeAlias = Annotated[float, Meta(ge=-1e300, le=1e300)]
#: A finite number above 0.
AboveZero: TypeAlias = Annotated[float, Meta(gt=0, le=1e300)]
#: A finite number, 0 or above: a price or size of REST, a size in a book.
NotNegative: TypeAlias = Annotated[float, Meta(ge=0, le=1e300)]
#: An integer of 64 bits.
Integer: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
#: The number of a book's change: it counts from 0 on.
BookSequence: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
