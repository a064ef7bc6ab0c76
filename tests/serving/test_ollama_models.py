"""What Ollama's own client asks about models."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import ollama
import pytest

from microlith.registry.card import Base, CardFacts, DataFacts, make_card
from microlith.serving import ollama_models
from microlith.serving.desk import Served
from tests.serving.dialect_desk import DialectDesk, dialects
from tests.serving.running import SINCE, app_of, serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with dialects() as (_, started):
        yield started


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[ollama.Client]:
    with ollama.Client(host=address) as made:
        yield made


def test_every_task_is_listed(client: ollama.Client) -> None:
    found = client.list().models
    assert [one.model for one in found] == ["cli-intent:latest", "infra:latest", "task-risk:latest"]
    assert {one.modified_at for one in found} == {SINCE}
    assert {len(one.digest or "") for one in found} == {64}
    assert len({one.digest for one in found}) == 3


def test_every_specialist_stays_loaded(client: ollama.Client) -> None:
    found = client.ps().models
    assert [one.name for one in found] == ["cli-intent:latest", "infra:latest", "task-risk:latest"]
    assert all(one.expires_at and one.expires_at.year == 2999 for one in found)


@pytest.mark.parametrize("name", ["infra", "infra:latest", "infra@3"])
def test_a_task_is_shown_with_its_instruction_and_schema(client: ollama.Client, name: str) -> None:
    shown = client.show(name)
    assert shown.modelinfo
    assert shown.modelinfo["microlith.model"] == "infra@3"
    assert shown.modelinfo["microlith.schema"]["title"] == "infra"
    assert shown.capabilities == ["completion"]
    assert shown.modified_at == SINCE
    assert "SYSTEM" in (shown.modelfile or "")


def test_a_task_is_shown_by_the_older_name_of_the_member(address: str) -> None:
    assert httpx.post(f"{address}/api/show", json={"name": "infra"}).status_code == 200
    assert httpx.post(f"{address}/api/show", json={}).json()["error"].startswith("model: ")


def test_what_is_not_served_is_not_found(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        client.show("infra@2")
    assert caught.value.status_code == 404
    assert "infra@3" in caught.value.error


def test_the_server_says_that_it_runs_and_which_version_it_is(address: str) -> None:
    assert httpx.get(address).text == "Microlith is running"
    assert httpx.head(address).status_code == 200
    version = httpx.get(f"{address}/openapi.json").json()["info"]["version"]
    assert httpx.get(f"{address}/api/version").json() == {"version": version}


class CardDesk(DialectDesk):
    """Its specialists have a card, or there are none."""

    def __init__(self, *, is_trained: bool) -> None:
        super().__init__()
        facts = CardFacts(
            kind="encoder", base=Base(name="a-base", licence="Apache-2.0"), data=DataFacts(hash="0" * 64, splits={"train": 1}), seed=1,
            libraries={},
        )  # fmt: skip
        made = make_card(
            facts, task="infra", version=3, created="2026-01-02T03:04:05Z", schema_hash="0" * 64, files={}
        )
        self.card = made if is_trained else None
        self.model = "infra@3" if is_trained else None

    def find(self, task: str) -> Served:
        found = super().find(task)
        return Served(
            task=found.task,
            model=self.model,
            card=self.card,
            route=found.route,
            threshold=None,
            since=found.since,
        )


def test_a_card_tells_base_licence_and_digest() -> None:
    desk = CardDesk(is_trained=True)
    with serving(app_of(desk, ollama_models.router)) as address, ollama.Client(host=address) as client:
        listed, shown = client.list().models[0], client.show("infra")
    assert listed.details
    assert (listed.details.format, listed.details.parent_model) == ("onnx", "a-base")
    assert listed.digest == desk.card.artifact_hash if desk.card else False
    assert shown.license == "Apache-2.0"


def test_a_task_without_a_specialist_is_listed_and_not_loaded() -> None:
    app = app_of(CardDesk(is_trained=False), ollama_models.router)
    with serving(app) as address, ollama.Client(host=address) as client:
        assert len(client.list().models) == 3
        assert client.ps().models == []
        assert client.show("infra").modelinfo
