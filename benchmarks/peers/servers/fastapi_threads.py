"""FastAPI with a plain handler, which FastAPI runs in its thread pool."""

from __future__ import annotations

from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, UploadFile
from film_network import PORT, WORKERS, FilmNetwork

app = FastAPI()
network = FilmNetwork()


@app.post("/predict")
def predict(file: Annotated[UploadFile, File()]) -> dict[str, float]:
    return {"probability": network.probability_of(file.file.read())}


if __name__ == "__main__":
    uvicorn.run("fastapi_threads:app", host="127.0.0.1", port=PORT, workers=WORKERS, access_log=False)
