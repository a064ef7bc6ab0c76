"""Tasks as tools of the Model Context Protocol, asked by the SDK's own client over both transports and in both eras.

Run as a program, this file serves the same tasks on standard input and output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from jsonschema import Draft202012Validator

from microlith.errors import DataError, Overloaded, StorageError
from microlith.routing.chain import Chain, Link
from microlith.routing.route import Asked, Routed, Turn
from microlith.routing.stages import LocalStage
from microlith.serving.desk import Call, Served
from microlith.serving.gate import Gate, may_see
from microlith.serving.keys import KeyStore
from microlith.serving.live import request_of
from tests.serving.running import MOST, ScriptedDesk, serving

pytest.importorskip("mcp")

import httpx2
from mcp import Client, StdioServerParameters, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from microlith.serving.mcp_sampling import Exchange, Waiting
from microlith.serving.mcp_server import make_mcp, mcp_app, run_stdio
from microlith.serving.mcp_tools import tool_of, tools_of

ADD = {"action": "dns_add", "zone": "api.lan", "record_type": "A", "ip": "10.0.0.5"}
REMOVE = {"action": "dns_remove", "zone": "api.lan"}
RISK = {
    "risk_level": "high", "confidence": 72, "reasons": ["One step of four took most of your time."],
    "recommended_actions": ["Finish step two today."],
}  # fmt: skip
METRICS = {"allocated_hours": 10, "elapsed_hours": 6.5, "total_steps": 4, "steps_completed": 1}
Mode = Literal["legacy", "auto"]
MODES: list[Mode] = ["legacy", "auto"]
"""How a client greets: as until 2025-11-25, or as since 2026-07-28."""


class RoutedDesk(ScriptedDesk):
    """A scripted desk with a real route, in which a general model that a caller brings has its place."""

    limit_s = 10.0

    def __init__(self) -> None:
        super().__init__({"infra": {"add api.lan 10.0.0.5": ADD}, "task-risk": lambda _: RISK})
        self.ended = asyncio.Event()

    def served(self) -> tuple[Served, ...]:
        return tuple(one for one in super().served() if may_see(one.task.name))

    async def answer(self, call: Call) -> Routed:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure
        task, number = self._tasks[call.task], len(self.calls)
        links = [Link(stage=LocalStage("specialist", self._models[call.task], None))]
        chain = Chain(task.name, task.plan, links, limit_s=self.limit_s)
        asked = Asked(
            request=request_of(task, call.request, most=MOST),
            trace_id=f"trace-{number}",
            turns=tuple(call.turns),
        )
        routed = await chain.answer(asked, general=call.general)
        self.ended.set()
        return routed


class ClientsModel:
    """The large model of a client, with a script."""

    def __init__(self, says: str | types.ErrorData) -> None:
        self._says = says
        self.asked: list[types.CreateMessageRequestParams] = []

    async def __call__(
        self, ctx: Any, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        self.asked.append(params)
        if isinstance(self._says, types.ErrorData):
            return self._says
        content = types.TextContent(type="text", text=self._says)
        return types.CreateMessageResult(role="assistant", content=content, model="large")


@pytest.fixture(scope="module")
def scripted() -> RoutedDesk:
    return RoutedDesk()


@pytest.fixture(scope="module")
def address(scripted: RoutedDesk) -> Iterator[str]:
    with serving(mcp_app(scripted)) as url:
        yield f"{url}/mcp"


@pytest.fixture
def desk(scripted: RoutedDesk) -> RoutedDesk:
    scripted.reset()
    return scripted


def over_http(
    address: str, do: Callable[[Client], Awaitable[Any]], mode: Mode = "auto", **options: Any
) -> Any:
    """What `do` gives of a client that is connected."""

    async def main() -> Any:
        async with Client(address, mode=mode, **options) as client:
            try:
                return await do(client)
            except MCPError as error:
                told = error
        raise told  # out here, since the client's groups of tasks would wrap it

    return asyncio.run(main())


def called(address: str, name: str, arguments: dict[str, Any], **options: Any) -> types.CallToolResult:
    result: types.CallToolResult = over_http(
        address, lambda client: client.call_tool(name, arguments), **options
    )
    return result


def text_of(result: types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


# ------------------------------------------------------------------------------------------------------- tools


@pytest.mark.parametrize("mode", MODES)
def test_each_task_is_a_tool(address: str, desk: RoutedDesk, mode: Mode) -> None:
    listed = over_http(address, lambda client: client.list_tools(), mode)
    infra, risk = listed.tools
    assert (infra.name, risk.name) == ("infra", "task_risk")
    assert infra.description == desk.find("infra").task.instruction
    assert infra.input_schema["properties"]["input"]["type"] == "string"
    assert risk.input_schema["properties"]["input"]["type"] == "object"
    assert infra.input_schema["required"] == ["input"]
    assert infra.annotations.read_only_hint


@pytest.mark.parametrize("mode", MODES)
def test_a_call_gives_the_answer_as_structure_and_as_text(address: str, desk: RoutedDesk, mode: Mode) -> None:
    result = called(address, "infra", {"input": "add api.lan 10.0.0.5"}, mode=mode)
    assert not result.is_error
    assert result.structured_content == {
        "answer": ADD, "confidence": 0.97, "stage": "specialist", "model": "infra@3", "trace_id": "trace-1",
    }  # fmt: skip
    assert json.loads(text_of(result)) == result.structured_content
    assert desk.calls[0].labels == {"dialect": "mcp"}


def test_a_task_of_structured_requests_takes_an_object(address: str, desk: RoutedDesk) -> None:
    asked = {"metrics": METRICS, "taskTitle": "Restyle the header"}
    result = called(address, "task_risk", {"input": asked})
    assert result.structured_content["answer"] == RISK
    assert desk.calls[0].request == asked


def test_the_context_is_handed_on_as_earlier_turns(address: str, desk: RoutedDesk) -> None:
    context = [{"input": "remove api.lan", "output": REMOVE}]
    called(address, "infra", {"input": "add api.lan 10.0.0.5", "context": context})
    assert desk.calls[0].turns == (Turn(request="remove api.lan", answer=json.dumps(REMOVE)),)


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_tool_is_told_with_the_known_ones(address: str, desk: RoutedDesk, mode: Mode) -> None:
    with pytest.raises(MCPError, match="no tool 'weather'; there are infra, task_risk"):
        called(address, "weather", {"input": "x"}, mode=mode)


@pytest.mark.parametrize(
    ("name", "arguments", "wrong"),
    [
        ("infra", {}, "input: Field required"),
        ("infra", {"input": {"query": "x"}}, "input: Input should be a valid string"),
        ("infra", {"input": "x", "temperature": 0}, "temperature: Extra inputs are not permitted"),
        ("infra", {"input": "x", "context": [{"request": "x"}]}, "context/0/input: Field required"),
        ("task_risk", {"input": "metrics"}, "input: Input should be a valid dictionary"),
    ],
)
def test_arguments_that_do_not_fit_are_a_tool_error(
    address: str, desk: RoutedDesk, name: str, arguments: dict[str, Any], wrong: str
) -> None:
    result = called(address, name, arguments)
    assert result.is_error
    assert text_of(result).startswith("the arguments do not fit: ")
    assert wrong in text_of(result)
    assert not desk.calls


def test_a_refusal_is_a_tool_error_that_says_why(address: str, desk: RoutedDesk) -> None:
    result = called(address, "infra", {"input": "sing a song"})
    assert result.is_error
    assert text_of(result) == "no answer: specialist: no answer (not in the script) (trace trace-1)"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            DataError("the request is nested too deeply", mend="flatten it"),
            "the request is nested too deeply -> flatten it",
        ),
        (Overloaded("full", retry_after_s=2), "full -> try again in 2 s"),
        (StorageError("the trace cannot be kept", place="/var/lib/private.db"), "the trace cannot be kept"),
    ],
)
def test_an_error_is_a_tool_error(address: str, desk: RoutedDesk, failure: Exception, told: str) -> None:
    desk.failure = failure
    result = called(address, "infra", {"input": "x"})
    assert (result.is_error, text_of(result)) == (True, told)


@pytest.mark.parametrize("mode", MODES)
def test_what_nobody_foresaw_is_told_without_its_words(address: str, desk: RoutedDesk, mode: Mode) -> None:
    desk.failure = RuntimeError("swordfish")
    with pytest.raises(MCPError) as raised:
        called(address, "infra", {"input": "x"}, mode=mode)
    assert raised.value.error == types.ErrorData(
        code=types.INTERNAL_ERROR, message="the server failed; the request is not at fault"
    )


# ----------------------------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize("mode", MODES)
def test_a_clients_own_model_is_the_general_model_of_its_calls(
    address: str, desk: RoutedDesk, mode: Mode
) -> None:
    model = ClientsModel(json.dumps(REMOVE))
    result = called(address, "infra", {"input": "get rid of api.lan"}, mode=mode, sampling_callback=model)
    said = result.structured_content
    assert (said["answer"], said["stage"], said["model"]) == (REMOVE, "general", "sampling")
    (asked,) = model.asked
    assert asked.messages[-1].role == "user"
    assert asked.messages[-1].content == types.TextContent(type="text", text="get rid of api.lan")
    assert "dns_remove" in (asked.system_prompt or "")
    assert len(desk.calls) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_clients_model_is_not_asked_where_the_specialist_knows(
    address: str, desk: RoutedDesk, mode: Mode
) -> None:
    model = ClientsModel("{}")
    result = called(address, "infra", {"input": "add api.lan 10.0.0.5"}, mode=mode, sampling_callback=model)
    assert (result.structured_content["answer"], model.asked) == (ADD, [])


@pytest.mark.parametrize("mode", MODES)
def test_what_a_clients_model_says_is_held_to_the_schema(address: str, desk: RoutedDesk, mode: Mode) -> None:
    model = ClientsModel('{"action": "dns_remove", "zone": "invented.lan"}')
    result = called(address, "infra", {"input": "get rid of api.lan"}, mode=mode, sampling_callback=model)
    assert result.is_error
    assert "general" in text_of(result)


def test_a_client_whose_model_fails_is_refused(address: str, desk: RoutedDesk) -> None:
    model = ClientsModel(types.ErrorData(code=-1, message="the person said no"))
    result = called(address, "infra", {"input": "x"}, mode="legacy", sampling_callback=model)
    assert result.is_error
    assert "the person said no" in text_of(result)


def test_a_client_that_lends_no_model_brings_none(address: str, desk: RoutedDesk) -> None:
    called(address, "infra", {"input": "add api.lan 10.0.0.5"})
    assert desk.calls[0].general is None


@asynccontextmanager
async def connected(desk: RoutedDesk) -> AsyncIterator[Client]:
    """A client in this very process, which lends a model."""
    async with Client(make_mcp(desk), sampling_callback=ClientsModel(json.dumps(REMOVE))) as client:
        yield client


async def first_leg(client: Client) -> types.InputRequiredResult:
    first = await client.session.call_tool(
        "infra", {"input": "get rid of api.lan"}, allow_input_required=True
    )
    assert isinstance(first, types.InputRequiredResult)
    return first


def test_a_client_that_comes_back_too_late_gets_what_the_route_came_to() -> None:
    async def main() -> types.CallToolResult:
        desk = RoutedDesk()
        desk.limit_s = 0.05
        async with connected(desk) as client:
            first = await first_leg(client)
            await desk.ended.wait()
            return await client.call_tool(
                "infra", {"input": "get rid of api.lan"}, request_state=first.request_state
            )

    result = asyncio.run(main())
    assert result.is_error
    assert "general: timeout" in text_of(result)


@pytest.mark.parametrize(
    ("arguments", "state", "why"),
    [
        ({"input": "get rid of api.lan"}, "made up", "no call waits under this request state"),
        ({"input": "remove everything"}, None, "the request state belongs to another call"),
    ],
)
def test_only_the_same_call_goes_on(arguments: dict[str, Any], state: str | None, why: str) -> None:
    async def main() -> None:
        async with connected(RoutedDesk()) as client:
            first = await first_leg(client)
            with pytest.raises(MCPError, match=why):
                await client.call_tool("infra", arguments, request_state=state or first.request_state)

    asyncio.run(main())


def test_a_call_goes_on_once() -> None:
    async def main() -> None:
        async with connected(RoutedDesk()) as client:
            first = await first_leg(client)
            arguments: dict[str, Any] = {"input": "get rid of api.lan"}
            await client.call_tool("infra", arguments, request_state=first.request_state)
            with pytest.raises(MCPError, match="no call waits"):
                await client.call_tool("infra", arguments, request_state=first.request_state)

    asyncio.run(main())


def test_of_too_many_calls_that_wait_the_oldest_is_given_up() -> None:
    async def main() -> None:
        waiting, exchanges, states = Waiting(most=2), [], []
        for number in range(3):
            params = types.CallToolRequestParams(name="infra", arguments={"input": str(number)})
            exchange = Exchange(params)
            exchange.start(exchange.ask([{"role": "user", "content": "x"}]))  # type: ignore[arg-type]
            question = await exchange.next()
            assert isinstance(question, types.CreateMessageRequest)
            states.append(waiting.keep(exchange, question).request_state)
            exchanges.append((exchange, params))
        with pytest.raises(MCPError, match="no call waits"):
            waiting.take(exchanges[0][1].model_copy(update={"request_state": states[0]}))
        for place in (1, 2):
            exchange, params = exchanges[place]
            assert waiting.take(params.model_copy(update={"request_state": states[place]})) is exchange
            exchange.give_up()

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------------- edges


def test_a_key_opens_only_the_tools_of_its_tasks(tmp_path: Path, desk: RoutedDesk) -> None:
    keys = KeyStore(tmp_path / "keys.json")
    key, _ = keys.create("ci", ("infra",))

    async def main(url: str, mode: Mode) -> list[str]:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            with pytest.raises(MCPError, match=r"there are infra$"):
                await client.call_tool("task_risk", {"input": {}})
            return [tool.name for tool in (await client.list_tools()).tools]

    with serving(Gate(mcp_app(desk), keys=keys)) as url:
        assert [asyncio.run(main(f"{url}/mcp", mode)) for mode in MODES] == [["infra"], ["infra"]]


@pytest.mark.parametrize(("loopback", "status"), [(True, 421), (False, 200)])
def test_a_page_reaches_no_server_by_a_name_of_its_own(desk: RoutedDesk, loopback: bool, status: int) -> None:
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }  # fmt: skip
    headers = {"Host": "evil.example", "Accept": "application/json, text/event-stream"}
    with serving(mcp_app(desk, loopback=loopback)) as url:
        response = httpx.post(f"{url}/mcp", json=hello, headers=headers, trust_env=False)
    assert response.status_code == status


def validator(desk: ScriptedDesk, name: str) -> Any:
    schema = tool_of(name, tools_of(desk)[name]).output_schema
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def told(answer: Any) -> dict[str, Any]:
    return {"answer": answer, "confidence": 0.9, "stage": None, "model": "m", "trace_id": "t"}


def test_the_output_schema_holds_the_tasks_own(desk: RoutedDesk) -> None:
    check = validator(desk, "infra")
    assert check.is_valid(told({"action": "sequence", "steps": [ADD, REMOVE]}))
    assert not check.is_valid(told({"action": "dns_remove"}))
    assert not check.is_valid(ADD)
    assert "x-source" not in json.dumps(check.schema)


@pytest.mark.parametrize(
    "reference", ["#/$defs/mood", "urn:mood#/$defs/mood", "#/properties/before", "#mood"]
)
def test_references_lead_to_where_the_schema_stands_now(tmp_path: Path, reference: str) -> None:
    mood = {"$anchor": "mood", "enum": ["good", "bad"]}
    schema = {
        "$id": "urn:mood", "type": "object", "$defs": {"mood": mood},
        "properties": {"before": {"$ref": "#/$defs/mood"}, "after": {"$ref": reference}},
        "required": ["before", "after"], "additionalProperties": False,
    }  # fmt: skip
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    (tmp_path / "task.toml").write_text('name = "a-mood"\ninstruction = "Say the moods."\n')
    check = validator(ScriptedDesk({str(tmp_path): {}}), "a_mood")
    assert check.is_valid(told({"before": "bad", "after": "good"}))
    assert not check.is_valid(told({"before": "bad", "after": "fair"}))


# ----------------------------------------------------------------------------------------- standard input and output


@pytest.mark.parametrize("mode", MODES)
def test_a_process_serves_on_standard_input_and_output(mode: Mode) -> None:
    model = ClientsModel(json.dumps(REMOVE))
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "tests.serving.test_mcp"], cwd=Path(__file__).parents[2]
    )

    async def main() -> None:
        async with Client(command, mode=mode, sampling_callback=model) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["infra", "task_risk"]
            known = await client.call_tool("infra", {"input": "add api.lan 10.0.0.5"})
            assert known.structured_content["answer"] == ADD
            lent = await client.call_tool("infra", {"input": "get rid of api.lan"})
            assert lent.structured_content["answer"] == REMOVE
            assert (await client.call_tool("infra", {})).is_error
            with pytest.raises(MCPError, match="no tool"):
                await client.call_tool("weather", {"input": "x"})

    asyncio.run(main())


if __name__ == "__main__":
    asyncio.run(run_stdio(RoutedDesk()))
