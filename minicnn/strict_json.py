"""JSON from a stranger: everything the standard allows and a program can trip over is refused.

Refused: duplicate keys, NaN and Infinity, numbers outside float64, integers of thousands of digits, nesting deeper than
Python's stack, lone surrogates, a byte-order mark, anything that is not UTF-8. `Fields` then takes an object apart key
by key.
"""

import json
import math

from .errors import DataError


def parse(data: bytes, what: str):
    """The value in `data`; raises DataError that begins with `what`."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # lone surrogates cannot be encoded
    except RecursionError:
        raise DataError(f"{what}: nested too deeply") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{what}: not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise DataError(f"{what}: a lone surrogate in a text") from None
    except ValueError as error:  # JSONDecodeError, our own refusals, integers over the digit limit
        raise DataError(f"{what}: {str(error).splitlines()[0]}") from None
    return value


def _unique(pairs):
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r:.80} stands there twice")
    return fields


def _refuse_constant(text):
    raise ValueError(f"{text} is not a number")


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"number {text:.40} is out of range")
    return number


class Fields:
    """An object of a parsed document, taken apart with one-line errors.

        fields = Fields(value, "bee.safetensors")
        size = fields.take("size", int)
        fields.done()               # raises when a key is left over

    `where` is what messages begin with. Raises DataError.
    """

    def __init__(self, value, where: str):
        if type(value) is not dict:
            raise DataError(f"{where}: expected an object, got {_kind(value)}")
        self.rest, self.where = dict(value), where

    def take(self, key: str, kind: type | tuple, check=None, expected: str = ""):
        """The value under `key`, of exactly that type (True is no int), for which check(value) holds."""
        if key not in self.rest:
            raise DataError(f"{self.where}: key '{key}' is missing")
        value = self.rest.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if type(value) not in kinds:
            wanted = " or ".join("null" if one is type(None) else one.__name__ for one in kinds)
            raise DataError(f"{self.where}: key '{key}' must be {wanted}, got {_kind(value)}")
        if check is not None and not check(value):
            raise DataError(f"{self.where}: key '{key}' must be {expected}, got {json.dumps(value):.80}")
        return value

    def done(self) -> None:
        """Refuse what was not taken."""
        if self.rest:
            raise DataError(f"{self.where}: unknown key '{next(iter(self.rest)):.80}'")


def _kind(value) -> str:
    return "null" if value is None else type(value).__name__
