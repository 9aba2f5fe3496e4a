"""Answer raw rows over HTTP, from one published version.

Run     python app.py ../../models/simple_classifier/v1.0.0 --port 8000
   or   ISOFORM_MODEL=../../models/simple_classifier/v1.0.0 uvicorn --factory app:create --workers 4
"""

import argparse
import dataclasses
import os
import sys
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from isoform import IsoformError, load
from isoform.labels import labels

MAX_ROWS = 10_000


def create(folder: str | None = None) -> FastAPI:
    """Return the service of the version in `folder` or $ISOFORM_MODEL, which is verified and loaded before it listens."""
    model = load(folder or os.environ["ISOFORM_MODEL"])
    app = FastAPI(title=model.metadata.model_name, version=model.metadata.version)

    # Not `async`: FastAPI calls it in a pool of threads, and all of them ask the one model.
    @app.post("/predict")
    def predict(rows: Annotated[list[Any], Field(max_length=MAX_ROWS)]) -> dict[str, Any]:
        """Answer a list of objects, each with a cell for every column; null is a missing one."""
        if model.config.task == "regression":
            return {"prediction": model.predict(rows).tolist()}
        probabilities = model.predict_proba(rows)
        label = labels(probabilities, model.config)
        return {"classes": model.config.classes, "label": label.tolist(), "probabilities": probabilities.tolist()}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"model_name": model.metadata.model_name, "version": model.metadata.version, "format": model.format}

    @app.get("/metadata")
    def metadata() -> dict[str, Any]:
        return dataclasses.asdict(model.metadata)

    @app.exception_handler(IsoformError)
    def refuse(_: Request, error: IsoformError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    return app


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("ISOFORM_MODEL"), help="default: $ISOFORM_MODEL")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    options = parser.parse_args()
    if not options.folder:
        parser.error("name a version folder, or set ISOFORM_MODEL")
    try:
        app = create(options.folder)
    except IsoformError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    uvicorn.run(app, host=options.host, port=options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
