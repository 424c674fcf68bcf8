"""The exchange's side: where it is, how to reach it, how to sign, and which topics carry what.

Here live venues, topics, tokens, credentials, signing, proxies, certificates and connecting;
``rest`` and ``websocket`` build on them, and neither imports the other.
This wing may import ``errors``, ``foundation`` and ``model``.
"""
