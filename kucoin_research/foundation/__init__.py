"""Helpers that know nothing of markets: clocks, arguments, interrupts, files, secrets, callbacks.

Every other wing may import them. A module here imports ``errors`` and lower modules of this folder,
and nothing else of the package.
"""
