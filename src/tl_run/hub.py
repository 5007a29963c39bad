"""One look at disk and hub before a run: everything it needs is found, or everything that is missing is named at once.

A path that exists is a folder. Anything else is a hub id: first its cache, then one quick question to the hub. The
loaders of `transformers` and `datasets` would ask too, but retry for a minute: they get the folder that is found here.
"""

import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from tl_run.data import hub_layout
from tl_run.errors import BadInput, MachineFault
from tl_run.model import folder as model_folder


@dataclass(frozen=True)
class Wanted:
    """A model or a dataset that a run needs."""

    kind: Literal["model", "dataset"]
    path: str
    "hub id or folder"
    option: str
    "where the user gave it, such as `model.path`"
    instead: str
    "what to type instead, such as `model=tiny`"
    revision: str | None = None
    files: tuple[str, ...] = ("config", "weights", "tokenizer")
    "for a model: keys of model.folder.FILES"
    subset: str | None = None
    "for a dataset: None is its default"
    splits: tuple[str, ...] = ()
    "for a dataset: none named means all"

    def __str__(self) -> str:
        return f"{self.option}={self.path}" + (f" (revision {self.revision})" if self.revision else "")


@dataclass(frozen=True)
class Found:
    folder: Path
    commit: str | None
    "the hub's commit; None for a folder of the user's"


def find(wanted: Sequence[Wanted], deadline: float = 3.0) -> list[Found]:
    """Folders for all that is wanted, in this order. Downloads nothing before it is known that all can be had.

    Raises: BadInput for a folder that lacks something or a name that can be neither folder nor hub id; MachineFault for
    what is neither in the cache nor answered for by the hub within `deadline` seconds.
    """
    folders = {want: _folder(want.path) for want in wanted}
    if problems := [text for want, folder in folders.items() if (text := _problem(want, folder))]:
        raise BadInput.of(problems)
    found = {want: Found(folder, None) for want, folder in folders.items() if folder}
    found |= {want: cached for want in folders if want not in found and (cached := _cached(want))}
    absent = [want for want in folders if want not in found]
    if reasons := _ask(absent, deadline) if absent else {}:
        raise MachineFault(_missing(reasons))
    found |= {want: _download(want) for want in absent}
    return [found[want] for want in wanted]


def _folder(path: str) -> Path | None:
    folder = Path(os.path.expanduser(path))
    typed_as_folder = path.startswith(("/", "./", "../", "~")) or path in (".", "..")
    return folder.absolute() if typed_as_folder or (path and folder.exists()) else None


def _problem(want: Wanted, folder: Path | None) -> str | None:
    """Why this cannot work, whatever the hub says."""
    if folder and folder.is_dir():
        lacking = _lacks(want, folder)
        instead = model_folder.another(Path(want.path)) if want.kind == "model" else ""
        return f"{want}: this folder lacks {', '.join(lacking)}{instead}" if lacking else None
    if folder:
        return f"{want}: " + ("a file, not a folder" if folder.exists() else f"no such folder{_near(want.path)}")
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(want.path)
    except HFValidationError:
        return f"{want}: neither a folder nor a hub id such as 'google-bert/bert-base-uncased'{_near(want.path)}"
    return None


def _lacks(want: Wanted, folder: Path) -> list[str]:
    if want.kind == "model":
        return model_folder.lacks(folder, want.files)
    return hub_layout.lacks(folder, want.subset, want.splits)


def _near(path: str) -> str:
    """The folder that was probably meant: a sibling with nearly the same name."""
    meant = Path(os.path.expanduser(path))
    siblings = [each.name for each in meant.parent.iterdir() if each.is_dir()] if meant.parent.is_dir() else []
    close = get_close_matches(meant.name, siblings, 1)
    return f", did you mean the folder {path.rstrip('/').removesuffix(meant.name)}{close[0]}?" if close else ""


def _cached(want: Wanted) -> Found | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = _snapshot(want, ["config.json" if want.kind == "model" else "README.md"], local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return None if _lacks(want, folder) else Found(folder, folder.name)


def _snapshot(want: Wanted, patterns: list[str], **how: Any) -> Path:
    from huggingface_hub import snapshot_download

    # Asked for by name, not by commit: only so the cache learns which commit the name stands for, for the next time.
    return Path(
        snapshot_download(want.path, repo_type=want.kind, revision=want.revision, allow_patterns=patterns, **how)
    )


def _ask(absent: Sequence[Wanted], deadline: float) -> dict[Wanted, str]:
    """Asks the hub for all at once. What cannot be had, and why; empty if all can."""
    from huggingface_hub import HfApi, constants, logging

    logging.set_verbosity_error()
    if constants.HF_HUB_OFFLINE:
        return dict.fromkeys(absent, "offline mode (HF_HUB_OFFLINE)")
    answers: queue.SimpleQueue[tuple[Wanted, str]] = queue.SimpleQueue()

    def ask(want: Wanted) -> None:
        try:
            info: Any = HfApi().repo_info(want.path, repo_type=want.kind, revision=want.revision, timeout=deadline)
            answers.put((want, _unusable(want, [sibling.rfilename for sibling in info.siblings or []])))
        except Exception as problem:  # whatever it is, a thread has no other way to say it
            answers.put((want, _reason(want, problem)))

    for want in absent:
        # A daemon: a question that hangs, in a name server say, must not hold the program at its end.
        threading.Thread(target=ask, args=(want,), daemon=True).start()
    reasons = dict.fromkeys(absent, f"no answer from {constants.ENDPOINT} in {deadline:g} s")
    end = time.monotonic() + deadline
    for _ in absent:
        try:
            want, reason = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        reasons[want] = reason
    return {want: reason for want, reason in reasons.items() if reason}


def _unusable(want: Wanted, files: Sequence[str]) -> str:
    if want.kind == "model" and "weights" in want.files and not any(name.endswith(".safetensors") for name in files):
        return f"{model_folder.NO_PICKLE}; https://huggingface.co/spaces/safetensors/convert converts it"
    if want.kind == "dataset" and not any(name.endswith(tuple(hub_layout.KINDS)) for name in files):
        return "no parquet, csv or json files there, and no loading script is run"
    return ""


def _reason(want: Wanted, problem: Exception) -> str:
    from huggingface_hub import constants, errors

    if isinstance(problem, errors.GatedRepoError):  # before its parent: not found
        page = f"{constants.ENDPOINT}/{'datasets/' if want.kind == 'dataset' else ''}{want.path}"
        return f"gated: ask for access at {page}, then `hf auth login`"
    if isinstance(problem, errors.RepositoryNotFoundError):
        return f"no such {want.kind} on the hub, or a private one: `hf auth login`"
    if isinstance(problem, errors.RevisionNotFoundError):
        return "no such revision on the hub"
    return f"hub out of reach ({constants.ENDPOINT}: {_first_line(problem)})"


def _missing(reasons: dict[Wanted, str]) -> str:
    from huggingface_hub import constants

    lines = [f"{want}: {reason}{_near(want.path)}" for want, reason in reasons.items()]
    lines.append(f"The cache {constants.HF_HUB_CACHE} has not all its files either.")
    lines.append(f"Type instead: {' '.join(dict.fromkeys(want.instead for want in reasons))}")
    typed = [
        f"hf download {want.path}"
        + (" --repo-type dataset" if want.kind == "dataset" else "")
        + (f" --revision {want.revision}" if want.revision else "")
        for want, reason in reasons.items()
        if not reason.startswith("no such")
    ]
    return "\n".join([*lines, *([f"Or on a connected machine: {' && '.join(typed)}"] if typed else [])])


def _download(want: Wanted) -> Found:
    """Into the hub's cache."""
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    if want.kind == "model":
        weights = ["*.safetensors"] if "weights" in want.files else []
        # Folders hold exports for other programs; consolidated.* is a second copy of the weights.
        folder = _fetch(want, ["*.json", "*.txt", "*.model", *weights], ignore_patterns=["[!1]*/*", "consolidated*"])
    else:
        card = ["README.md", "dataset_infos.json"]
        patterns = hub_layout.download_patterns(_fetch(want, card), want.subset, want.splits)
        folder = _fetch(want, [*card, *patterns])
    if lacking := _lacks(want, folder):
        raise BadInput(f"{want}: the hub's copy lacks {', '.join(lacking)}")
    return Found(folder, folder.name)


def _fetch(want: Wanted, patterns: list[str], **how: Any) -> Path:
    try:
        return _snapshot(want, patterns, **how)
    except Exception as problem:  # the hub's, httpx' (or httpx2's, by version), a full disk
        again = "the same command goes on where it stopped"
        raise MachineFault(f"{want}: the download broke off, {again}: {_first_line(problem)}") from problem


def _first_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]
