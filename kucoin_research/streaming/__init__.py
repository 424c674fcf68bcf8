"""The live core: connections, feed handling, order books, filling of outages, delivery to sinks.

May import ``errors``, ``foundation``, ``model``, ``frames``, ``sessions`` and ``exchange``. Other
wings import its modules directly; this file imports nothing.
"""
