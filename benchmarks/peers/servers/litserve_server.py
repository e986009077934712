"""LitServe as its guide builds an image server: so many worker processes, with or without batches."""

from typing import Any

import litserve as ls
import numpy as np
from film_network import MAX_BATCH, MAX_WAIT_MS, PORT, WORKERS, FilmNetwork


class FilmAPI(ls.LitAPI):
    def setup(self, device: str) -> None:
        self.network = FilmNetwork()

    # Without an annotation it is the form; LitServe would have FastAPI validate it as anything that stood here.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return self.network.tensor_of(request["file"].file.read())

    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, x: Any) -> list[float]:
        return self.network.probabilities(x if x.ndim == 4 else x[np.newaxis])

    def unbatch(self, output: list[float]) -> list[list[float]]:
        return [[probability] for probability in output]

    def encode_response(self, output: list[float]) -> dict[str, float]:
        return {"probability": output[0]}


if __name__ == "__main__":
    api = FilmAPI(max_batch_size=MAX_BATCH, batch_timeout=MAX_WAIT_MS / 1000)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, fast_queue=True, timeout=120)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning", access_log=False)
