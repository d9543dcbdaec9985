"""
What a simulated link is like.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Link:
    """A slow link between a client and the server, which `Connection.simulate` imitates."""

    #: The seconds that are added to a round trip, half of them each way.
    latency: float = 0.0
    #: The most seconds that are added besides, by chance, for each part.
    jitter: float = 0.0
    #: The share of the parts that are lost. TCP sends them again, so they and all behind them come later.
    loss: float = 0.0
