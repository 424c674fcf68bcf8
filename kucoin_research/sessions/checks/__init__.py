"""Verifying a session line by line, and repairing what can be repaired.

Of ``sessions`` it imports only ``files``.
"""
