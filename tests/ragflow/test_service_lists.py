"""Lists and statistics of the service under its name in RAGFlow."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from conversation_store import (
    NO_SOURCE,
    ConversationStore,
    InvalidArgument,
)
from conversation_store.ragflow.services import API4ConversationService
from support.ragflow_services import Configure, listed


def test_the_dates_of_a_list_are_local_and_include_their_whole_second(
    configured: ConversationStore, configure: Configure, agent: str, tenant: str
) -> None:
    # 23:59:59.4 of the 5th of March in Shanghai.
    at = datetime(2024, 3, 5, 15, 59, 59, 400_000, tzinfo=UTC)
    configured.conversations.save(dialog_id=agent, create_date=at, update_date=at + timedelta(days=1), source="agent")

    def count(since: Any, until: Any, orderby: str = "create_date") -> int:
        return listed(agent, tenant, from_date=since, to_date=until, orderby=orderby)[0]

    assert count("2024-03-05 00:00:00", "2024-03-05 23:59:59") == 1
    assert count("2024-03-05", "2024-03-05") == 1
    assert count(date(2024, 3, 5), datetime(2024, 3, 5, 23, 59, 59)) == 1
    assert count("2024-03-05T15:59:59Z", "2024-03-05T15:59:59Z") == 1
    assert count("2024-03-06", "2024-03-07") == 0
    assert count("2024-03-06", "2024-03-07", "update_time") == 1
    assert count("", "") == 1
    for until in ("2024-03-05 23:59:59", datetime(2024, 3, 5, 23, 59, 59)):
        (day,) = API4ConversationService.stats(tenant, "2024-03-05 00:00:00", until)
        assert day["dt"] == datetime(2024, 3, 5)


def test_a_list_finds_text_and_no_json(agent: str, tenant: str, session: str) -> None:
    assert listed(agent, tenant, keywords="hELLO")[0] == 1
    assert listed(agent, tenant, keywords=None)[0] == 1
    for keyword in ("role", "content", "{", "a\0"):
        assert listed(agent, tenant, keywords=keyword) == (0, [])
    with pytest.raises(NotImplementedError, match="JSON"):
        listed(agent, tenant, keywords='{"role": "assistant"')
    with pytest.raises(InvalidArgument, match="1000 characters"):
        listed(agent, tenant, keywords="k" * 1_001)


def test_a_list_has_pages_and_leaves_out_dsl(agent: str, tenant: str, configure: Configure) -> None:
    for number in range(5):
        API4ConversationService.save(id=f"{agent}-{number}", dialog_id=agent, dsl={"n": number}, tokens=number)
    count, page = listed(
        agent, tenant, page_number=2, items_per_page=2, orderby="tokens", desc=False, include_dsl=False
    )
    assert (count, [row["tokens"] for row in page]) == (5, [2, 3])
    assert "dsl" not in page[0]
    assert listed(agent, tenant, page_number=0, items_per_page=2)[1] == listed(agent, tenant, items_per_page=2)[1]
    assert json.loads(json.dumps(page, default=str))[0]["tokens"] == 2
    with pytest.raises(InvalidArgument, match="orderby"):
        listed(agent, tenant, orderby="password")


def test_names_are_dicts(agent: str, configure: Configure) -> None:
    API4ConversationService.save(id=f"{agent}-1", dialog_id=agent, exp_user_id="e", name="n")
    assert API4ConversationService.get_names(agent, "e") == [{"id": f"{agent}-1", "name": "n"}]


def test_no_source_counts_the_sessions_without_one(agent: str, tenant: str, configure: Configure) -> None:
    for source in (None, "agent", "agent"):
        API4ConversationService.save(dialog_id=agent, source=source, user_id="u", duration=1.5, tokens=2)
    today = datetime.now(UTC) + timedelta(hours=8)

    def days(source: Any) -> list[dict[str, Any]]:
        return API4ConversationService.stats(tenant, f"{today:%Y-%m-%d}", f"{today:%Y-%m-%d}", source)

    (day,) = days(None)
    assert day == {
        "dt": datetime(today.year, today.month, today.day),
        "pv": 3, "uv": 1, "tokens": 6, "duration": 4.5, "round": 0.0, "thumb_up": 0,
    }  # fmt: skip
    assert [days(source)[0]["pv"] for source in ("agent", NO_SOURCE)] == [2, 1]


def test_statistics_of_any_number_of_days_are_those_of_each_day(
    configured: ConversationStore, agent: str, tenant: str, configure: Configure
) -> None:
    # Both sides of where one statement ends and the next one begins, at midnight in Shanghai, 3,650 days later.
    midnight = datetime(2009, 12, 29, 16, tzinfo=UTC)
    for at in (midnight - timedelta(seconds=1), midnight, datetime(2025, 12, 31, 15, 59, 59, 500_000, tzinfo=UTC)):
        configured.conversations.save(dialog_id=agent, create_date=at)
    days = API4ConversationService.stats(tenant, "2000-01-01 00:00:00", "2025-12-31 23:59:59")
    assert [(day["dt"], day["pv"]) for day in days] == [
        (datetime(2009, 12, 29), 1),
        (datetime(2009, 12, 30), 1),
        (datetime(2025, 12, 31), 1),
    ]
