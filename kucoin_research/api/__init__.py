"""The front door: the functions of ``import kucoin_research as kr``.

``streams`` starts streams, recordings and replays, ``market`` asks REST, ``simulated`` and
``serve`` start exchanges of this process, ``doctor`` looks at the machine. It may import every wing
but figures and dashboards.
"""
