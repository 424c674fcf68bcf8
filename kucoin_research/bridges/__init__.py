"""Bridges to other people's programs: pandas, and the engines for back-tests that people use.

Each bridge makes the data that its program takes from a session, a stream, a replay or a frame. The
programs are not imported, and need not be there. It imports only ``errors``, ``foundation``,
``model``, ``frames`` and ``sessions``.
"""
