"""Rows in memory: rings of the newest rows, frames of them, and bars made of frames.

A stream and a replay keep their rows here, and users read them as polars frames. It may import
``errors``, ``foundation`` and ``model``.
"""
