"""What the services are configured with, and what they make of the values of their callers."""

from __future__ import annotations

import atexit
import logging
import sys
import zoneinfo
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from traceback import clear_frames
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar, cast

from conversation_store import _dates as dates
from conversation_store import _validation as validate
from conversation_store._json_repair import OnRepair
from conversation_store._json_writer import LARGEST_JSON, MAX_JSON_BYTES, JsonWriter
from conversation_store._operations import settings_of
from conversation_store.errors import DialogNotFound, InvalidArgument, InvalidArgumentType, StoreError
from conversation_store.models import Dated
from conversation_store.store import ConversationStore, Transaction
from conversation_store.transaction import Isolation, run_in

P = ParamSpec("P")
T = TypeVar("T")

OwnerOf: TypeAlias = Callable[[str], Any]
"""Called with the id of a dialog or an agent that the store does not have; returns the id of its tenant, or None."""
StaleWrites: TypeAlias = Literal["raise", "allow"]

_ATTEMPTS = 20

_log = logging.getLogger("conversation_store.ragflow")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the services work with: `store` repairs what it can and cuts no list."""

    store: Transaction
    time_zone: str
    zone: zoneinfo.ZoneInfo
    owner_of: OwnerOf | None
    any_tenant: bool
    refuses_stale_writes: bool
    on_repair: OnRepair
    key: object  # which another configuration has not

    def atomically(self, function: Callable[[Settings], T], isolation: Isolation = "read committed") -> T:
        """Call a function with the same settings and a store whose calls are one transaction, and return its result.

        It is called again after a deadlock and, where it is repeatable read, when another one changes first what it has
        read and changes; after 20 times the error is raised.
        """
        return run_in(
            lambda: self.store.transaction(isolation=isolation),
            lambda tx: function(replace(self, store=tx)),
            _ATTEMPTS,
            None,
        )

    def stamps(self, row: Dated) -> dict[str, Any]:
        """Return the times and dates of a row, as they are there."""
        return {
            "create_time": row.create_time,
            "create_date": self.local(row.create_date),
            "update_time": row.update_time,
            "update_date": self.local(row.update_date),
        }

    def local(self, instant: datetime) -> datetime:
        """Return the naive wall clock of an instant, in whole seconds."""
        with suppress(OverflowError):  # at an end of the calendar
            instant = instant.astimezone(self.zone)
        return instant.replace(tzinfo=None, microsecond=0)

    def tenant_of(self, dialog_id: object, tenant_id: str | None = None) -> str:
        """Return the tenant of a dialog or agent, which is created with its owner where no tenant has it yet.

        Raises `DialogNotFound` when it has no owner, or another one than *tenant_id*.
        """
        id = validate.identifier("dialog_id", dialog_id)
        dialogs = self.store.dialogs
        found = dialogs.get_by_id(id, tenant_id=tenant_id)
        if found is None and tenant_id is not None and dialogs.get_by_id(id) is not None:
            raise DialogNotFound(f"the tenant {tenant_id!r} has no dialog {id!r}; another one has it")
        if found is not None:
            return found.tenant_id
        if self.owner_of is None:
            raise DialogNotFound(f"there is no dialog {id!r}; configure(owner_of=…) names the tenant of a new one")
        owner = self.owner_of(id)
        if owner is None:
            raise DialogNotFound(f"there is no dialog {id!r}, and owner_of({id!r}) gives no tenant")
        owner_id = validate.identifier(f"owner_of({id!r})", owner)
        if tenant_id not in (None, owner_id):
            raise DialogNotFound(f"the tenant {tenant_id!r} has no dialog {id!r}; its owner is another one")
        return dialogs.save(id=id, tenant_id=owner_id).tenant_id


def without_secrets(method: Callable[P, T]) -> Callable[P, T]:
    """Make a method whose arguments may hold a secret drop what its frames hold when it fails.

    A traceback may be shown with the local variables of its frames.
    """

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        # What the caller is handling becomes our context, and is the caller's.
        seen = {id(sys.exception()), id(None)}
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            linked: list[BaseException | None] = [error]
            while linked:
                if id(one := linked.pop()) not in seen:
                    seen.add(id(one))
                    one = cast(BaseException, one)
                    clear_frames(one.__traceback__)
                    linked += [one.__cause__, one.__context__]
            raise
        finally:
            del args, kwargs

    return call


_settings: Settings | None = None


def configure(
    store: ConversationStore,
    *,
    time_zone: str = "UTC",
    owner_of: OwnerOf | None = None,
    any_tenant: bool = False,
    stale_writes: StaleWrites = "raise",
    on_repair: OnRepair | None = None,
) -> None:
    """Set the store that the services use, and open it; a later call replaces all of this, and closes no store.

    The services take JSON values of up to 200,000,000 bytes, unless the store has another `max_json_bytes` than the
    default, and pages of any length.

    - *time_zone*: the IANA name of the zone of the dates that callers give and get without an offset.
    - *owner_of*: is called with the id of a dialog or agent that the store does not have when a session or a token of
      it is saved, and returns its tenant, with which it is created; None for one that does not exist.
    - *any_tenant*: whether `get_list` gives the sessions of a dialog to a tenant that has no dialog of this id, as to
      the members of a team. The caller must have checked that they may see them.
    - *stale_writes*: "raise" raises `RevisionConflict` when a row is written back that was changed since it was read;
      "allow" overwrites what was changed.
    - *on_repair*: is called with the path of each value that was repaired, and with what was done; never with values.
      By default that of the store, or a warning in the log `conversation_store.ragflow`.

    Raises the `psycopg.OperationalError` of the first attempt to connect.
    """
    global _settings
    if not isinstance(cast(object, store), ConversationStore):
        raise InvalidArgumentType(f"store must be a ConversationStore, not {type(store).__name__}")
    zone = dates.time_zone("time_zone", time_zone)
    validate.callback("owner_of", owner_of)
    validate.callback("on_repair", on_repair)
    if cast(Any, store)._executor.source.connection is not None:
        raise InvalidArgument("store must have a pool, not a connection: the services are called from threads")
    own = settings_of(store)
    told = on_repair or own.json.on_repair or _log_repair
    # A turn that is too large is lost after its answer was shown: the default is as for an import.
    largest = LARGEST_JSON if own.json.max_bytes == MAX_JSON_BYTES else own.json.max_bytes
    writer = JsonWriter(largest, repair=True, on_repair=told)
    settings = Settings(
        store=Transaction(
            cast(Any, store)._executor, own._replace(json=writer, max_items_per_page=validate.MAX_INTEGER)
        ),
        time_zone=zone,
        zone=_zone(zone),
        owner_of=owner_of,
        any_tenant=validate.boolean("any_tenant", any_tenant),
        refuses_stale_writes=validate.choice("stale_writes", stale_writes, ("raise", "allow")) == "raise",
        on_repair=told,
        key=object(),
    )
    store.open()
    atexit.register(store.close)
    _settings = settings


def key() -> object:
    """Return the key of the configuration, or None where there is none."""
    return None if _settings is None else _settings.key


def settings() -> Settings:
    """Return what the services are configured with."""
    if _settings is None:
        raise StoreError("conversation_store.ragflow.services.configure(store) must be called first")
    return _settings


def _log_repair(path: str, what: str) -> None:
    _log.warning("%s %s", path, what)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except zoneinfo.ZoneInfoNotFoundError:
        raise InvalidArgument(f"time_zone: Python has no tables of {name}; pip install tzdata") from None
