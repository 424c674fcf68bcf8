"""The market's facts as values: records, channels, instruments, books, integrity, reports, units.

Every other wing of the client may import them. A module here imports ``errors``, ``foundation`` and
lower modules of this folder; it opens no socket or file and starts no thread.
"""
