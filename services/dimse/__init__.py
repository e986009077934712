"""The DIMSE listener: C-ECHO and C-STORE in front of the same ingest function as HTTP (DESIGN §4, PROTOCOLS §2).

Layers, top to bottom: ``__main__`` (process) -> ``application`` (wiring) -> ``listener`` (who is let in, start, stop)
-> ``server`` and ``association`` (connections, on pynetdicom) -> ``storing`` (a whole film becomes a job and an answer)
-> ``reception`` and ``arriving`` (a film's bytes, while they come) -> ``part10``, ``statuses``, ``negotiation``,
``metrics`` -> ``errors``. Needs the extra ``dicom``. Knows nothing of HTTP.
"""
