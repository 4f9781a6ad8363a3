"""`conversations.save`: a conversation is stored and returned as it was given."""

from __future__ import annotations

import copy
import uuid
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from conversation_store import (
    NOT_READ,
    AlreadyExists,
    AmbiguousId,
    Conversation,
    ConversationStore,
    DialogNotFound,
    InvalidArgument,
)
from support.stored import FULL, JSON_VALUES, as_stored


def test_every_field_is_returned_and_read_back_as_given(store: Any, dialog: str, tenant: str) -> None:
    given = {**FULL, "id": uuid.uuid4().hex, "dialog_id": dialog}
    saved = store.conversations.save(**given)
    assert asdict(saved) == {**given, "tenant_id": tenant, "revision": 0}
    assert store.conversations.get_by_id(given["id"]) == saved


def test_the_arguments_are_not_changed(store: Any, dialog: str) -> None:
    given = copy.deepcopy(FULL)
    store.conversations.save(dialog_id=dialog, **given)
    assert given == FULL


def test_the_keys_of_a_dsl_keep_their_order(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, dsl={"z": 1, "a": 2})
    assert list(store.conversations.get_by_id(saved.id).dsl) == ["z", "a"]


def test_a_date_with_an_offset_is_read_back_in_utc_to_the_microsecond(store: Any, dialog: str) -> None:
    date = datetime(2024, 1, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    saved = store.conversations.save(dialog_id=dialog, create_date=date)
    read = store.conversations.get_by_id(saved.id)
    assert (read.create_date, read.create_date.utcoffset()) == (date, timedelta(0))


def test_create_time_and_update_time_are_the_dates_in_milliseconds(store: Any, dialog: str) -> None:
    saved = store.conversations.save(
        dialog_id=dialog, create_date="2024-01-01T12:00:00.123456+08:00", update_date="2024-01-02"
    )
    assert (saved.create_time, saved.update_time) == (1704081600123, 1704153600000)


def test_without_an_id_each_conversation_has_a_new_one_of_32_characters(store: Any, dialog: str) -> None:
    one, two = store.conversations.save(dialog_id=dialog), store.conversations.save(dialog_id=dialog)
    assert one.id != two.id
    assert len(one.id) == 32


def test_fields_that_are_not_given_have_empty_defaults(store: Any, dialog: str, tenant: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    fields = asdict(saved)
    for key in ("id", "create_date", "update_date"):
        del fields[key]
    assert fields == {
        "tenant_id": tenant,
        "dialog_id": dialog,
        "name": None,
        "user_id": "",
        "exp_user_id": None,
        "message": [],
        "reference": [],
        "tokens": 0,
        "source": None,
        "dsl": {},
        "duration": 0.0,
        "round": 0,
        "thumb_up": 0,
        "errors": None,
        "version_title": None,
        "revision": 0,
    }
    assert store.conversations.get_by_id(saved.id) == saved


def test_dates_that_are_not_given_are_now(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog)
    assert abs(saved.create_date - datetime.now(UTC)) < timedelta(minutes=5)
    assert saved.update_date == saved.create_date


def test_a_change_of_the_returned_lists_changes_no_later_default(store: Any, dialog: str) -> None:
    store.conversations.save(dialog_id=dialog).message.append("mine")
    assert store.conversations.save(dialog_id=dialog).message == []


@pytest.mark.parametrize("value", JSON_VALUES)
def test_any_json_value_is_a_message_a_reference_and_a_dsl(store: Any, dialog: str, tenant: str, value: Any) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=value, reference=value, dsl=value)
    read = store.conversations.get_by_id(saved.id)
    (listed,) = store.conversations.get_list(dialog, tenant).sessions
    for conversation in (saved, read, listed):
        assert (conversation.message, conversation.reference, conversation.dsl) == (value, value, value)
        assert type(conversation.message) is type(value)


def test_a_message_of_a_million_characters_is_read_back(store: Any, dialog: str) -> None:
    message = [{"role": "user", "content": "检索" * 500_000}]
    saved = store.conversations.save(dialog_id=dialog, message=message, errors="检" * 1_000_000)
    assert store.conversations.get_by_id(saved.id).message == message


def test_a_message_of_a_hundred_thousand_entries_is_read_back(db: str) -> None:
    message = list(range(100_000))
    with ConversationStore(db) as store:
        dialog = store.dialogs.save(id=uuid.uuid4().hex, tenant_id="t").id
        saved = store.conversations.save(dialog_id=dialog, message=message)
        read = store.conversations.get_by_id(saved.id)
    assert read is not None
    assert read.message == message


def test_keys_of_the_greatest_length_fit_into_every_index(store: Any) -> None:
    wide = "\U0001f600"
    id, dialog, tenant = (uuid.uuid4().hex + wide * 96 for _ in range(3))
    user = wide * 255
    store.dialogs.save(id=dialog, tenant_id=tenant)
    store.conversations.save(id=id, dialog_id=dialog, user_id=user, exp_user_id=user, source=wide * 64)
    (listed,) = store.conversations.get_list(dialog, tenant, user_id=user).sessions
    (named,) = store.conversations.get_names(dialog, user)
    assert listed.id == named.id == id


def test_ids_given_as_int_are_stored_as_their_decimal_text(store: Any) -> None:
    number = uuid.uuid4().int % 10**18
    store.dialogs.save(id=number, tenant_id=number)
    saved = store.conversations.save(id=number, dialog_id=number, user_id=number)
    assert (saved.id, saved.dialog_id, saved.tenant_id, saved.user_id) == (str(number),) * 4
    assert store.conversations.get_by_id(str(number)) == store.conversations.get_by_id(number) == saved
    assert store.conversations.get_list(number, number, id=number, user_id=number) == (1, [saved])


def test_a_missing_dialog_raises_dialog_not_found_and_stores_nothing(store: Any) -> None:
    id = uuid.uuid4().hex
    with pytest.raises(DialogNotFound):
        store.conversations.save(id=id, dialog_id="nowhere", message=["x"])
    assert store.conversations.get_by_id(id) is None


def test_an_id_that_exists_raises_already_exists_and_keeps_the_first(store: Any, dialog: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=["first"])
    with pytest.raises(AlreadyExists) as caught:
        store.conversations.save(id=saved.id, dialog_id=dialog, message=["second"])
    assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
    assert store.conversations.get_by_id(saved.id) == saved


def test_a_uuid_is_stored_as_its_32_hex_digits(store: Any) -> None:
    id = uuid.uuid4()
    store.dialogs.save(id=id, tenant_id=id)
    saved = store.conversations.save(id=id, dialog_id=id, tenant_id=id, user_id=id, exp_user_id=id)
    assert (saved.id, saved.dialog_id, saved.tenant_id, saved.user_id, saved.exp_user_id) == (id.hex,) * 5
    assert store.conversations.get_list(id, id, id=id, user_id=id) == (1, [saved])


@pytest.mark.parametrize("field", ["message", "reference", "dsl"])
def test_a_value_that_was_not_read_raises_invalid_argument_and_stores_nothing(
    store: Any, dialog: str, field: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field} was not read"):
        store.conversations.save(dialog_id=dialog, **{field: NOT_READ})
    assert store.conversations.count(dialog_id=dialog) == 0


# -- tenants ----------------------------------------------------------------------------------------


def test_the_dialog_of_another_tenant_raises_dialog_not_found_and_stores_nothing(
    store: Any, dialog: str, tenant: str
) -> None:
    other = "other" + tenant
    with pytest.raises(DialogNotFound):
        store.conversations.save(dialog_id=dialog, tenant_id=other)
    with pytest.raises(DialogNotFound):
        store.for_tenant(other).conversations.save(dialog_id=dialog)
    assert [store.conversations.count(tenant_id=id) for id in (tenant, other)] == [0, 0]


def test_another_tenant_may_have_a_conversation_with_the_same_id(store: Any, dialog: str, tenant: str) -> None:
    saved = store.conversations.save(dialog_id=dialog, message=["first"])
    other = store.dialogs.save(id="other" + dialog, tenant_id="other" + tenant)
    second = store.conversations.save(id=saved.id, dialog_id=other.id, message=["second"])
    assert as_stored(store, [saved, second]) == [saved, second]


def test_a_dialog_that_two_tenants_have_raises_ambiguous_id_and_stores_nothing(
    store: Any, equal_ids: list[Conversation]
) -> None:
    with pytest.raises(AmbiguousId, match="two tenants have a dialog"):
        store.conversations.save(dialog_id=equal_ids[0].dialog_id)
    assert [store.conversations.count(tenant_id=c.tenant_id) for c in equal_ids] == [1, 1]


def test_in_a_dialog_that_two_tenants_have_it_is_stored_for_the_given_one(
    store: Any, equal_ids: list[Conversation]
) -> None:
    two = equal_ids[1]
    saved = store.conversations.save(dialog_id=two.dialog_id, tenant_id=two.tenant_id)
    assert saved.tenant_id == two.tenant_id
    assert [store.conversations.count(tenant_id=c.tenant_id) for c in equal_ids] == [1, 2]


def test_a_known_tenant_makes_it_one_statement(statements_of: Any, dialog: str, tenant: str) -> None:
    own = "conversation.save"
    assert statements_of(lambda s: s.conversations.save(dialog_id=dialog)) == ["dialog.find", own]
    assert statements_of(lambda s: s.conversations.save(dialog_id=dialog, tenant_id=tenant)) == [own]
    assert statements_of(lambda s: s.for_tenant(tenant).conversations.save(dialog_id=dialog)) == [own]
