"""The table of operations: one row a method, and one a statement file.

The contract, the plans, the checks of arguments, the types, the grants, the map of sql/README.md, the tables of
README.md and RAGFLOW.md, and the changelog are driven by this table or held to it: what is left out of one of them fails
a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from conversation_store.dba import own_contracts
from conversation_store.dba.files import files as query_files
from conversation_store.ragflow import _source_rows as source_rows
from support.operation import Operation, ids, op


class File(NamedTuple):
    """What a statement file returns, a row class, a type or nothing, and the indexes that its header names.

    Of a group of several, all of which begin with what is asked for, the planner takes the smallest.
    """

    row: type | None
    groups: tuple[tuple[str, ...], ...]

    @property
    def indexes(self) -> frozenset[str]:
        """All of them."""
        return frozenset(index for group in self.groups for index in group)


BY_CREATION = "conversation_dialog_id_tenant_id_create_date_id_idx"
BY_CHANGE = "conversation_dialog_id_tenant_id_update_date_id_idx"
BY_USER = "conversation_tenant_id_user_id_create_date_id_idx"
BY_EXPLORER = "conversation_tenant_id_dialog_id_exp_user_id_idx"
BY_DAY = "conversation_tenant_id_create_date_idx"
SEARCH = "conversation_message_search_idx", "conversation_search_idx"
LISTS = (
    "conversation.get_list",
    "conversation.get_list_by_create_date",
    "conversation.get_list_by_create_date_asc",
    "conversation.get_list_by_update_date",
    "conversation.get_list_by_update_date_asc",
    "conversation.get_list_by_keywords",
)

FILES: Mapping[str, File] = {
    file.name: File(own_contracts.FILES[file.name].row, file.indexes or ()) for file in query_files()
}

# The files for MySQL, each with the row class of the file of the same name in ragflow/, or None where it returns no row.
MYSQL_FILES: Mapping[str, type[Any] | None] = {
    "ragflow_mysql.agents": None,
    "ragflow_mysql.api_tokens": source_rows.SourceToken,
    "ragflow_mysql.columns": source_rows.SourceColumn,
    "ragflow_mysql.conversation_ids": source_rows.SourceConversationId,
    "ragflow_mysql.conversation_sizes": source_rows.SourceSize,
    "ragflow_mysql.conversations": source_rows.SourceConversation,
    "ragflow_mysql.dialogs": source_rows.SourceDialog,
    "ragflow_mysql.isolation": None,
    "ragflow_mysql.settings": None,
    "ragflow_mysql.snapshot": None,
    "ragflow_mysql.tables": source_rows.SourceTable,
    "ragflow_mysql.user_canvas": source_rows.SourceDialog,
}


OPERATIONS: Sequence[Operation] = (
    op(
        "dialogs.save",
        lambda e: {"id": e.new, "name": "x"},
        lambda e, r: (r.id, r.name) == (e.new, "x"),
        writes=True,
        tenant="needed",
    ),
    op(
        "dialogs.insert_many",
        lambda e: {"dialogs": [{"id": e.new, "create_date": "2024-01-01"}]},
        lambda e, r: r == 1,
        writes=True,
        tenant="needed",
    ),
    op("dialogs.get_by_id", lambda e: {"id": e.dialog}, lambda e, r: r.name == "检索"),
    op(
        "dialogs.get_by_ids",
        lambda e: {"ids": [e.empty_dialog, e.dialog, e.new]},
        lambda e, r: ids(r) == [e.dialog, e.empty_dialog],
    ),
    op("dialogs.query", lambda e: {"limit": 10}, lambda e, r: ids(r) == [e.empty_dialog, e.dialog], tenant="needed"),
    op(
        "dialogs.iter",
        lambda e: {"id": e.dialog, "batch_size": 1},
        lambda e, r: ids(r) == [e.dialog],
    ),
    op(
        "dialogs.update_by_id",
        lambda e: {"id": e.dialog, "dialog": {"name": "x"}},
        lambda e, r: r == 1,
        writes=True,
    ),
    op(
        "dialogs.delete_by_id",
        lambda e: {"id": e.empty_dialog},
        lambda e, r: r == 1,
        "dialog.delete_by_id",
        "api_token.delete_by_dialog_ids",
        writes=True,
    ),
    op(
        "dialogs.delete_by_ids",
        lambda e: {"ids": [e.empty_dialog]},
        lambda e, r: r == 1,
        "dialog.delete_by_ids",
        "api_token.delete_by_dialog_ids",
        writes=True,
    ),
    op(
        "conversations.save",
        lambda e: {"dialog_id": e.dialog, "id": e.new, "message": ["检索"], "duration": 0.1},
        lambda e, r: (r.id, r.message, r.duration, r.tenant_id) == (e.new, ["检索"], 0.1, e.tenant),
        writes=True,
    ),
    op(
        "conversations.insert_many",
        lambda e: {"conversations": [{"dialog_id": e.dialog, "message": [n], "reference": "r"} for n in range(3)]},
        lambda e, r: r == 3,
        *("dialog.get_by_ids", "conversation.insert_many"),
        *("conversation_message.insert_many", "conversation_reference.insert_many", "conversation.enlist"),
        writes=True,
    ),
    op("conversations.get_by_id", lambda e: {"id": e.conversation}, lambda e, r: r.message == ["问题"]),
    op(
        "conversations.get_by_ids",
        lambda e: {"ids": [e.conversation, e.new]},
        lambda e, r: ids(r) == [e.conversation],
    ),
    op(
        "conversations.get_or_none",
        lambda e: {"id": e.conversation, "dialog_id": e.dialog},
        lambda e, r: r.reference == [{"chunks": [1.5]}],
        "conversation.get_by_id",
    ),
    op(
        "conversations.get_messages",
        lambda e: {"id": e.conversation, "include_reference": True},
        lambda e, r: (
            (r[0].body, r.has_more, r.reference[0].to_dict())
            == ("问题", False, {"position": 1, "body": {"chunks": [1.5]}})
        ),
    ),
    op(
        "conversations.get_references",
        lambda e: {"id": e.conversation, "limit": 0},
        lambda e, r: (r, r.has_more) == ([], True),
        "conversation.get_messages",
    ),
    op(
        "conversations.get_dialog_ids",
        lambda e: {"ids": [e.conversation, e.new]},
        lambda e, r: r == {e.conversation: e.dialog},
    ),
    op(
        "conversations.query",
        lambda e: {"dialog_id": e.dialog, "user_id": "u"},
        lambda e, r: ids(r) == [e.conversation],
    ),
    op(
        "conversations.get_list",
        lambda e: {"dialog_id": e.dialog, "keywords": "问题", "time_zone": "Asia/Tokyo"},
        lambda e, r: (r.count, ids(r.sessions)) == (1, [e.conversation]),
        *LISTS,
        tenant="needed",
    ),
    op(
        "conversations.list_after",
        lambda e: {"dialog_id": e.dialog, "items_per_page": 1},
        lambda e, r: (ids(r.sessions), r.next_cursor) == ([e.conversation], None),
        *LISTS,
        tenant="needed",
    ),
    op(
        "conversations.search",
        lambda e: {"keywords": "问题", "dialog_ids": [e.dialog], "user_id": "u", "time_zone": "Asia/Tokyo"},
        lambda e, r: (
            [(hit.conversation.id, hit.position, hit.snippet) for hit in r.hits] == [(e.conversation, 1, "问题")]
        ),
        tenant="needed",
    ),
    op(
        "conversations.get_names",
        lambda e: {"dialog_id": e.dialog, "exp_user_id": "e"},
        lambda e, r: [row.to_dict() for row in r] == [{"id": e.conversation, "name": "n"}],
    ),
    op(
        "conversations.iter",
        lambda e: {"dialog_id": e.dialog, "batch_size": 1},
        lambda e, r: ids(r) == [e.conversation],
    ),
    op("conversations.iter_ids", lambda e: {"dialog_id": e.dialog}, lambda e, r: r == [e.conversation]),
    op(
        "conversations.export",
        lambda e: {"dialog_id": e.dialog},
        lambda e, r: len(r) == 1 and e.conversation in r[0],
    ),
    op(
        "conversations.count",
        lambda e: {"dialog_id": e.dialog},
        lambda e, r: r == 1,
        "conversation.count",
        "conversation.count_all",
    ),
    op(
        "conversations.stats",
        lambda e: {"from_date": "2024-01-01", "to_date": "2024-01-02", "fill": True},
        lambda e, r: [(str(day.dt), day.pv, day.uv) for day in r] == [("2024-01-01", 1, 1), ("2024-01-02", 0, 0)],
        tenant="needed",
    ),
    op(
        "conversations.append_message",
        lambda e: {"id": e.conversation, "conversation": {"message": ["x"], "reference": {}, "dsl": {"z": None}}},
        lambda e, r: r == 1,
        writes=True,
    ),
    op(
        "conversations.append_round",
        lambda e: {
            "id": e.conversation,
            "messages": ["x"],
            "reference": [{"a": [1.5]}],
            "turn_id": e.new,
            "expected_round": 0,
            "expected_revision": 0,
        },
        lambda e, r: r == 1,
        *("conversation.append_round", "conversation.append_turn", "conversation_turn.get"),
        writes=True,
    ),
    op(
        "conversations.update_by_id",
        lambda e: {"id": e.conversation, "conversation": {"thumb_up": 1}},
        lambda e, r: r == 1,
        "conversation.update_by_id",
        "conversation.append_message",
        writes=True,
    ),
    op(
        "conversations.update_many_by_id",
        lambda e: {"conversations": [{"id": e.conversation, "errors": "e", "message": ["x", "y"]}]},
        lambda e, r: r == 1,
        writes=True,
    ),
    op("conversations.delete_by_id", lambda e: {"id": e.conversation}, lambda e, r: r == 1, writes=True),
    op(
        "conversations.delete_by_ids",
        lambda e: {"ids": [e.conversation], "dialog_id": e.dialog},
        lambda e, r: r == 1,
        writes=True,
    ),
    op("conversations.delete_by_dialog_ids", lambda e: {"ids": [e.dialog]}, lambda e, r: r == 1, writes=True),
    op(
        "conversations.delete_not_updated_since",
        lambda e: {"date": "2024-01-02", "dialog_id": e.dialog, "time_zone": "Asia/Tokyo"},
        lambda e, r: r == 1,
        writes=True,
    ),
    op(
        "tokens.issue",
        lambda e: {"dialog_id": e.dialog, "source": "web"},
        lambda e, r: r.token.endswith(r.hint[1:]),
        *("api_token.save", "api_token.query", "dialog.get_by_id"),
        writes=True,
        tenant="needed",
    ),
    op(
        "tokens.save",
        lambda e: {"token": "other " + e.token, "beta": e.new, "create_date": "2024-01-01"},
        lambda e, r: r.beta == e.new,
        *("api_token.save", "dialog.get_by_id"),
        writes=True,
        tenant="needed",
    ),
    # They stamp a use where that can be written, and are reads elsewhere.
    op(
        "tokens.authenticate",
        lambda e: {"token": e.token},
        lambda e, r: r.id == e.token_id,
        "api_token.authenticate",
        "api_token.stamp_use",
        tenant="none",
    ),
    op(
        "tokens.authenticate_beta",
        lambda e: {"beta": e.beta},
        lambda e, r: r.id == e.token_id,
        "api_token.authenticate_beta",
        "api_token.stamp_use",
        tenant="none",
    ),
    op("tokens.used", lambda e: {"token": e.token}, lambda e, r: r == 1, writes=True, tenant="none"),
    op(
        "tokens.query",
        lambda e: {"token": e.token},
        lambda e, r: ids(r) == [e.token_id],
    ),
    op(
        "tokens.update_by_id",
        lambda e: {"id": e.token_id, "token": {"source": "s"}},
        lambda e, r: r == 1,
        *("api_token.update_by_id", "dialog.get_by_id"),
        writes=True,
        tenant="needed",
    ),
    op("tokens.fill_beta", lambda e: {"id": e.token_id}, lambda e, r: r.beta == e.beta, writes=True, tenant="needed"),
    op(
        "tokens.rotate",
        lambda e: {"id": e.token_id},
        lambda e, r: (r.beta, r.dialog_id, r.predecessor_id) == (e.beta, e.dialog, e.token_id),
        "api_token.rotate",
        "api_token.query",
        writes=True,
        tenant="needed",
    ),
    op(
        "tokens.expire",
        lambda e: {"id": e.token_id, "expire_date": "2100-01-01"},
        lambda e, r: r == 1,
        writes=True,
        tenant="needed",
    ),
    op("tokens.revoke", lambda e: {"id": e.token_id}, lambda e, r: r == 1, writes=True, tenant="needed"),
    op("tokens.delete", lambda e: {"token": e.token}, lambda e, r: r == 1, writes=True, tenant="needed"),
    op("tokens.delete_by_id", lambda e: {"id": e.token_id}, lambda e, r: r == 1, writes=True, tenant="needed"),
    op("tokens.delete_by_tenant_id", lambda e: {}, lambda e, r: r == 1, writes=True, tenant="needed"),
    op(
        "tenants.delete_by_id",
        lambda e: {"tenant_id": e.tenant, "batch_size": 10},
        lambda e, r: r.to_dict() == {"tokens": 1, "conversations": 1, "dialogs": 2},
        *("api_token.delete_by_tenant_id", "conversation.delete_by_tenant_id", "dialog.delete_by_tenant_id"),
        "dialog.lock_by_tenant_id",
        writes=True,
        tenant="subject",
    ),
)
