"""Every damage to a checkpoint is noticed, and the file named."""

import json
import os
from pathlib import Path

import pytest

from tl_run import manifest
from tl_run.durable import write_folder
from tl_run.errors import BadCheckpoint
from tl_run.manifest import MANIFEST, read_folder, sha256_file

FILES = {"weights.safetensors": b"0123456789" * 50, "state.json": b'{"step": 7, "epoch": 1}'}


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "step-7", FILES, {"step": 7})
    return tmp_path / "step-7"


def another(path: Path) -> bytes:
    return next(file for file in path.parent.iterdir() if file != path).read_bytes()


DAMAGES = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "halved": lambda path: os.truncate(path, path.stat().st_size // 2),
    "one short": lambda path: os.truncate(path, path.stat().st_size - 1),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:10] + bytes(path.stat().st_size - 10)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "replaced": lambda path: path.write_bytes(another(path)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link": lambda path: path.symlink_to(path.rename(path.parent.with_name("moved"))),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_damage_is_noticed(folder, name, damage):
    DAMAGES[damage](folder / name)
    with pytest.raises(BadCheckpoint) as failure:
        read_folder(folder)
    assert str(failure.value).startswith(f"{folder / name}: ")
    assert "\n" not in str(failure.value)


def test_the_message_says_what_is_wrong(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(b"9" * 500)
    with pytest.raises(BadCheckpoint, match=r"is not what was written \(sha256 differs\)"):
        read_folder(folder)
    path.write_bytes(b"9" * 1499)
    with pytest.raises(BadCheckpoint, match="has 1,499 bytes where 500 were written"):
        read_folder(folder)
    path.unlink()
    with pytest.raises(BadCheckpoint, match="is missing"):
        read_folder(folder)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_every_flipped_byte_is_noticed(folder, name):
    whole = (folder / name).read_bytes()
    for place in range(len(whole)):
        (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(BadCheckpoint, match=name):
            read_folder(folder)
    (folder / name).write_bytes(whole)
    assert read_folder(folder) == {"step": 7}


def test_a_file_too_many_is_noticed_but_for_those_of_the_system(folder):
    (folder / ".DS_Store").touch()
    assert read_folder(folder) == {"step": 7}
    (folder / "optimizer.safetensors").touch()
    with pytest.raises(BadCheckpoint, match=r"optimizer.safetensors: is not in manifest.json"):
        read_folder(folder)


def test_all_files_are_read_before_the_facts_are_given(folder, monkeypatch):
    read = []
    monkeypatch.setattr(manifest, "sha256_file", lambda path: read.append(path.name) or sha256_file(path))
    read_folder(folder)
    assert read == [*FILES]


def test_an_unreadable_file_is_a_bad_checkpoint(folder, monkeypatch):
    def bad_sector(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(manifest, "sha256_file", bad_sector)
    with pytest.raises(BadCheckpoint, match=r"weights.safetensors: cannot be read: Input/output error"):
        read_folder(folder)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(BadCheckpoint, match=r"nothing/manifest.json: is missing .* no checkpoint"):
        read_folder(tmp_path / "nothing")


def forge(folder: Path, content: object) -> None:
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    (folder / MANIFEST).write_bytes(manifest._sealed(text.removesuffix("\n}").encode()))


def test_a_file_in_a_subfolder(tmp_path):
    folder = tmp_path / "model"
    for content in (b"one", b"two"):  # also in place of what is there
        write_folder(folder, {"config.json": b"{}", "1_Pooling/config.json": content}, {"step": 7})
        assert read_folder(folder) == {"step": 7}
        assert (folder / "1_Pooling" / "config.json").read_bytes() == content
    (folder / "1_Pooling" / "more").touch()
    with pytest.raises(BadCheckpoint, match=r"1_Pooling/more: is not in manifest\.json"):
        read_folder(folder)
    (folder / "1_Pooling" / "more").unlink()
    (folder / "1_Pooling" / "config.json").write_bytes(b"tow")
    with pytest.raises(BadCheckpoint, match=r"1_Pooling/config\.json: is not what was written"):
        read_folder(folder)


HOSTILE = [
    "../x",
    "/etc/passwd",
    "a/../b",
    "a//b",
    "a/b/c",
    "a/.x",
    "",
    ".",
    "..",
    "x\0",
    "x\n",
    ".x",
    "-x y",
    "ä",
    "a" * 101,
    "C:x",
    "a\\b",
    MANIFEST,
]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_names_that_lead_elsewhere_are_refused(folder, name, tmp_path):
    content = json.loads((folder / MANIFEST).read_bytes())
    del content["sha256"]
    forge(folder, content)
    assert read_folder(folder) == {"step": 7}  # what is forged below is wrong in the name only
    content["files"][name] = {"bytes": 0, "sha256": ""}
    forge(folder, content)
    with pytest.raises(BadCheckpoint, match="which is no plain file name"):
        read_folder(folder)
    with pytest.raises(ValueError, match="not plain"):
        write_folder(tmp_path / "other", {name: b""}, {})
    assert not (tmp_path / "other").exists()


def test_a_later_format_is_refused(folder):
    forge(folder, {"format": 2, "facts": {}, "files": {}})
    with pytest.raises(BadCheckpoint, match="has format 2, but this version reads format 1"):
        read_folder(folder)


WRONG = {"format": 1, "facts": 1, "files": {}}, {"format": 1, "facts": {}, "files": []}, {"format": 1}, {}
WRONG_FILES = [{"format": 1, "facts": {}, "files": {"x": of}} for of in (1, {}, {"bytes": "x", "sha256": ""})]


@pytest.mark.parametrize("content", [*WRONG, *WRONG_FILES, "{" + '"a": {' * 100_000, "{" + '"a": ' + "[" * 100_000])
def test_a_sealed_manifest_of_another_make_is_refused(folder, content):
    forge(folder, content)
    with pytest.raises(BadCheckpoint, match="is no manifest of ours"):
        read_folder(folder)


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
