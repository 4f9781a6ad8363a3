"""What is kept of a token's secret: its digest and a hint. No error quotes a secret."""

from __future__ import annotations

import hashlib
import secrets

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument, InvalidArgumentType


def new_secret() -> str:
    return "cs-" + secrets.token_urlsafe(32)


def digest(token: object) -> bytes:
    if not isinstance(token, str):
        raise not_a_token(token)
    # surrogatepass: text that cannot be stored is an unknown token, and no error quotes it.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def hint_of(token: str) -> str:
    """Return the last four characters, where enough others stay unknown."""
    return "…" + (token[-4:] if len(token) >= 20 and token[-4:].isprintable() else "")


def sought(beta: object) -> str:
    """Return a beta to look for; the empty one, which no token has, for text that cannot be stored."""
    if not isinstance(beta, str):
        raise InvalidArgumentType(f"beta must be a str, not {type(beta).__name__}")
    try:
        return validate.text("beta", beta)
    except ValueError:
        return ""


def not_a_token(token: object) -> Exception:
    # The message never contains the token.
    if isinstance(token, str):
        return InvalidArgument("token must not be blank")
    return InvalidArgumentType(f"token must be a str, not {type(token).__name__}")
