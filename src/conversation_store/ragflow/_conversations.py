"""The service of API conversations, under its name in RAGFlow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from conversation_store import _validation as validate
from conversation_store.errors import InvalidArgument
from conversation_store.ragflow._conditions import Condition, check_table, checked_conditions, narrowed
from conversation_store.ragflow._conversation_reads import ConversationReads
from conversation_store.ragflow._conversation_rows import COLUMNS, LAST_SAVED, API4Conversation
from conversation_store.ragflow._conversation_writes import Writes, check_changes, read_new
from conversation_store.ragflow._fields import all_known, known
from conversation_store.ragflow._rows import Origin
from conversation_store.ragflow._service import in_chunks
from conversation_store.ragflow._settings import Settings, settings


class API4ConversationService(ConversationReads):
    """API conversations, under the names and with the arguments of RAGFlow's service."""

    @classmethod
    def save(cls, **values: Any) -> int:
        """Store a conversation, and return 1.

        Dates are now, whatever is given. A dialog or agent that the store does not have is created with its owner.
        Raises `AlreadyExists`, `DialogNotFound`, and `InvalidArgument` of other names.
        SQL: `sql/conversation/save.sql`.
        """
        current = settings()
        new = read_new(current, "the conversation", values)
        row = current.store.conversations.save(tenant_id=current.tenant_of(new.get("dialog_id")), **new)
        LAST_SAVED.add(values, Origin(row.tenant_id, row.id, row.dialog_id, row.revision))
        return 1

    @classmethod
    def insert(cls, **values: Any) -> int:
        """Store a conversation, as `save`; without an `id` it gets a random one."""
        return cls.save(**values)

    @classmethod
    def insert_many(cls, data_list: Iterable[Mapping[str, Any]], batch_size: int = 100) -> None:
        """Store conversations, all of them or none, each with its own mix of fields; *batch_size* is ignored.

        SQL: `sql/conversation/insert_many.sql`.
        """
        current = settings()
        given = validate.rows("data_list", data_list)
        rows = [read_new(current, f"data_list[{index}]", cast(Any, values)) for index, values in enumerate(given)]
        dialogs = [
            validate.identifier(f"data_list[{n}]['dialog_id']", row.get("dialog_id")) for n, row in enumerate(rows)
        ]
        tenants = {dialog: current.tenant_of(dialog) for dialog in set(dialogs)}
        current.store.conversations.insert_many(
            {**row, "tenant_id": tenants[dialog]} for row, dialog in zip(rows, dialogs, strict=True)
        )

    @classmethod
    def append_message(cls, id: Any, conversation: Mapping[str, Any]) -> int:
        """Change the given fields and increment the round, at once; return 1, or 0 when there is no such conversation.

        A list replaces the stored one. A whole row that was read here may be given: its dates, round and dialog are
        ignored, and it raises `RevisionConflict` when it was changed since, unless `configure(stale_writes="allow")`.
        SQL: `sql/conversation/append_message.sql`.
        """
        writes = Writes(settings())
        changed = writes.append_message(id, conversation, "conversation")
        writes.settle()
        return changed

    @classmethod
    def update_by_id(cls, pid: Any, data: Mapping[str, Any]) -> int:
        """Change the given fields and leave the round as it is; all else is as for `append_message`.

        SQL: `sql/conversation/update_by_id.sql`, `sql/conversation/append_message.sql`.
        """
        writes = Writes(settings())
        changed = writes.update_by_id(pid, data, "data")
        writes.settle()
        return changed

    @classmethod
    def update_many_by_id(cls, data_list: Iterable[Mapping[str, Any]]) -> None:
        """Change the given fields of many conversations, each of which is named by its `id`, in one transaction.

        One that does not exist is skipped, as it is there. A stale one raises as for `update_by_id`, and none is
        changed. SQL: `sql/conversation/update_by_id.sql`, `sql/conversation/append_message.sql`.
        """
        rows = list(validate.rows("data_list", data_list))
        for index, data in enumerate(rows):
            if "id" not in validate.keys(f"data_list[{index}]", data, COLUMNS):
                raise InvalidArgument(f"data_list[{index}] must have an id")

        # In order of the ids, so that two calls do not wait for each other.
        given = cast("list[Mapping[str, Any]]", rows)
        ordered = sorted(enumerate(given), key=lambda pair: known(pair[1]["id"]) or "")

        def update(current: Settings) -> Writes:
            writes = Writes(current)
            for index, data in ordered:
                writes.update_by_id(data["id"], data, f"data_list[{index}]")
            return writes

        settings().atomically(update).settle()

    @classmethod
    def delete_by_id(cls, pid: Any) -> int:
        """Delete a conversation; return 1, or 0 when there is none. SQL: `sql/conversation/delete_by_id.sql`."""
        id = known(pid)
        return 0 if id is None else settings().store.conversations.delete_by_id(id)

    @classmethod
    def delete_by_ids(cls, pids: Iterable[Any]) -> int:
        """Delete conversations, any number of them; return how many there were.

        SQL: `sql/conversation/delete_by_ids.sql`.
        """
        ids = all_known("pids", pids)
        return settings().atomically(lambda current: in_chunks(ids, current.store.conversations.delete_by_ids))

    @classmethod
    def delete_by_dialog_ids(cls, dialog_ids: Iterable[Any]) -> int:
        """Delete every conversation of some dialogs, in batches; return how many there were.

        SQL: `sql/conversation/delete_by_dialog_ids.sql`.
        """
        return in_chunks(all_known("dialog_ids", dialog_ids), settings().store.conversations.delete_by_dialog_ids)

    @classmethod
    def filter_update(cls, filters: Sequence[Condition], update_data: Mapping[str, Any]) -> int:
        """Change the given fields of the conversations for which all conditions hold; return how many.

        SQL: `sql/conversation/update_by_id.sql`, `sql/conversation/append_message.sql`.
        """
        conditions = checked_conditions(filters)
        check_changes("update_data", update_data)

        def update(current: Settings) -> tuple[Writes, int]:
            writes = Writes(current)
            found = sorted(API4Conversation.find_values(current, conditions), key=lambda row: row["id"])
            return writes, sum(writes.update_where(row, conditions, update_data, "update_data") for row in found)

        writes, updated = settings().atomically(update)
        writes.settle()
        return updated

    @classmethod
    def filter_delete(cls, filters: Sequence[Condition]) -> int:
        """Delete the conversations for which all conditions hold; return how many.

        SQL: `sql/conversation/delete_by_ids.sql`, `sql/conversation/delete_by_dialog_ids.sql`.
        """
        conditions = checked_conditions(filters)
        check_table(API4Conversation, conditions)
        one_of = narrowed(conditions)
        if all(condition.exact for condition in conditions) and one_of.keys() == {"dialog_id"}:
            return cls.delete_by_dialog_ids(one_of["dialog_id"])

        def delete(current: Settings) -> int:
            found: defaultdict[str, list[str]] = defaultdict(list)
            for row in API4Conversation.find_values(current, conditions):
                found[cast(Origin, row.origin).tenant_id].append(row["id"])
            delete_by_ids = current.store.conversations.delete_by_ids
            return sum(
                in_chunks(ids, partial(delete_by_ids, tenant_id=tenant_id)) for tenant_id, ids in sorted(found.items())
            )

        return settings().atomically(delete, "repeatable read")
