"""Which files of a folder are to be read as pictures: in a fixed order, each once, never a pipe, never in circles.

Entries are sorted by the bytes of their names. Hidden entries and what programs leave behind are passed over in silence
(.DS_Store, Thumbs.db, ._x.jpg, notes and tables); all else that cannot be a picture is reported. Links to files are
followed, links to folders inside a class folder are not. A file reachable twice (hard or symbolic link) counts once.
"""

import os
from dataclasses import dataclass, field

JUNK = {"thumbs.db", "desktop.ini", "__macosx", "__pycache__", "icon\r"}
JUNK_ENDINGS = (".txt", ".md", ".csv", ".json", ".xml", ".yaml", ".yml", ".html", ".db", ".ini", ".py")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")


@dataclass
class Listing:
    """A walk in progress: `seen` holds (device, inode) of files and folders, `skipped` (path, reason)."""

    seen: set = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def folders(self, path: str) -> list[str]:
        """Names of the folders in `path`; a link back to a folder already entered is left out."""
        names = []
        for entry in _entries(path):
            if entry.is_dir() and not _junk(entry.name) and self._first(entry):
                names.append(entry.name)
        return names

    def pictures(self, path: str) -> list[str]:
        """Paths of the files in `path` and below that may be pictures, in order."""
        found = []
        try:
            entries = _entries(path)
        except OSError as error:
            self.skipped.append((path, f"folder cannot be read: {error.strerror}"))
            return found
        for entry in entries:
            if _junk(entry.name) or entry.name.lower().endswith(JUNK_ENDINGS):
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    self.skipped.append((entry.path, "a link to a folder"))
                elif self._first(entry):
                    found += self.pictures(entry.path)
            elif not entry.is_file():
                self.skipped.append((entry.path, "a link to nothing" if entry.is_symlink() else "not a regular file"))
            elif not self._first(entry):
                self.skipped.append((entry.path, "the same file as an earlier one (a link)"))
            else:
                found.append(entry.path)
        return found

    def _first(self, entry):
        try:
            status = os.stat(entry.path)
        except OSError:  # it vanished or may not be looked at: reading it will say so
            return True
        inode = status.st_dev, status.st_ino
        known = inode in self.seen
        self.seen.add(inode)
        return not known


def loose_pictures(path: str) -> list[str]:
    """Names of the files directly in `path` that look like pictures by their ending."""
    names = (entry.name for entry in _entries(path) if not _junk(entry.name))
    return [name for name in names if name.lower().endswith(PICTURE_ENDINGS)]


def _entries(path):
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))


def _junk(name):
    return name.startswith(".") or name.lower() in JUNK
