"""Recorded sessions: read and reported, converted, and other people's CSV files.

``files`` is how a session lies on disk, ``writing`` records one, ``checks`` verifies and repairs
one. It imports only ``errors``, ``foundation``, ``model`` and ``frames``.
"""
