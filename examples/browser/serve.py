"""Serve the page, and the version folders that it may load, to this machine alone.

Run     python3 serve.py ../../models/simple_classifier/v1.0.0 [DIR …] [--port 8000]
"""

import argparse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent


class Handler(SimpleHTTPRequestHandler):
    """Serves the examples at `/` and version folder number K at `/versions/K/`."""

    folders: list[Path]
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

    def translate_path(self, path: str) -> str:
        match path.split("/", 3):
            case ["", "versions", number, rest] if number.isascii() and number.isdigit() and int(number) < len(self.folders):
                self.directory, path = str(self.folders[int(number)]), f"/{rest}"
            case _:
                self.directory = str(EXAMPLES)
        return super().translate_path(path)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # a version built again is another one
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep quiet: the page says what it could not load."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    options = parser.parse_args()
    Handler.folders = options.folders
    with ThreadingHTTPServer(("127.0.0.1", options.port), Handler) as server:
        for number, folder in enumerate(options.folders):
            print(f"{folder}\thttp://127.0.0.1:{server.server_port}/browser/?version=/versions/{number}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
