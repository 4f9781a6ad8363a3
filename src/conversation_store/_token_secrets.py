"""The secret of a token: how a new one is made and known again, and what is kept of it. No error quotes a secret.

A new secret is `cstk_`, 43 characters of base 62 that stand for 256 random bits, and 6 that are the CRC-32 of what
stands before them. A scanner knows a leaked one by the prefix, and by the checksum from other text that looks so.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, InvalidArgumentType

_PREFIX = "cstk_"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(_PREFIX + "[0-9A-Za-z]{49}")
_SHORTEST = 16


class Secret:
    """The secret of a token, which no repr and no traceback shows."""

    __slots__ = ("digest", "hint", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = digest(text)
        self.hint = hint_of(text)

    def __repr__(self) -> str:
        return "<secret>"


def new_token() -> str:
    """Return the secret of a token to be: `cstk_` and 49 letters and digits, of 256 random bits and a checksum.

    Given to `tokens.issue` and `tokens.rotate`, it makes them safe to repeat after a lost answer.
    """
    text = _PREFIX + _base62(secrets.randbits(256), 43)
    return text + _checksum(text)


def new_or(token: object) -> Secret:
    """Return a new secret, or the one that a caller made with `new_token`; any other text raises `InvalidArgument`."""
    if token is None:
        return Secret(new_token())
    if not validate.is_a(token, str):
        raise _not_a_str(token)
    text = str.__str__(token)
    if not _FORM.fullmatch(text) or _checksum(text[:-6]) != text[-6:]:
        raise InvalidArgument("token must be None or what new_token() returned")
    return Secret(text)


def existing(token: object, *, allow_weak: bool) -> Secret:
    """Return a secret that was made elsewhere; a short one raises `InvalidArgument` unless *allow_weak*."""
    if not validate.is_a(token, str):
        raise _not_a_str(token)
    text = str.__str__(token)
    if not text.strip():
        raise InvalidArgument("token must not be blank")
    if len(text) < _SHORTEST and not allow_weak:
        raise InvalidArgument(f"token must have at least {_SHORTEST} characters, unless allow_weak is True")
    return Secret(text)


def digest(token: object) -> bytes:
    """Return the SHA-256 digest of any text."""
    if not validate.is_a(token, str):
        raise _not_a_str(token)
    # surrogatepass: text that cannot be stored is an unknown token, and no error quotes it.
    return hashlib.sha256(str.__str__(token).encode("utf-8", "surrogatepass")).digest()


def hint_of(token: str) -> str:
    """Return the last four characters, where enough others stay unknown."""
    return "…" + (token[-4:] if len(token) >= 20 and token[-4:].isprintable() else "")


def sought(beta: object) -> str:
    """Return a beta to look for; the empty one, which no token has, for text that cannot be stored."""
    if not validate.is_a(beta, str):
        raise InvalidArgumentType(f"beta must be a str, not {type(beta).__name__}")
    try:
        return validate.text("beta", beta)
    except ValueError:
        return ""


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), 6)


def _not_a_str(token: object) -> InvalidArgumentType:
    return InvalidArgumentType(f"token must be a str, not {type(token).__name__}")
