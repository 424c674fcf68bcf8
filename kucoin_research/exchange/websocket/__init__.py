"""KuCoin's WebSocket side: one connection, its conversation, and its decoders for both feeds.

``feeds`` joins the parts of a feed; ``wire`` cuts frames; ``decode_*`` turn messages into records.
This folder may import ``errors``, ``foundation``, ``model`` and the files of ``exchange``.
"""
