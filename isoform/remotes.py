"""Does a DVC remote hold, whole, every object that a revision names?

dvc's own answers mislead here. `dvc push` exits 0 when a file that it should send is nowhere, takes a folder for whole when its
list is there, and never replaces an object. `dvc pull` compares no content unless the remote says `verify = true`, and a folder's
list not even then. This asks the remote alone: what lies in the local cache is no evidence.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoform.errors import BadInput, CheckFailed, Refused
from isoform.remote_requests import answering, ask, told_by_dvc, unreadable
from isoform.staleness import refuse_cut_lock

MISSING = "is missing"
WORKSPACE = "the workspace"
RECORD = "restore dvc.lock from Git, or run 'dvc repro' and commit it"
OTHER_COMMIT = "its objects cannot be asked for: name, or tag, a commit at which every stage has run"
READ = "'isoform remote check --deep' reads it and says what is wrong, the object or the record"
WHOLE = "its content is right, so leave it: the record is wrong, restore the dvc.lock or .dvc file that names it"
BATCH = 200
CHUNK_BYTES = 1 << 20
MAX_LIST_BYTES = 256 << 20
OID = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass
class Named:
    """An object that a revision names, by dvc.lock, a .dvc file or the list of a folder."""

    oid: str
    """MD5, followed by `.dir` when the object is a folder's list of files."""
    size: int | None
    """Recorded size in bytes; of a folder, of all its files; None where none is recorded."""
    names: list[str] = field(default_factory=list)
    """`PATH of REVISION`, each that names it."""
    folders: list[str] = field(default_factory=list)
    """Of a file in a folder: where the folder's list lies."""


@dataclass
class Report:
    """What was asked of a remote, and what is wrong with its answer."""

    url: str
    objects: int = 0
    bad: list[CheckFailed] = field(default_factory=list)


def check(
    root: Path, *, remote: str | None = None, revision: str | None = None, all_tags: bool = False, deep: bool = False
) -> Iterator[Report]:
    """Yield a report for each remote that the DVC repository around `root` keeps its objects in.

    Objects are those that the workspace names, or `revision`; with `all_tags` the workspace's and every tag's. Each must be there
    and have the recorded size; with `deep` it is read and its MD5 compared as well. What dvc.lock does not record comes first, in
    a report of its own. Raises `BadInput` when there is no such repository, revision or remote, or the remote does not answer.
    """
    with told_by_dvc(root):
        from dvc.repo import Repo

        repo = Repo(Repo.find_root(str(root)))
        named, bad = _named_objects(repo, remote, revision, all_tags)
    if bad:
        yield Report("dvc.lock", bad=bad)
    elif not named:
        raise BadInput(revision or "dvc.lock", "names no object of a remote", "run 'dvc repro', and commit dvc.lock")
    for (name, hash_name), objects in named.items():
        with told_by_dvc(name or "the default remote"):
            odb = repo.cloud.get_remote_odb(name, "remote check", hash_name)
        yield _check_remote(odb, objects, deep)


def refuse_unrecorded(recorded: object) -> None:
    """Refuse an output that dvc.lock does not name: it would go unasked for."""
    if not recorded:
        raise Refused("has no hash in dvc.lock, which is cut, or its stage has never run")


def refuse_absent_remote(url: str, present: bool) -> None:
    """Refuse a remote with nothing at its url: a bucket or folder of another name, a disk that is not mounted."""
    if not present:
        raise BadInput(url, "is not there", "run 'dvc push' if nothing was pushed yet, else mend the remote's url or its mount")


def refuse_missing(entry: object) -> None:
    """Refuse an object that the remote has not."""
    if isinstance(entry, FileNotFoundError):
        raise Refused(MISSING)


def refuse_other_size(recorded: int | None, found: int) -> None:
    """Refuse an object that is longer or shorter than the revision records."""
    if recorded not in (None, found):
        raise Refused(f"holds {found} bytes, {recorded} are recorded")


def refuse_other_sum(recorded: int | None, found: int) -> None:
    """Refuse a folder whose files have another size in all: of each by itself none is recorded."""
    if recorded not in (None, found):
        raise Refused(f"lists files that hold {found} bytes in all, {recorded} are recorded")


def refuse_altered_list(oid: str, md5: str) -> None:
    """Refuse a folder's list of files that is cut or altered, before it is parsed."""
    if oid.removesuffix(".dir") != md5:
        raise Refused(f"is a folder's list of files, cut or altered: its md5 is {md5}")


def refuse_no_list(entries: object) -> None:
    """Refuse what a folder's hash names and is no list of files: its md5 says only that it is the one recorded."""
    is_list = isinstance(entries, list) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("md5", "relpath")) for entry in entries
    )
    if not is_list:
        raise Refused("is recorded as a folder's list of files, and is none")


def refuse_other_content(oid: str, md5: str) -> None:
    """Refuse an object whose content is not the one it is named after."""
    if oid != md5:
        raise Refused(f"has other content: its md5 is {md5}")


def _named_objects(
    repo: Any, remote: str | None, revision: str | None, all_tags: bool
) -> tuple[dict[tuple[str | None, str], list[Named]], list[CheckFailed]]:
    """Return the objects by (remote, name of the hash), a remote of None is the default one; and what is not recorded."""
    named: dict[tuple[str | None, str, str], Named] = {}
    bad: list[CheckFailed] = []
    for names in repo.brancher(revs=[revision] if revision else None, all_tags=all_tags, workspace=not revision):
        place = WORKSPACE if names in ("", "workspace") else names
        action = RECORD if place == WORKSPACE else OTHER_COMMIT
        try:
            _refuse_cut_lock_at(repo)
        except BadInput as cut:
            bad.append(CheckFailed(f"dvc.lock of {place}", cut.reason, cut.action if place == WORKSPACE else action))
            continue  # sizes in it may be wrong
        for out in repo.index.outs:
            # As 'dvc push' picks them; an import from another DVC repository lies in that one's remote.
            elsewhere = out.stage.is_repo_import or not out.can_push or (remote and out.remote and remote != out.remote)
            if elsewhere or not out.use_cache:
                continue
            where = f"{_path(out)} of {place}"
            try:
                refuse_unrecorded(out.hash_info)
            except Refused as refusal:
                bad.append(CheckFailed(where, str(refusal), action))
                continue
            oid = _valid(out.hash_info.value, where)
            key = (remote or out.remote, out.hash_info.name, oid)
            named.setdefault(key, Named(oid, out.meta.size)).names.append(where)
    grouped: dict[tuple[str | None, str], list[Named]] = {}
    for (name, hash_name, _), item in named.items():
        grouped.setdefault((name, hash_name), []).append(item)
    return grouped, bad


def _refuse_cut_lock_at(repo: Any) -> None:
    """Raise `BadInput` when the dvc.lock at the root of the revision that `repo` is switched to is cut."""
    path = repo.fs.join(repo.root_dir, "dvc.lock")
    if repo.fs.exists(path):
        with repo.fs.open(path, "rb") as file:
            refuse_cut_lock(Path(path), file.read())


def _check_remote(odb: Any, objects: list[Named], deep: bool) -> Report:
    report = Report(odb.fs.unstrip_protocol(odb.path))
    refuse_absent_remote(report.url, ask(odb, lambda: odb.fs.exists(odb.path)))
    files = {item.oid: item for item in objects if not item.oid.endswith(".dir")}
    folders = [(item, _list_files(odb, item, report)) for item in objects if item.oid.endswith(".dir")]
    for folder, listed in folders:
        for oid, name in listed:
            item = files.setdefault(oid, Named(oid, None))
            item.names += [f"{name} in {owner}" for owner in folder.names]
            item.folders.append(_url(odb, folder.oid))
    report.objects = len(files) + len(folders)
    sizes = _look_up(odb, list(files.values()), report)
    if deep:
        sizes = _compare_contents(odb, files, sizes, report)
    # A size that differs does not tell which of the two is wrong: only an object that was read may be told to delete.
    action = WHOLE if deep else READ
    for oid, size in sizes.items():
        with _noted(odb, files[oid], report, action):
            refuse_other_size(files[oid].size, size)
    for folder, listed in folders:
        if listed and all(oid in sizes for oid, _ in listed):
            with _noted(odb, folder, report, action):
                refuse_other_sum(folder.size, sum(sizes[oid] for oid, _ in listed))
    return report


def _compare_contents(odb: Any, files: dict[str, Named], sizes: dict[str, int], report: Report) -> dict[str, int]:
    """Read each object that is there; return the sizes of those with the right content, and note the others."""
    from tqdm import tqdm

    whole = {}
    with tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, desc="reading", leave=False, disable=None) as progress:
        for oid, size in sizes.items():
            with _noted(odb, files[oid], report):
                refuse_other_content(oid, _md5(odb, oid, progress.update))
                whole[oid] = size
    return whole


def _look_up(odb: Any, files: list[Named], report: Report) -> dict[str, int]:
    """Return the size of each object that is there, and note those that are not."""
    from fsspec.callbacks import Callback  # type: ignore[import-untyped]

    sizes = {}
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        paths = [odb.oid_to_path(item.oid) for item in batch]
        with answering(odb) as heard:
            entries = odb.fs.info(paths, callback=Callback(hooks={"each": heard}), return_exceptions=True)
        for item, entry in zip(batch, entries, strict=True):
            with _noted(odb, item, report):
                refuse_missing(entry)
                if isinstance(entry, Exception):
                    raise unreadable(odb, entry) from entry
                sizes[item.oid] = entry["size"]
    return sizes


def _list_files(odb: Any, folder: Named, report: Report) -> list[tuple[str, str]]:
    """Return (oid, path) of each file that a folder's list names; none when it is missing or cut."""
    with _noted(odb, folder, report):
        refuse_missing(ask(odb, lambda: odb.fs.info(odb.oid_to_path(folder.oid), return_exceptions=True)))
        content = _read(odb, folder.oid)
        refuse_altered_list(folder.oid, hashlib.md5(content, usedforsecurity=False).hexdigest())
        return [(_valid(entry["md5"], folder.names[0]), entry["relpath"]) for entry in _entries(content)]
    return []


def _entries(content: bytes) -> list[dict[str, str]]:
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):
        entries = None
    refuse_no_list(entries)
    return list(entries)


def _read(odb: Any, oid: str) -> bytes:
    """Return an object of at most `MAX_LIST_BYTES`: what is hashed is what is parsed."""
    with ask(odb, lambda: odb.fs.open(odb.oid_to_path(oid), "rb")) as stream:
        return bytes(ask(odb, lambda: stream.read(MAX_LIST_BYTES)))


def _md5(odb: Any, oid: str, progress: Callable[[int], object] = lambda _: None) -> str:
    from dvc_data.hashfile.hash import get_hash_stream

    with ask(odb, lambda: odb.fs.open(odb.oid_to_path(oid), "rb")) as file:
        stream = get_hash_stream(file, odb.hash_name)
        while data := ask(odb, lambda: stream.read(CHUNK_BYTES)):
            progress(len(data))
        return str(stream.hash_value)


@contextmanager
def _noted(odb: Any, item: Named, report: Report, action: str = "") -> Iterator[None]:
    """Note a refusal of `item` in the report."""
    try:
        yield
    except Refused as refusal:
        others = f" and {len(item.names) - 1} more" if len(item.names) > 1 else ""
        # dvc neither replaces an object nor sends a file of a folder whose list is there: both have to go first.
        gone = [*([] if str(refusal) == MISSING else ["it"]), *item.folders]
        push = f"delete {' and '.join(gone)} there, then 'dvc push'" if gone else "run 'dvc push'"
        reason = f"{refusal} (needed for {item.names[0]}{others})"
        report.bad.append(CheckFailed(_url(odb, item.oid), reason, action or f"{push} from a clone that has it"))


def _valid(oid: object, where: str) -> str:
    if isinstance(oid, str) and OID.fullmatch(oid):
        return oid
    raise BadInput(where, f"is recorded with the hash {oid!r}, which is no MD5", "restore its dvc.lock or .dvc file from Git")


def _path(out: Any) -> str:
    return str(out.repo.fs.relpath(out.fs_path, out.repo.root_dir))


def _url(odb: Any, oid: str) -> str:
    return str(odb.fs.unstrip_protocol(odb.oid_to_path(oid)))
