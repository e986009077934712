"""Films become tensors here, in processes that may do nothing else (docs/decisions/0016-decoding-sandbox.md).

``pool`` is what the worker knows. ``nursery`` keeps a zygote (``zygote``) that forks children (``child``); each gives
up what decoding does not need (``confinement``, ``system_calls``) before it opens its first film (``film``).
"""
