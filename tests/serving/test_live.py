from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.errors import (
    ArtifactError,
    DataError,
    Overloaded,
    StorageError,
    TaskError,
    TooLarge,
    UnknownTask,
)
from microlith.registry import set_alias
from microlith.registry.heldout import Outcome
from microlith.routing.route import Routed, Turn
from microlith.serving.desk import Call
from microlith.serving.live import TRIED_S, LiveDesk, request_of
from microlith.serving.settings import ServeSettings
from microlith.task.plan import Plan
from microlith.task.taskfile import load_task
from tests.inference.toys import toy
from tests.serving.small import UNPROVEN, corrupt, register, remove, task_folder

ROW = toy("mood").examples[0]
OTHER = next(one for one in toy("mood").examples if one.output != ROW.output)


class Kept:
    """Keeps traces in memory; fails or waits when told to."""

    def __init__(self) -> None:
        self.traces: list[tuple[Routed, dict[str, str]]] = []
        self.error: Exception | None = None
        self.go: asyncio.Event | None = None
        self.checks = 0

    async def check(self) -> None:
        self.checks += 1
        if self.go is not None:
            await self.go.wait()
        if self.error is not None:
            raise self.error

    async def keep(self, plan: Plan, routed: Routed, *, at: datetime, labels: dict[str, str]) -> None:
        if self.go is not None:
            await self.go.wait()
        if self.error is not None:
            raise self.error
        self.traces.append((routed, labels))


def desk_of(home: Path, kept: Kept | None = None, **settings: Any) -> LiveDesk:
    desk = LiveDesk(ServeSettings(root=home, **settings), kept or Kept())
    desk.open()
    return desk


def together(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one model of the toy "mood", whose folder is found by its name."""
    monkeypatch.chdir(tmp_path)
    register(task_folder(tmp_path, "mood"), tmp_path / "home")
    return tmp_path / "home"


def test_a_database_that_refuses_is_told_and_tried_once_a_second(home: Path) -> None:
    async def main() -> None:
        kept, seconds = Kept(), [0.0]
        desk = LiveDesk(ServeSettings(root=home), kept, clock=lambda: seconds[0])
        assert await desk.trouble() is None
        kept.error = StorageError("the disk is full")
        assert await desk.trouble() is None
        seconds[0] += TRIED_S
        assert [await desk.trouble() for _ in range(3)] == [
            "no trace can be kept; the server's log says why"
        ] * 3
        assert kept.checks == 2
        await desk.close()

    together(main)


def test_whoever_waits_for_a_try_gets_its_outcome_though_the_next_has_begun(home: Path) -> None:
    async def main() -> None:
        kept, seconds = Kept(), [0.0]
        kept.go = asyncio.Event()
        desk = LiveDesk(ServeSettings(root=home), kept, clock=lambda: seconds[0])
        first, second = asyncio.create_task(desk.trouble()), desk.trouble()
        await asyncio.sleep(0)
        assert desk._trying is not None

        def begin_the_next(_: object) -> None:
            seconds[0] += TRIED_S
            second.send(None)  # as a request does that arrives in the very turn of the loop

        desk._trying.add_done_callback(begin_the_next)
        kept.go.set()
        assert await first is None
        second.close()
        await desk.close()

    together(main)


def test_a_database_that_does_not_answer_is_tried_once_at_a_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microlith.serving.live.LONGEST_TRY_S", 0.01)

    async def main() -> None:
        kept = Kept()
        kept.go = asyncio.Event()
        desk = LiveDesk(ServeSettings(root=home), kept)
        told = [await desk.trouble() for _ in range(3)]
        assert told == ["the database of traces did not answer within 0.01 s"] * 3
        assert kept.checks == 1
        kept.go.set()
        assert await desk.trouble() is None
        await desk.close()

    together(main)


def test_what_was_trained_is_served_and_answered_and_kept(home: Path) -> None:
    async def main() -> None:
        kept = Kept()
        desk = desk_of(home, kept)
        found = await desk.answer(Call(task="mood", request=ROW.input, labels={"appliance_id": "a7"}))
        assert (found.prediction.output, found.stage, found.prediction.model) == (
            ROW.output,
            "specialist",
            "mood@1",
        )
        assert kept.traces == [(found, {"appliance_id": "a7"})]
        served = desk.find("mood")
        assert (served.model, served.route, served.threshold is not None) == ("mood@1", ("specialist",), True)
        await desk.close()

    together(main)


@pytest.mark.parametrize(
    ("heldout", "why"),
    [
        (UNPROVEN, "held-out rows are needed for 2 %, there are 0"),
        ([Outcome(confidence=0.9, right=number % 2 == 0) for number in range(400)], "wrong"),
    ],
)
def test_a_specialist_without_proof_of_its_budget_is_not_believed(home: Path, heldout: Any, why: str) -> None:
    async def main() -> None:
        register(load_task("mood"), home, heldout=heldout)
        desk = desk_of(home)
        found = await desk.answer(Call(task="mood", request=ROW.input))
        assert found.prediction.output is None
        assert found.hops[0].left == "low confidence"
        assert why in found.hops[0].detail
        assert why in desk.lines[0].notes[0]
        await desk.close()

    together(main)


def test_a_budget_of_one_gives_every_valid_answer(tmp_path: Path) -> None:
    async def main() -> None:
        task = task_folder(tmp_path, "mood", more="[error_budget]\nmax_wrong = 1.0")
        register(task, tmp_path / "home", heldout=UNPROVEN)
        desk = desk_of(tmp_path / "home", tasks=(str(task.folder),))
        assert (await desk.answer(Call(task="mood", request=ROW.input))).prediction.output == ROW.output
        await desk.close()

    together(main)


def test_rules_go_first_only_where_they_are_certain(tmp_path: Path) -> None:
    async def main() -> None:
        labels = [next(iter(one.output.values())) for one in (ROW, OTHER)]
        rules = f'def parse(text):\n    return {{"mood": {labels[0]!r}}} if text.startswith("/") else ({{"mood": {labels[1]!r}}}, 0.4)\n'
        task = task_folder(tmp_path, "mood", route=("rules", "specialist", "rules"), rules=rules)
        register(task, tmp_path / "home")
        desk = desk_of(tmp_path / "home", tasks=(str(task.folder),))
        certain = await desk.answer(Call(task="mood", request="/glad"))
        assert [(hop.stage, hop.left) for hop in certain.hops] == [("rules", None)]
        doubtful = await desk.answer(Call(task="mood", request="zzz qqq"))
        assert [hop.stage for hop in doubtful.hops][:2] == ["rules", "specialist"]
        assert doubtful.hops[0].left == "low confidence"
        assert doubtful.stage in ("specialist", "rules")
        await desk.close()

    together(main)


def test_a_promoted_version_answers_without_a_restart_and_requests_in_hand_end_with_the_old_one(
    home: Path,
) -> None:
    async def main() -> None:
        set_alias("mood", "live", 1, root=home)
        kept = Kept()
        kept.go = asyncio.Event()
        desk = desk_of(home, kept)
        in_hand = asyncio.ensure_future(desk.answer(Call(task="mood", request=ROW.input)))
        await asyncio.sleep(0.05)
        changed = [Example(input=ROW.input, output=OTHER.output, source="x:1")]
        register(load_task("mood"), home, examples=changed)
        assert await desk.refresh() == ()  # registered is not promoted
        set_alias("mood", "live", 2, root=home)
        assert await desk.refresh() == ("mood",)
        kept.go.set()
        assert (await in_hand).prediction.output == ROW.output
        after = await desk.answer(Call(task="mood", request=ROW.input))
        assert (after.prediction.output, after.prediction.model) == (OTHER.output, "mood@2")
        await desk.close()

    together(main)


def test_promoting_under_load_drops_and_fails_no_request(home: Path) -> None:
    async def main() -> None:
        set_alias("mood", "live", 1, root=home)
        register(load_task("mood"), home)
        kept = Kept()
        desk = desk_of(home, kept)
        stop, answered = asyncio.Event(), list[str]()

        async def caller() -> None:
            while not stop.is_set():
                found = await desk.answer(Call(task="mood", request=ROW.input))
                assert found.prediction.output == ROW.output
                answered.append(found.prediction.model)

        callers = [asyncio.ensure_future(caller()) for _ in range(8)]
        for version in (2, 1, 2, 1, 2):
            set_alias("mood", "live", version, root=home)
            assert await desk.refresh() == ("mood",)
        stop.set()
        await asyncio.gather(*callers)
        assert set(answered) == {"mood@1", "mood@2"}
        assert len(kept.traces) == len(answered)
        await desk.close()

    together(main)


def test_a_damaged_version_is_not_taken_and_the_old_one_goes_on(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        desk = desk_of(home)
        corrupt(home, "mood", register(load_task("mood"), home))
        assert await desk.refresh() == ()
        assert await desk.refresh() == ()
        assert caplog.text.count("mood@2 is not taken") == 1
        assert (await desk.answer(Call(task="mood", request=ROW.input))).prediction.model == "mood@1"
        remove(home, "mood")
        assert await desk.refresh() == ()
        assert (await desk.answer(Call(task="mood", request=ROW.input))).prediction.output == ROW.output
        await desk.close()

    together(main)


def test_no_answer_is_given_whose_trace_cannot_be_kept(home: Path) -> None:
    async def main() -> None:
        kept = Kept()
        kept.error = StorageError("the disk is full")
        desk = desk_of(home, kept)
        with pytest.raises(StorageError, match="the disk is full"):
            await desk.answer(Call(task="mood", request=ROW.input))
        assert desk.inside == 0
        kept.error = None
        assert (await desk.answer(Call(task="mood", request=ROW.input))).prediction.output == ROW.output
        await desk.close()

    together(main)


def test_more_requests_than_may_be_inside_are_told_when_to_come_again(home: Path) -> None:
    async def main() -> None:
        kept = Kept()
        kept.go = asyncio.Event()
        desk = desk_of(home, kept, most_inside=2)
        inside = [asyncio.ensure_future(desk.answer(Call(task="mood", request=ROW.input))) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded) as caught:
            await desk.answer(Call(task="mood", request=ROW.input))
        assert caught.value.retry_after_s == 1.0
        kept.go.set()
        await asyncio.gather(*inside)
        await desk.answer(Call(task="mood", request=ROW.input))
        await desk.close()

    together(main)


def test_turns_are_seen_by_tasks_that_declare_a_conversation_only(tmp_path: Path) -> None:
    async def main() -> None:
        turns = tuple(Turn(request=f"turn {number}", answer="{}") for number in range(5))
        for more, expected in (("", 0), ("[serve]\nturns = 3", 3)):
            task = task_folder(tmp_path / str(expected), "mood", more=more)
            register(task, tmp_path / f"home{expected}")
            desk = desk_of(tmp_path / f"home{expected}", tasks=(str(task.folder),))
            seen: list[int] = []
            chain = desk.lines[0].chain
            answer = chain.answer

            async def watched(asked: Any, seen: Any = seen, answer: Any = answer, **more: Any) -> Routed:
                seen.append(len(asked.turns))
                found: Routed = await answer(asked, **more)
                return found

            chain.answer = watched  # type: ignore[method-assign]
            await desk.answer(Call(task="mood", request=ROW.input, turns=turns))
            assert seen == [expected]
            await desk.close()

    together(main)


def test_unknown_tasks_and_what_is_not_there_are_told(home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        desk = desk_of(home)
        with pytest.raises(UnknownTask) as caught:
            await desk.answer(Call(task="moood", request="x"))
        assert "served are mood" in str(caught.value.problems[0])
        await desk.close()

    together(main)
    with pytest.raises(ArtifactError, match="nothing was trained here yet"):
        desk_of(tmp_path / "empty")
    bare = task_folder(tmp_path, "music")
    with pytest.raises(TaskError, match="nothing of the route of music is there"):
        desk_of(tmp_path / "empty", tasks=(str(bare.folder),))


@pytest.mark.parametrize(
    ("task", "given", "error", "why"),
    [
        ("cli-intent", {"a": 1}, DataError, "takes text, not an object"),
        ("cli-intent", None, DataError, "takes text, not null"),
        ("cli-intent", "x" * 101, TooLarge, "101 characters, at most 100"),
        ("task-plan", "no json", DataError, "takes an object as JSON"),
        ("task-plan", "[" * 90, DataError, "takes an object as JSON"),
        ("task-plan", 3, DataError, "takes an object, not a number"),
        ("task-plan", {"title": "y" * 200}, TooLarge, "at most 100"),
    ],
)
def test_a_request_of_another_kind_is_told(task: str, given: Any, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        request_of(load_task(task), given, most=100)


def test_private_paths_never_reach_a_model() -> None:
    given = {
        "metrics": {"allocated_hours": 2},
        "employeeContext": {"full_name": "Ada Byron", "role": "Clerk"},
    }
    text = request_of(load_task("task-risk"), given, most=10_000)
    assert "Clerk" in text
    assert "Ada" not in text
