"""The command lines: a wrong call is one line as well."""

import argparse
from typing import NoReturn

from isoform.errors import BadInput


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that tells a wrong call as `error: PROGRAM: REASON; ACTION` and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit."""
        failure = BadInput(self.prog, message, f"run '{self.prog} --help'")
        self.exit(failure.exit_status, f"error: {failure}\n")
