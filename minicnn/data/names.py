"""Names of files and classes as they may be printed: one line, no control characters, nothing a terminal would obey."""

import os
import unicodedata

LONGEST = 200


def printable(name) -> str:
    """`name` with control characters, line separators, direction marks and stray bytes as escapes.

    name: str, bytes or path, or an exception whose text is meant. More than 200 characters are cut in the middle.
    """
    text = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else str(name)
    text = "".join(_escape(character) for character in text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}"
    return text


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8 (surrogateescape)
        return f"\\x{code - 0xDC00:02x}"
    # Cc controls, Cf direction marks and joiners, Cs surrogates, Zl and Zp line ends
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


def class_name(name) -> str:
    """A class's name as it is stored and shown: Unicode NFC, then printable."""
    return printable(unicodedata.normalize("NFC", os.fsdecode(name)))


def class_order(names) -> list[str]:
    """Sorted as numbers when all are whole numbers (2 before 10), else by the bytes of the names."""
    names = list(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names, key=os.fsencode)
