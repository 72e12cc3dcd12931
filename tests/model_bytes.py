"""Take a file of tensor_file apart and put it together again with a lie in it; the checksum is made right again on
request.
"""

import hashlib
import json

from minicnn.tensor_file import MARK, ZEROS


def split(blob: bytes) -> tuple[dict, bytes]:
    """(header as a dict, data)."""
    end = 8 + int.from_bytes(blob[:8], "little")
    return json.loads(blob[8:end]), blob[end:]


def join(header, data: bytes, sign: bool = True) -> bytes:
    """A file of a header (a dict, or its raw bytes) and data, with the right checksum when `sign`."""
    raw = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    return resign(len(raw).to_bytes(8, "little") + raw + data) if sign else len(raw).to_bytes(8, "little") + raw + data


def resign(blob: bytes) -> bytes:
    """The blob with the right checksum, where it has a place for one."""
    at = blob.find(MARK)
    if at < 0:
        return blob
    at += len(MARK)
    blank = blob[:at] + ZEROS + blob[at + 64 :]
    return blank[:at] + hashlib.sha256(blank).hexdigest().encode() + blank[at + 64 :]


def with_document(blob: bytes, change) -> bytes:
    """The file with change(document) in place of its document, signed."""
    header, data = split(blob)
    document = json.loads(header["__metadata__"]["minicnn"])
    header["__metadata__"]["minicnn"] = json.dumps(change(document) or document, separators=(",", ":"))
    return join(header, data)
