"""Pictures in folders: one folder for each class, or pictures alone. Hidden files are passed over, others are not."""

from pathlib import Path

from tl_run.data.table import Table, quoted
from tl_run.errors import BadInput, MachineFault


def read_folder(folder: Path, image: str, label: str) -> Table:
    """A row for each picture, by class and name: its path below the folder in `image`, its class in `label`.

    Below a class there may be more folders. Without any class the table has no column `label`.
    Raises: BadInput for what is no picture, and for pictures with and without a class; MachineFault.
    """
    from PIL import Image

    known = Image.registered_extensions()
    try:
        paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        empty = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and not _visible(path)]
    except OSError as error:
        raise MachineFault(f"{folder}: cannot be read ({error.strerror or error})") from None
    paths = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    if not paths:
        raise BadInput(f"{folder}: holds no picture; put them into a folder for each class: {folder / 'cats/1.jpg'}")
    problems = [
        f"{folder / path}: {quoted(path.suffix) if path.suffix else 'without a suffix this'} is no picture's suffix; "
        "move the file out of the folder"
        for path in paths
        if path.suffix.lower() not in known
    ]
    problems += [f"{folder / name}: a class without a picture; remove the folder" for name in empty if name[0] != "."]
    loose = [path for path in paths if len(path.parts) == 1]
    if loose and len(loose) < len(paths):
        problems += [f"{folder / path}: lies beside the folders of the classes; move it into one" for path in loose]
    if problems:
        raise BadInput.of(problems)
    rows = [{image: str(path)} | ({} if loose else {label: path.parts[0]}) for path in paths]
    return Table(str(folder), (image,) if loose else (image, label), rows, list(range(1, len(rows) + 1)), "picture")


def _visible(folder: Path) -> bool:
    """Whether there is more in it than hidden files."""
    return any(not path.name.startswith(".") for path in folder.iterdir())
