"""Pictures: cut short, of another kind than their name says, in odd modes, in folders and tables that are not right."""

import io
from collections.abc import Callable, Mapping
from typing import Any

from corpus.cases import Case, Content, csv_of

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def picture(
    color: Any = RED, form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 32), **options: Any
) -> bytes:
    """A picture of one colour."""
    from PIL import Image

    file = io.BytesIO()
    Image.new(mode, size, color).save(file, form, **options)
    return file.getvalue()


def animated() -> bytes:
    from PIL import Image

    file, frames = io.BytesIO(), [Image.new("RGB", (40, 32), color) for color in (RED, BLUE)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def palette(transparent: bool = False) -> bytes:
    from PIL import Image

    file, made = io.BytesIO(), Image.new("RGB", (40, 32), RED).quantize(2)
    made.save(file, "PNG", **({"transparency": 0} if transparent else {}))
    return file.getvalue()


def turned() -> bytes:
    """Left half red, right half blue, and the note that it is to be turned upside down."""
    from PIL import Image

    made, file = Image.new("RGB", (40, 40), RED), io.BytesIO()
    made.paste(BLUE, (20, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 3
    made.save(file, "PNG", exif=exif)
    return file.getvalue()


FOLDERS: Mapping[str, Content] = {
    f"photos/{label}/{i}.png": (lambda color=color, i=i: picture((*color[:2], color[2] + i)))
    for label, color in (("blue", BLUE), ("red", RED))
    for i in range(4)
}
TABLE = csv_of([(f"photos/{label}/{i}.png", label) for label in ("blue", "red") for i in range(4)], ("image", "label"))


def in_folders(name: str, verdict: Any, path: str, content: Content, *words: str, **others: Any) -> Case:
    """The folders of the classes with one more file."""
    return Case(
        name,
        "images",
        verdict,
        "",
        file="unread.csv",
        words=words,
        files={**FOLDERS, f"photos/{path}": content},
        options=("task.train=photos",),
        **others,
    )


def in_table(name: str, verdict: Any, table: str, *words: str, **others: Any) -> Case:
    return Case(name, "images", verdict, table, words=words, files=FOLDERS, **others)


def one(name: str, content: Callable[[], bytes], color: tuple[int, int, int], path: str = "red/9.png") -> Case:
    """A picture among others that is read as one of this colour, given by its middle."""
    return in_folders(name, "accept", path, content, values=[color], shown=(f"photos/{path}",))


def broken_table() -> bytes:
    from corpus.json_files import parquet

    return parquet(
        image=[picture(RED), picture(BLUE), b"no picture", picture(RED)], label=["red", "blue", "red", "blue"]
    )


def bomb() -> bytes:
    """The first bytes of a PNG of 40,000 x 40,000."""
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


CASES = [
    in_folders(
        "a picture cut short",
        "error",
        "red/9.jpg",
        lambda: picture(form="JPEG", size=(300, 300))[:-900],
        "red/9.jpg",
        "cannot be read",
        "truncated",
        "replace or remove it",
    ),
    in_folders("an empty picture", "error", "red/9.jpg", b"", "red/9.jpg", "empty", "replace or remove it"),
    in_folders(
        "a web page named jpg",
        "error",
        "red/9.jpg",
        b"<!DOCTYPE html><html></html>",
        "red/9.jpg",
        "no picture",
        "replace or remove it",
    ),
    in_folders(
        "a pointer for a picture",
        "error",
        "red/9.jpg",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
        "red/9.jpg",
        "git lfs pull",
    ),
    in_folders(
        "a table among pictures",
        "error",
        "red/labels.csv",
        "a,b\n",
        "red/labels.csv",
        "'.csv' is no picture's suffix",
        "move the file out",
    ),
    in_folders(
        "a thumbnail file of windows", "error", "red/Thumbs.db", b"\xd0\xcf", "red/Thumbs.db", "move the file out"
    ),
    in_folders(
        "a picture beside the classes",
        "error",
        "9.png",
        picture,
        "photos/9.png",
        "beside the folders of the classes",
        "move it into one",
    ),
    Case(
        "a class without pictures",
        "images",
        "error",
        "",
        file="unread.csv",
        files={**FOLDERS, "photos/green/.keep": ""},
        options=("task.train=photos",),
        words=("photos/green", "a class without a picture", "remove the folder"),
    ),
    Case(
        "pictures without classes",
        "images",
        "error",
        "",
        file="unread.csv",
        files={f"photos/{i}.png": picture for i in range(4)},
        options=("task.train=photos",),
        words=("photos", "no folder of a class", "photos/<class>"),
    ),
    Case(
        "one class of pictures",
        "images",
        "error",
        "",
        file="unread.csv",
        files={k: v for k, v in FOLDERS.items() if "red" in k},
        options=("task.train=photos",),
        words=("photos", "1 label (red)", "two or more"),
    ),
    Case(
        "no picture at all",
        "images",
        "error",
        "",
        file="unread.csv",
        files={"photos/.keep": ""},
        options=("task.train=photos",),
        words=("photos", "holds no picture", "a folder for each class"),
    ),
    in_folders(
        "a picture too large to open", "error", "red/9.png", bomb, "red/9.png", "cannot be read", "replace or remove it"
    ),
    in_table(
        "a path to nothing",
        "error",
        TABLE + "photos/red/8.png,red\n",
        "train.csv, line 10",
        "photos/red/8.png",
        "did you mean",
    ),
    in_table(
        "a path in other letters",
        "error",
        TABLE + "photos/red/3.PNG,red\n",
        "train.csv, line 10",
        "did you mean 'photos/red/3.png'?",
    ),
    in_table(
        "paths of windows",
        "error",
        TABLE.replace("/", "\\"),
        "train.csv, line 2",
        "photos\\blue\\0.png",
        "write / for \\",
    ),
    in_table(
        "an address for a path",
        "error",
        TABLE + "https://example.org/1.png,red\n",
        "line 10",
        "https://example.org/1.png",
        "download",
    ),
    in_table("no path", "error", TABLE + ",red\n", "line 10", "'image' is missing", "task.image"),
    in_table("no column of pictures", "error", TABLE.replace("image", "file", 1), "task.image", "no column 'image'"),
    Case(
        "bytes that are no picture",
        "images",
        "error",
        broken_table,
        ".parquet",
        words=("train.parquet, row 3", "no picture", "replace or remove it"),
    ),
    Case(
        "no column of captions",
        "image-text",
        "error",
        csv_of([("photos/red/0.png", "a red wall")], ("image", "caption")),
        files=FOLDERS,
        words=("task.text", "no column 'text'"),
    ),
    # odd, and right
    one("cmyk", lambda: picture((0, 255, 255, 0), "TIFF", "CMYK"), (255, 0, 0), "red/9.tif"),
    one("grey", lambda: picture(120, mode="L"), (120, 120, 120)),
    one("black and white", lambda: picture(1, mode="1"), (255, 255, 255)),
    one("a palette", palette, RED),
    one("a png named jpg", lambda: picture(GREEN), GREEN, "red/9.jpg"),
    one("one pixel", lambda: picture(size=(1, 1)), RED),
    one("below more folders", lambda: picture(GREEN), GREEN, "red/old/9.png"),
    one("webp", lambda: picture(form="WEBP", lossless=True), RED, "red/9.webp"),
    in_table("a table of paths", "accept", TABLE, values=[("blue",)] * 4 + [("red",)] * 4, shown=("gold",)),
    in_folders(
        "files of a mac", "accept", "red/.DS_Store", b"\0\0", values=[("blue",)] * 4 + [("red",)] * 4, shown=("gold",)
    ),
    # doubtful
    in_folders("an animated picture", "warn", "red/9.gif", animated, "1 of 9 pictures", "animated", "first"),
    in_folders(
        *("pictures of 16 bits", "warn", "red/9.png", lambda: picture(120 * 256, mode="I;16")),
        *("1 of 9 pictures", "8 bits"),
    ),
    in_folders(
        "transparent pictures", "warn", "red/9.png", lambda: palette(transparent=True), "1 of 9 pictures", "transparent"
    ),
    in_folders(
        "a picture in two classes", "warn", "red/copy.png", FOLDERS["photos/blue/0.png"], "other labels", "blue", "red"
    ),
]
