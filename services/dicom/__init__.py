"""What the service says in DICOM's words: codes, identifiers, and results as objects that viewers show.

Between ``jobs`` and whoever speaks a protocol: ``api`` (STOW-RS), ``dimse`` (C-STORE), ``delivery``. Knows no protocol
itself, and opens no image file: that is ``model.decoding``'s.
"""
