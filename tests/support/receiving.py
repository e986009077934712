"""The process of a target of delivery: ``python -m tests.support.receiving http|dicom PORT DIRECTORY``.

Keeps what comes before it answers, as an archive does, and takes orders from a file in its directory, so that it can
die at the worst moment: when it has an object, and its sender does not know. ``receivers`` starts it. Loads the
standard library alone for HTTP: tests start many.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pynetdicom import evt

KEPT: Final = "kept.jsonl"
ORDER: Final = "order"
DIE: Final = "die"  # once: whoever is started again in its place behaves
HANG: Final = "hang"


class _Keeper:
    """What a receiver does with what comes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def keep(self, **facts: object) -> str:
        """Write it down; return what is to be answered."""
        # Also around the end: a line that another thread is writing must not be cut.
        with self._lock, (self._directory / KEPT).open("a") as file:
            file.write(json.dumps(facts) + "\n")
            file.flush()
            order = self._directory / ORDER
            answer = order.read_text() if order.exists() else ""
            if answer == DIE:
                order.unlink()
                os._exit(0)
        return answer


def _serve_http(port: int, keeper: _Keeper) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = keeper.keep(
                path=self.path, headers=dict(self.headers), body=base64.b64encode(body).decode("ascii")
            )
            if answer == HANG:
                self.rfile.read(1)  # until the other side goes away
                return
            self.send_response(int(answer or 200))
            if answer.startswith("3"):
                self.send_header("Location", f"http://127.0.0.1:{port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def _serve_dicom(port: int, keeper: _Keeper) -> None:
    from pynetdicom import AE, evt
    from pynetdicom.presentation import AllStoragePresentationContexts

    node = AE(ae_title="ARCHIVE")
    node.supported_contexts = AllStoragePresentationContexts

    def store(event: evt.Event) -> int:
        answer = keeper.keep(instance=str(event.request.AffectedSOPInstanceUID))
        if answer == HANG:
            threading.Event().wait()
        return int(answer or "0", 16)

    node.start_server(("127.0.0.1", port), block=True, evt_handlers=[(evt.EVT_C_STORE, store)])


def main(arguments: Sequence[str]) -> None:
    kind, port, directory = arguments
    serve: dict[str, Callable[[int, _Keeper], None]] = {"http": _serve_http, "dicom": _serve_dicom}
    serve[kind](int(port), _Keeper(Path(directory)))


if __name__ == "__main__":
    main(sys.argv[1:])
