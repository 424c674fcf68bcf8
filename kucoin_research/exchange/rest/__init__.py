"""KuCoin's REST side: ``client.Rest`` is its front, ``universe`` keeps the instruments.

Below the client lie history and paging, the caller, replies, failures, quotas and the transport.
This folder may import ``errors``, ``foundation``, ``model`` and the files of ``exchange``.
"""
