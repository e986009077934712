"""FastAPI with an async handler: what most first versions look like. The network runs on the event loop."""

from __future__ import annotations

from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, UploadFile
from film_network import PORT, WORKERS, FilmNetwork

app = FastAPI()
network = FilmNetwork()


@app.post("/predict")
async def predict(file: Annotated[UploadFile, File()]) -> dict[str, float]:
    return {"probability": network.probability_of(await file.read())}


if __name__ == "__main__":
    uvicorn.run("fastapi_async:app", host="127.0.0.1", port=PORT, workers=WORKERS, access_log=False)
