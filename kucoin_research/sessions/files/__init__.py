"""How a session lies on disk: file names, session.json, lines of CSV, compression.

It imports no other folder of ``sessions``.
"""
