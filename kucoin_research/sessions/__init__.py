"""Recorded sessions: read and reported, converted, and other people's CSV files.

``files`` is how a session lies on disk, ``writing`` records one, ``checks`` verifies and repairs
one. ``timeline`` merges a session's rows in order of arrival, and ``book_rebuild`` keeps the order
books that they describe. It imports only ``errors``, ``foundation``, ``model`` and ``frames``.
"""
