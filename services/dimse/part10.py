"""The head of a DICOM file: what a data set lacks that came without one (PS3.10 7.1).

The same instance in the same transfer syntax gets the same bytes for ever, whoever sent it, because a film's id follows
from its bytes: so no AE title, no version and no time is in them, and they are written here rather than by a library
whose next version may write others. Knows no network.
"""

from __future__ import annotations

import struct
from typing import Final

# Ours, from a UUID (PS3.5 B.2). Never to be changed: it is in every file that comes by DIMSE.
IMPLEMENTATION_CLASS_UID: Final = "2.25.98479795400485342603793456019448375551"
_PREAMBLE: Final = b"\0" * 128 + b"DICM"


def head_of(*, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble, prefix and file meta information, explicit little endian, of an instance (PS3.10 table 7.1-1).

    The UIDs are ASCII, at most 64 characters each.
    """
    elements = (
        # (0002,0001) File Meta Information Version: OB has two reserved bytes and a long length.
        struct.pack("<HH2s2xL2s", 0x0002, 0x0001, b"OB", 2, b"\0\1"),
        _uid(0x0002, sop_class_uid),  # Media Storage SOP Class UID
        _uid(0x0003, sop_instance_uid),  # Media Storage SOP Instance UID
        _uid(0x0010, transfer_syntax_uid),  # Transfer Syntax UID
        _uid(0x0012, IMPLEMENTATION_CLASS_UID),  # Implementation Class UID
    )
    group = b"".join(elements)
    # (0002,0000) File Meta Information Group Length
    return _PREAMBLE + struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(group)) + group


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)  # PS3.5 9.1: padded by NULL to even length
    return struct.pack("<HH2sH", 0x0002, element, b"UI", len(value)) + value
