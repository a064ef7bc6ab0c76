"""OpenAI's list of models, asked by OpenAI's own client."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.serving.dialect_desk import dialects
from tests.serving.running import SINCE


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    with (
        dialects() as (_, address),
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as made,
    ):
        yield made


def test_every_task_is_a_model(client: openai.OpenAI) -> None:
    found = list(client.models.list())
    assert [one.id for one in found] == ["cli-intent", "infra", "task-risk"]
    assert {(one.object, one.owned_by, one.created) for one in found} == {
        ("model", "microlith", int(SINCE.timestamp()))
    }


@pytest.mark.parametrize("name", ["infra", "infra@3", "infra:latest"])
def test_a_model_is_found_by_its_name_and_as_its_live_version(client: openai.OpenAI, name: str) -> None:
    found = client.models.retrieve(name)
    assert found.id == name
    assert found.model_extra
    assert found.model_extra["microlith"]["model"] == "infra@3"


@pytest.mark.parametrize("name", ["infra@4", "infra@", "nothing", "nothing:latest"])
def test_a_model_that_is_not_live_is_not_found(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(name)
    assert caught.value.code == "model_not_found"
