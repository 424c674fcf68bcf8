"""Recorded sessions played again: rows in order of arrival, at any speed, with pause and seek.

A replay offers a live stream's methods, but reaches no networking. It may import ``errors``,
``foundation``, ``model``, ``frames`` and ``sessions``.
"""
