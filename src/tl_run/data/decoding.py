"""Bytes to text and lines: UTF-8 only. Lines end at CR or LF; str.splitlines() would also cut at U+2028."""

import codecs
import contextlib
import re

from tl_run.errors import BadInput

_FIRST_LINE_END = re.compile(r"\r*\n|\r")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook, not text; unpack it, or save the sheet as CSV (UTF-8)",
    b"\x1f\x8b": "compressed with gzip; unpack it first (gunzip)",
    b"\xd0\xcf\x11\xe0": "an Excel workbook or Word document of the old kind, not text; save the sheet as CSV (UTF-8)",
    b"%PDF": "a PDF, not text; save what is in it as plain text",
    b"PAR1": "a Parquet file; rename it to .parquet",
}
_SCRIPTS = {"WINDOWS-1251": ("[а-яё]{3,}", 0.6), "SHIFT_JIS": ("[\u3040-\u30ff]+", 0.3)}
"""Runs of characters by which an encoding is known, and the least share of them in what is not ASCII."""
POINTER = b"version https://git-lfs.github.com/spec/"


def decode(name: str, data: bytes) -> str:
    """The text of a UTF-8 file without its byte order mark. Raises BadInput for another encoding and for NUL bytes."""
    if data.startswith(POINTER):
        raise BadInput(f"{name}: a pointer of git-lfs, not the file itself; type git lfs pull in its folder")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(_why_not_text(name, data, error.start)) from None
    if "\0" in text:
        raise BadInput(_why_not_text(name, data, data.index(b"\0")))
    return text.removeprefix("\ufeff")


def no_page(name: str, text: str) -> None:
    """Raises BadInput for HTML: what a download gives that needed another address, or a login."""
    if re.match(r"\s*<(!doctype html|html)\b", text, re.IGNORECASE):
        raise BadInput(f"{name}: this is a web page (HTML), not data; download the file itself (raw)")


def line_end(text: str) -> str:
    r"""What ends the lines: "\r" if the first one ends as on an old Mac, else "\n" (a "\r" may stand before it)."""
    first = _FIRST_LINE_END.search(text)
    return "\r" if first and "\n" not in first[0] else "\n"


def _why_not_text(name: str, data: bytes, offset: int) -> str:
    for start, what in _OTHER_KINDS.items():
        if data.startswith(start):
            return f"{name}: this is {what}"
    if data.startswith(_UTF_16) or data.count(0) > len(data) // 4:
        odd = data[1::2].count(0) >= data[::2].count(0)
        encoding = "UTF-16" if data.startswith(_UTF_16) else "UTF-16LE" if odd else "UTF-16BE"
        return f"{name}, line 1: this is {encoding}, not UTF-8; {_convert(encoding)}"
    before = data[:offset].decode("latin-1")
    place = f"{name}, line {before.count(line_end(before)) + 1} (byte {offset})"
    if data[offset] == 0:
        return f"{place}: a NUL byte, {data.count(0)} in all; remove them: tr -d '\\000' < OLD > NEW"
    found = f"{place}: byte 0x{data[offset]:02x} is not UTF-8"
    lenient = data.decode("utf-8", "replace")
    damaged = lenient.count("\ufffd")
    if len(lenient) - len(lenient.encode("ascii", "ignore")) > 5 * damaged:
        return f"{found}, the rest is (damaged places: {damaged}); repair them or drop them: {_iconv('UTF-8', ' -c')}"
    encoding = _likely_encoding(data)
    if encoding is None:
        return f"{found}; convert it from the encoding it was written in: {_iconv('ENCODING')}"
    return f"{found}, the file looks like {encoding}; {_convert(encoding)}"


def _likely_encoding(data: bytes) -> str | None:
    """A guess for the message: by script; else Chinese comes in pairs of high bytes, Western text has them alone."""
    for encoding, (script, least) in _SCRIPTS.items():
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            if len("".join(re.findall(script, text))) >= least * sum(c > "\x7f" for c in text):
                return encoding
    high = len(re.findall(rb"[\x80-\xff]", data))
    paired = 2 * len(re.findall(rb"[\x81-\xfe][\xa1-\xfe]", data))
    likely = "GB18030" if paired > high / 2 else "WINDOWS-1252"
    try:
        data.decode(likely)
    except UnicodeDecodeError:
        return None
    return likely


def _convert(encoding: str) -> str:
    return f"convert it: {_iconv(encoding)}"


def _iconv(encoding: str, flag: str = "") -> str:
    return f"iconv{flag} -f {encoding} -t UTF-8 OLD > NEW"
