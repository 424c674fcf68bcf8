"""Recorded sessions: writing them, reading them, checking and repairing them, and other CSV files.

Imports only ``errors``, ``foundation``, ``model`` and ``frames``.
"""
