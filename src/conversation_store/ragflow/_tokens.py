"""The service of API tokens, under its name in RAGFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument
from conversation_store.ragflow._conditions import Condition, checked_conditions
from conversation_store.ragflow._fields import known
from conversation_store.ragflow._rows import Refused, Values
from conversation_store.ragflow._service import Service
from conversation_store.ragflow._settings import Settings, settings, without_secrets
from conversation_store.ragflow._token_rows import CHANGES, REFERENCE, AnyToken, APIToken, found_tokens, reference_of

_NEW = ("tenant_id", "token", *CHANGES)
# What the columns of dates are there; the store sets them itself, as it is there.
_STAMPS = ("create_time", "create_date", "update_time", "update_date")


class Executed(int):
    """The number of rows of a statement that has run."""

    def execute(self) -> int:
        """Return the number of rows; nothing runs again."""
        return int(self)


_NO_ID = (
    "a token has no id there; use query, filter_update and filter_delete with APIToken.tenant_id and APIToken.token,"
    " or store.tokens, whose tokens have ids"
)


class APITokenService(Service[APIToken]):
    """API tokens, under the names and with the arguments of RAGFlow's service."""

    model = APIToken

    @classmethod
    @without_secrets
    def used(cls, token: Any) -> Executed:
        """Stamp the use of a token at once; `execute()` of the result returns how many there were, 1 or 0.

        SQL: `sql/api_token/used.sql`.
        """
        return Executed(settings().store.tokens.used(token) if isinstance(token, str) else 0)

    @classmethod
    @without_secrets
    def save(cls, **values: Any) -> int:
        """Store a token with the secret that the caller made, of any length, and return 1.

        Dates are now, whatever is given. A dialog that the store does not have is created with its owner. Raises
        `AlreadyExists`, `DialogNotFound`, and `InvalidArgument` of other names. SQL: `sql/api_token/save.sql`.
        """
        current, new = settings(), _checked("the token", values)
        _with_its_dialog(current, new)
        current.store.tokens.save(**new, allow_weak=True)
        return 1

    @classmethod
    @without_secrets
    def insert(cls, **values: Any) -> int:
        """Store a token, as `save`; an `id`, which tokens do not have there, is ignored."""
        return cls.save(**{name: value for name, value in values.items() if name != "id"})

    @classmethod
    @without_secrets
    def insert_many(cls, data_list: Iterable[Mapping[str, Any]], batch_size: int = 100) -> None:
        """Store tokens, all of them or none, each with its own mix of fields; *batch_size* is ignored."""
        given = validate.rows("data_list", data_list)
        rows = [_checked(f"data_list[{index}]", values) for index, values in enumerate(given)]
        for values in rows:
            _with_its_dialog(settings(), values)

        def save(current: Settings) -> None:
            for values in rows:
                current.store.tokens.save(**values, allow_weak=True)

        settings().atomically(save)

    @classmethod
    @without_secrets
    def delete_by_tenant_id(cls, tenant_id: Any) -> int:
        """Delete every token of a tenant, and return how many there were.

        SQL: `sql/api_token/delete_by_tenant_id.sql`.
        """
        tenant = known(tenant_id)
        return 0 if tenant is None else settings().store.tokens.delete_by_tenant_id(tenant)

    @classmethod
    @without_secrets
    def filter_update(cls, filters: Sequence[Condition], update_data: Mapping[str, Any]) -> int:
        """Change `dialog_id`, `source` and `beta` of the tokens for which all conditions hold; return how many.

        A whole row may be given: of one that was read here only what was changed in it is stored. Another secret or
        tenant raises `NotImplementedError`. SQL: `sql/api_token/query.sql`, `sql/api_token/update_by_id.sql`.
        """
        conditions = checked_conditions(filters)
        given = validate.keys("update_data", update_data, (*_NEW, *_STAMPS), quote=False)

        def update(current: Settings) -> int:
            found = found_tokens(current, conditions, AnyToken())
            for row, values in found:
                for name in ("tenant_id", "token"):
                    same = (values[name], reference_of(row)) if name == "token" else (values[name],)
                    if name in given and known(given[name], maximum=validate.MAX_ERRORS) not in same:
                        raise NotImplementedError(
                            f"filter_update cannot change the {name} of a token: save another one and delete this one,"
                            " or use store.tokens.rotate"
                        )
                read: Mapping[str, Any] = update_data.read(row.id) if isinstance(update_data, Values) else {}
                changes = {
                    name: given[name] or None
                    for name in CHANGES
                    if name in given and not (name in read and read[name] == given[name])
                }
                if changes.get("dialog_id"):
                    current.tenant_of(changes["dialog_id"], row.tenant_id)
                if changes:
                    current.store.tokens.update_by_id(row.id, changes, tenant_id=row.tenant_id)
            return len(found)

        updated = settings().atomically(update, "repeatable read")
        if isinstance(update_data, Values) and update_data.origin is not None and updated:
            # What was written is what the next change is compared with.
            update_data.origin.read = {name: given[name] for name in CHANGES if name in given}
        return updated

    @classmethod
    @without_secrets
    def filter_delete(cls, filters: Sequence[Condition]) -> int:
        """Delete the tokens for which all conditions hold; return how many there were.

        SQL: `sql/api_token/query.sql`, `sql/api_token/delete_by_id.sql`.
        """
        conditions = checked_conditions(filters)

        def delete(current: Settings) -> int:
            found = found_tokens(current, conditions, AnyToken())
            return sum(current.store.tokens.delete_by_id(row.id, tenant_id=row.tenant_id) for row, _ in found)

        return settings().atomically(delete, "repeatable read")

    get_by_id = Refused(_NO_ID)
    get_by_ids = Refused(_NO_ID)
    update_by_id = Refused(_NO_ID)
    update_many_by_id = Refused(_NO_ID)
    delete_by_id = Refused(_NO_ID)
    delete_by_ids = Refused(_NO_ID)


def _checked(name: str, given: object) -> dict[str, Any]:
    """Return the values of a token to store."""
    values = validate.keys(name, given, (*_NEW, *_STAMPS), quote=False)
    for needed in ("tenant_id", "token"):
        if values.get(needed) is None:
            raise InvalidArgument(f"{name} must have a {needed}")
    if isinstance(values["token"], str) and REFERENCE.fullmatch(values["token"]):
        raise InvalidArgument(f"{name} must have a secret as its token, not what stands for one in a list")
    empty = {key: values.get(key) or None for key in CHANGES}
    return {"tenant_id": values["tenant_id"], "token": values["token"], **empty}


def _with_its_dialog(current: Settings, values: Mapping[str, Any]) -> None:
    """Create the dialog that a token is bound to, where it is not there yet."""
    if values["dialog_id"] is not None:
        current.tenant_of(values["dialog_id"], validate.identifier("tenant_id", values["tenant_id"]))
