"""The command line: `isoform predict | inspect | verify | stale | remote`, for what dvc does not do."""

import argparse
import csv
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from isoform import errors
from isoform.arguments import Parser
from isoform.errors import BadInput

SKEW = "only warn when a pickle was written by other library versions"


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 when a check fails, 2 when the input or the call is wrong."""
    options = _parser().parse_args(arguments)
    try:
        status = errors.run(lambda: options.command(options), debug=options.debug)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `isoform predict … | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def predict(options: argparse.Namespace) -> int:
    """Print a CSV for every row of a file: the label and the probability of each class, or the prediction."""
    from isoform import tables
    from isoform.labels import labels
    from isoform.loading import load

    model = load(
        options.folder, format=options.format, trust_pickle=options.trust_pickle, allow_version_skew=options.allow_version_skew
    )
    rows = tables.read(options.rows, model.config.numeric, model.config.categorical)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if model.config.task == "regression":
        writer.writerow(["prediction"])
        writer.writerows([str(value)] for value in model.predict(rows))
        return 0
    probabilities = model.predict_proba(rows)
    writer.writerow(["label", *(f"probability_{name}" for name in model.config.classes)])
    for label, row in zip(labels(probabilities, model.config).tolist(), probabilities, strict=True):
        writer.writerow([label, *map(str, row)])
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Print what a version folder or a model file holds."""
    from isoform.inspection import inspect as describe

    for line in describe(options.path):
        print(line)
    return 0


def verify(options: argparse.Namespace) -> int:
    """Print a finding for each file of each version; 1 when any is bad, 2 when there was nothing to verify one against."""
    from isoform.metadata import PUBLISHED
    from isoform.verification import Finding, absent
    from isoform.verification import verify as check

    models = Path("models")
    given = {name: getattr(options, name) for name in ("trust_pickle", "present_only", "allow_version_skew")}
    folders = options.folders or sorted(path.parent for path in models.glob(PUBLISHED))
    found: list[tuple[Path, Iterable[Finding]]] = [(folder, check(folder, revision=options.rev, **given)) for folder in folders]
    missing = [] if options.folders else list(absent(models, options.rev))
    if missing:
        found.append((models, missing))
    if not folders and not any(finding.error for finding in missing):
        raise BadInput(models, "holds no published version", "name a folder, or run 'dvc repro'")
    bad = status = 0
    for folder, findings in found:
        print(errors.printable(str(folder)))
        try:
            for finding in findings:
                if finding.error:
                    print(f"error: {finding.error}", file=sys.stderr)
                    bad += 1
                else:
                    print(f"{'note' if finding.note else 'ok':>4}  {finding.name:<12} {errors.printable(finding.text)}")
        except BadInput as error:  # there is nothing to verify it against; the others are verified all the same
            print(f"error: {error}", file=sys.stderr)
            bad, status = bad + 1, error.exit_status
    print(f"{len(folders)} version{'s' * (len(folders) != 1)}, {bad or 'no'} bad file{'s' * (bad != 1)}")
    return status or int(bad > 0)


def stale(options: argparse.Namespace) -> int:
    """Print why dvc.lock is not what this commit would give; 1 when there is a reason."""
    from isoform.staleness import reasons

    found = list(reasons(Path()))
    for line in found:
        print(line)
    if found:
        count = f"{len(found)} reason{'s' * (len(found) != 1)}"
        action = "run 'dvc repro' (where that finds nothing to do: 'rm dvc.lock && dvc repro') and commit what changed"
        raise errors.CheckFailed("dvc.lock", f"is stale for {count}", action)
    print("dvc.lock is what this commit gives")
    return 0


def check_remote(options: argparse.Namespace) -> int:
    """Print each object that a revision names and the DVC remote lacks, or has cut or altered; 1 when there is one."""
    from isoform.remotes import check

    bad = 0
    reports = check(Path(), remote=options.remote, revision=options.rev, all_tags=options.all_tags, deep=options.deep)
    for report in reports:
        for failure in report.bad:
            print(f"error: {failure}", file=sys.stderr)
        count = len(report.bad)
        compared = "contents" if options.deep else "sizes"
        # No object at all: the one failure is that dvc.lock does not record an output.
        asked = f"{report.objects} objects, {compared} compared, " if report.objects else ""
        print(f"{report.url}: {asked}{count or 'no'} bad object{'s' * (count != 1)}")
        bad += count
    return int(bad > 0)


def _parser() -> Parser:
    parser = Parser(prog="isoform", description=__doc__)
    parser.add_argument("--debug", action="store_true", help="show the traceback behind an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("predict", help=predict.__doc__, description=predict.__doc__)
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument("rows", type=Path, metavar="ROWS.(csv|jsonl|parquet)")
    command.add_argument("--format", help="instead of the safest one present")
    command.add_argument("--trust-pickle", action="store_true", help="allow a format that unpickles")
    command.add_argument("--allow-version-skew", action="store_true", help=SKEW)
    command.set_defaults(command=predict)

    command = commands.add_parser("inspect", help=inspect.__doc__, description=inspect.__doc__)
    command.add_argument("path", type=Path, metavar="DIR|FILE")
    command.set_defaults(command=inspect)

    command = commands.add_parser("verify", help=verify.__doc__, description=verify.__doc__)
    command.add_argument("folders", type=Path, nargs="*", metavar="DIR", help="default: every version under models/")
    command.add_argument("--trust-pickle", action="store_true", help="replay the formats that unpickle too")
    command.add_argument("--rev", metavar="REV", help="check against metadata.json of this Git revision, not the folder's own")
    command.add_argument("--allow-version-skew", action="store_true", help=SKEW)
    command.add_argument("--present-only", action="store_true", help="a file that was not pulled is no failure")
    command.set_defaults(command=verify)

    command = commands.add_parser("stale", help=stale.__doc__, description=stale.__doc__)
    command.set_defaults(command=stale)

    group = commands.add_parser("remote", help="Ask a DVC remote.").add_subparsers(required=True, metavar="COMMAND")
    command = group.add_parser("check", help=check_remote.__doc__, description=check_remote.__doc__)
    command.add_argument("--remote", metavar="NAME", help="instead of the default one")
    revisions = command.add_mutually_exclusive_group()
    revisions.add_argument("--rev", metavar="REV", help="what this revision names, instead of the workspace")
    revisions.add_argument("--all-tags", action="store_true", help="what any tag or the workspace names")
    command.add_argument("--deep", action="store_true", help="read every object and compare its content")
    command.set_defaults(command=check_remote)
    return parser


if __name__ == "__main__":
    sys.exit(main())
