"""Table (c): the same network, the same bytes over HTTP, the same cores, one run: model servers and this service.

``python -m benchmarks.peers``. ``contenders`` says who and with which settings, ``servers/`` holds the peers' programs,
each of which runs in an environment of its own; ``running`` keeps one alive, ``delivering`` sends it films, ``cells``
measures, ``ceiling`` says what the cores could do at most, ``table`` what it amounts to.
"""
