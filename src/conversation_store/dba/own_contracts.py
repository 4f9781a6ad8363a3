"""What the methods of this package expect of their query files; a test holds it to what they describe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from conversation_store._conversation_walks import ExportedConversation
from conversation_store.dba.contract import Contract, Json, Types
from conversation_store.models import (
    ApiToken,
    AppendedRound,
    ChangedConversation,
    Conversation,
    ConversationDialog,
    ConversationKey,
    ConversationName,
    DailyStats,
    DeletedBatch,
    DeletedOldBatch,
    Dialog,
    EarlierTurn,
    FoundTenant,
    ReadEntries,
    Tenant,
    UpdatedConversation,
)
from conversation_store.ragflow import _source_rows as source
from conversation_store.ragflow._stored import ImportedConversation

# The names of each type. A name has one type in all files, but for the id of a token, which is a number.
_NAMES: Mapping[Any, str] = {
    str: "id tenant_id dialog_id user_id exp_user_id turn_id conversation_id name source beta hint errors version_title"
    " keywords orderby date_field total time_zone after_id after_key after_dialog_id after_tenant_id from_dialog_id"
    " after_token after_position",
    list[str]: "ids names dialog_ids",
    int: "limit offset total_limit before after tokens round thumb_up revision position increment message_count"
    " reference_count expected_round expected_revision",
    float: "duration grace stamp_every",
    bool: "desc fill include_messages include_reference include_dsl",
    bytes: "digest token_digest",
    Json: "body changes dialogs dsl message messages reference updates",
    datetime: "create_date update_date import_date expire_date from_date before_date after_create_date"
    " found_update_date",
}
_TYPES: Types = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def _file(
    row: type | None, parameters: str, methods: str = "", *, before: Types | None = None, **types: Any
) -> Contract:
    names = parameters.split()
    return Contract(
        row, {name: types.get(name, _TYPES[name]) for name in names}, before or {}, methods=tuple(methods.split())
    )


_PARTS = "include_messages include_reference include_dsl"
_PAGE = f"tenant_id dialog_id limit offset after_key after_id total total_limit {_PARTS}"
_FILTERS = "id user_id exp_user_id from_date before_date date_field orderby desc"
_WALK = "tenant_id dialog_id after_dialog_id after_create_date after_id limit"
_APPEND = "id tenant_id dialog_id expected_round expected_revision messages reference tokens duration errors"
_STORED = "tokens source dsl duration round thumb_up errors version_title create_date update_date"


def _list(parameters: str = "") -> Contract:
    # The total is None where it was not asked for.
    methods = "conversations.get_list conversations.list_after"
    return _file(Conversation, f"{_PAGE} {parameters}", methods, before={"total": int | None})


FILES: Mapping[str, Contract] = {
    "api_token.authenticate": _file(
        ApiToken, "stamp_every token_digest tenant_id", "tokens.authenticate", before={"stamp_due": bool}
    ),
    "api_token.authenticate_beta": _file(
        ApiToken, "stamp_every beta tenant_id", "tokens.authenticate_beta", before={"stamp_due": bool}
    ),
    "api_token.delete": _file(None, "token_digest tenant_id", "tokens.delete"),
    "api_token.delete_by_dialog_ids": _file(None, "tenant_id ids", "dialogs.delete_by_id dialogs.delete_by_ids"),
    "api_token.delete_by_id": _file(None, "id tenant_id", "tokens.delete_by_id", id=int),
    "api_token.delete_by_tenant_id": _file(None, "tenant_id", "tenants.delete_by_id tokens.delete_by_tenant_id"),
    "api_token.expire": _file(None, "id tenant_id expire_date", "tokens.expire", id=int),
    "api_token.fill_beta": _file(ApiToken, "id tenant_id beta", "tokens.fill_beta", id=int),
    "api_token.query": _file(
        ApiToken, "limit tenant_id token_digest beta dialog_id", "tokens.issue tokens.query tokens.rotate"
    ),
    "api_token.reimport": _file(None, "tenant_id dialog_id source beta update_date id found_update_date", id=int),
    "api_token.revoke": _file(None, "id tenant_id", "tokens.revoke", id=int),
    "api_token.rotate": _file(ApiToken, "tenant_id id grace token_digest hint expire_date", "tokens.rotate", id=int),
    "api_token.save": _file(
        ApiToken,
        "tenant_id token_digest hint dialog_id source beta create_date update_date expire_date",
        "tokens.issue tokens.save",
    ),
    "api_token.stamp_use": _file(
        ApiToken, "id tenant_id stamp_every", "tokens.authenticate tokens.authenticate_beta", id=int
    ),
    "api_token.update_by_id": _file(None, "tenant_id changes id", "tokens.update_by_id", id=int),
    "api_token.used": _file(None, "token_digest tenant_id", "tokens.used"),
    "conversation.append_message": _file(
        ChangedConversation,
        "id tenant_id dialog_id changes dsl increment message reference expected_revision",
        "conversations.append_message conversations.update_by_id",
    ),
    "conversation.append_round": _file(AppendedRound, _APPEND, "conversations.append_round"),
    "conversation.append_turn": _file(AppendedRound, f"{_APPEND} turn_id digest", "conversations.append_round"),
    "conversation.count": _file(int, "tenant_id dialog_id", "conversations.count"),
    "conversation.count_all": _file(int, "", "conversations.count"),
    "conversation.delete_by_dialog_ids": _file(
        DeletedBatch, "tenant_id ids limit", "conversations.delete_by_dialog_ids"
    ),
    "conversation.delete_by_id": _file(None, "id tenant_id dialog_id", "conversations.delete_by_id"),
    "conversation.delete_by_ids": _file(None, "tenant_id ids dialog_id", "conversations.delete_by_ids"),
    "conversation.delete_by_tenant_id": _file(DeletedBatch, "tenant_id limit", "tenants.delete_by_id"),
    "conversation.delete_not_updated_since": _file(
        DeletedOldBatch,
        "tenant_id before_date limit from_dialog_id dialog_id",
        "conversations.delete_not_updated_since",
    ),
    "conversation.enlist": _file(None, "tenant_id", "conversations.insert_many"),
    "conversation.export": _file(ExportedConversation, _WALK, "conversations.export"),
    "conversation.find": _file(FoundTenant, "ids dialog_id"),
    "conversation.get_by_id": _file(
        Conversation, f"id tenant_id dialog_id {_PARTS}", "conversations.get_by_id conversations.get_or_none"
    ),
    "conversation.get_by_ids": _file(Conversation, f"ids tenant_id dialog_id {_PARTS}", "conversations.get_by_ids"),
    "conversation.get_dialog_ids": _file(ConversationDialog, "tenant_id ids", "conversations.get_dialog_ids"),
    "conversation.get_import_dates": _file(ImportedConversation, "tenant_id ids"),
    "conversation.get_list": _list(_FILTERS),
    "conversation.get_list_by_create_date": _list(),
    "conversation.get_list_by_create_date_asc": _list(),
    "conversation.get_list_by_keywords": _list(f"{_FILTERS} keywords"),
    "conversation.get_list_by_update_date": _list(),
    "conversation.get_list_by_update_date_asc": _list(),
    "conversation.get_messages": _file(
        ReadEntries,
        "include_messages tenant_id after limit include_reference before id dialog_id",
        "conversations.get_messages conversations.get_references",
    ),
    "conversation.get_names": _file(
        ConversationName, "tenant_id dialog_id exp_user_id limit", "conversations.get_names"
    ),
    "conversation.insert_many": _file(
        None,
        f"id tenant_id dialog_id name user_id exp_user_id {_STORED} message_count reference_count revision import_date",
        "conversations.insert_many",
    ),
    "conversation.iter": _file(Conversation, _WALK, "conversations.iter"),
    "conversation.iter_ids": _file(ConversationKey, _WALK, "conversations.iter_ids"),
    "conversation.query": _file(Conversation, f"tenant_id dialog_id user_id id limit {_PARTS}", "conversations.query"),
    "conversation.save": _file(
        Conversation,
        f"id tenant_id dialog_id name user_id exp_user_id message reference {_STORED}",
        "conversations.save",
    ),
    "conversation.search": _file(
        Conversation,
        "tenant_id dialog_ids keywords after_id after_key user_id exp_user_id from_date before_date limit",
        "conversations.search",
        before={"position": int, "excerpt": Any},
    ),
    "conversation.set_import_date": _file(None, "round create_date update_date id tenant_id"),
    "conversation.stats": _file(
        DailyStats, "from_date time_zone before_date tenant_id source fill", "conversations.stats"
    ),
    "conversation.update_by_id": _file(None, "changes dsl id tenant_id dialog_id", "conversations.update_by_id"),
    "conversation.update_many_by_id": _file(
        UpdatedConversation, "updates tenant_id dialog_id", "conversations.update_many_by_id"
    ),
    "conversation_message.insert_many": _file(
        None, "conversation_id position tenant_id dialog_id body", "conversations.insert_many"
    ),
    "conversation_reference.insert_many": _file(
        None, "conversation_id position tenant_id body", "conversations.insert_many"
    ),
    "conversation_turn.get": _file(EarlierTurn, "digest tenant_id id turn_id", "conversations.append_round"),
    "dialog.delete_by_id": _file(None, "id tenant_id", "dialogs.delete_by_id"),
    "dialog.delete_by_ids": _file(None, "ids tenant_id", "dialogs.delete_by_ids"),
    "dialog.delete_by_tenant_id": _file(DeletedBatch, "tenant_id limit", "tenants.delete_by_id"),
    "dialog.find": _file(FoundTenant, "ids"),
    "dialog.get_by_id": _file(Dialog, "id tenant_id", "dialogs.get_by_id tokens.issue tokens.save tokens.update_by_id"),
    "dialog.get_by_ids": _file(Dialog, "ids tenant_id", "conversations.insert_many dialogs.get_by_ids"),
    "dialog.insert_many": _file(None, "tenant_id dialogs", "dialogs.insert_many"),
    "dialog.iter": _file(Dialog, "limit tenant_id after_id id", "dialogs.iter"),
    "dialog.iter_tenants": _file(Tenant, "after_tenant_id limit"),
    "dialog.lock_by_tenant_id": _file(int, "tenant_id", "tenants.delete_by_id"),
    "dialog.query": _file(Dialog, "limit tenant_id", "dialogs.query"),
    "dialog.reimport": _file(None, "name update_date id tenant_id found_update_date"),
    "dialog.save": _file(Dialog, "id tenant_id name", "dialogs.save"),
    "dialog.update_by_id": _file(None, "changes id tenant_id", "dialogs.update_by_id"),
    "ragflow.api_tokens": _file(source.SourceToken, "after_token after_position after_tenant_id limit"),
    "ragflow.columns": _file(source.SourceColumn, "names"),
    "ragflow.conversation_ids": _file(source.SourceConversationId, "after_id limit"),
    "ragflow.conversation_sizes": _file(source.SourceSize, "ids"),
    "ragflow.conversations": _file(source.SourceConversation, "ids"),
    "ragflow.dialogs": _file(source.SourceDialog, "after_id limit"),
    "ragflow.settings": _file(source.SourceSettings, "time_zone"),
    "ragflow.tables": _file(source.SourceTable, "names"),
    "ragflow.user_canvas": _file(source.SourceDialog, "after_id limit"),
}
"""The files, but for those of MySQL. Those without a method serve calls that name no tenant, or an import."""
