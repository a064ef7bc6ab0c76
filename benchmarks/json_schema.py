"""How much of JSON Schema the linter accepts, and whether its verdicts hold.

    python benchmarks/json_schema.py PUBLIC_FOLDER [--limit N]

PUBLIC_FOLDER holds `json_schema_test_suite` and `jsonschemabench`. Four questions:

1. Test suite: for schemas whose keywords are all declared supported, is every invalid instance refused and every
   valid one accepted? Schemas are judged keyword by keyword: a fragment such as `{"maxLength": 2}` has no decision plan
   and still has to be validated rightly.
2. Real schemas: which share does the linter accept as tasks, and why are the others refused?
3. Real instances: does the compiled validator agree with the recorded verdicts?
4. Decoding: answers drawn at random from each accepted schema's plan must not break a keyword that the linter declares
   enforced while decoding.

Exit code 1 on any wrong verdict or broken promise.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microlith.errors import MicrolithError
from microlith.task.draw import draw_answer
from microlith.task.linter import Finding, lint, plan_of
from microlith.task.schema import document_of
from microlith.task.validate import Validator

DRAFTS = {
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft7": "http://json-schema.org/draft-07/schema",
}
ANNOTATION_ONLY = frozenset({"format.json"})
"""Files of the suite that test `format` as an annotation; here it is an assertion, tested by `optional/format/`."""
ANSWERS_PER_SCHEMA = 5


@dataclass(kw_only=True)
class Tally:
    """Counts of one part."""

    right: int = 0
    accepted_invalid: list[str] = field(default_factory=list)
    refused_valid: list[str] = field(default_factory=list)

    def note(self, *, name: str, valid: bool, verdict: bool) -> None:
        if valid == verdict:
            self.right += 1
        elif verdict:
            self.accepted_invalid.append(name)
        else:
            self.refused_valid.append(name)

    @property
    def wrong(self) -> list[str]:
        return self.accepted_invalid + self.refused_valid


def main() -> int:
    """Run all parts; 1 if any verdict is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "public", type=Path, help="folder that holds json_schema_test_suite and jsonschemabench"
    )
    parser.add_argument("--limit", type=int, default=0, help="at most this many schemas per file (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="for the sample and the drawn answers")
    options = parser.parse_args()
    started = time.perf_counter()
    wrong = sum(suite(options.public / "json_schema_test_suite", draft, options) for draft in DRAFTS)
    wrong += real_schemas(options.public / "jsonschemabench", options)
    wrong += real_instances(options.public / "jsonschemabench" / "maskbench_instances.jsonl.gz", options)
    print(f"\n{wrong} wrong verdicts, {time.perf_counter() - started:.0f} s")
    return 1 if wrong else 0


def rows_of(path: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of a JSONL file, gzip or not, at most `--limit` of them, drawn with the seed."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        rows = [json.loads(line) for line in lines]
    if options.limit and len(rows) > options.limit:
        rows = random.Random(options.seed).sample(rows, options.limit)
    return rows


# ------------------------------------------------------------------------------------------- the test suite


def suite(folder: Path, draft: str, options: argparse.Namespace) -> int:
    """Verdicts on one draft of the suite; returns how many are wrong."""
    counts, unsupported = Counter[tuple[str, str]](), Counter[str]()
    tally = Tally()
    known: dict[str, tuple[tuple[Finding, ...], Validator | None]] = {}
    rows = [row for row in rows_of(folder / f"{draft}.jsonl", options) if row["file"] not in ANNOTATION_ONLY]
    for row in rows:
        schema = row["schema"]
        if isinstance(schema, bool):
            unsupported["a boolean schema is no task"] += 1
            continue
        key = json.dumps(schema)
        if key not in known:
            known[key] = _judged({"$schema": DRAFTS[draft], **schema})
            counts.update(
                {(finding.keyword, finding.status) for finding in known[key][0] if finding.about == "keyword"}
            )
        findings, validator = known[key]
        if validator is None:
            unsupported[
                next(f"{one.keyword}: {one.reason}"[:70] for one in findings if _unsupported(one))
            ] += 1
            continue
        name = f"{row['file']}: {row['group']}: {row['test']}"
        tally.note(name=name, valid=row["label"] == "valid", verdict=validator.is_valid(row["data"]))
    print(f"\n== JSON Schema Test Suite, {draft}: {len(rows)} cases, {len(known)} schemas")
    print(f"   {tally.right + len(tally.wrong)} cases use supported keywords only: {tally.right} right, "
          f"{len(tally.accepted_invalid)} invalid accepted, {len(tally.refused_valid)} valid refused")  # fmt: skip
    _show_wrong(tally)
    _show_keywords(counts)
    _show_top(unsupported, "cases not judged, by the first refused keyword", 8)
    return len(tally.wrong)


def _judged(schema: Mapping[str, Any]) -> tuple[tuple[Finding, ...], Validator | None]:
    findings = lint(document_of(schema))
    if any(_unsupported(finding) for finding in findings):
        return findings, None
    return findings, Validator(schema)


def _unsupported(finding: Finding) -> bool:
    return finding.status == "rejected" and finding.about == "keyword"


def _show_keywords(counts: Counter[tuple[str, str]]) -> None:
    print(f"   {'keyword':24}{'decoding':>10}{'after':>8}{'rejected':>10}   (schemas)")
    for keyword in sorted({name for name, _ in counts}):
        row = [counts[keyword, status] for status in ("decoding", "after", "rejected")]
        print(f"   {keyword[:23]:24}{row[0]:>10}{row[1]:>8}{row[2]:>10}")


# ------------------------------------------------------------------------------------------- real schemas


def real_schemas(folder: Path, options: argparse.Namespace) -> int:
    """Acceptance of real schemas and the promise of decoding; returns how many promises are broken."""
    accepted, total, drawn = 0, 0, Counter[str]()
    reasons, statuses = Counter[str](), Counter[str]()
    broken: list[str] = []
    print("\n== jsonschemabench: real schemas")
    for path in sorted(folder.glob("*.jsonl*")):
        if path.name.startswith("maskbench"):
            continue
        rows = rows_of(path, options)
        passed = 0
        for row in rows:
            if not isinstance(row["schema"], dict):
                continue
            document = document_of(row["schema"])
            findings = lint(document)
            statuses.update(finding.status for finding in findings)
            refused = [finding for finding in findings if finding.status == "rejected"]
            reasons.update({f"{finding.keyword}: {_general(finding.reason)}" for finding in refused})
            if not refused:
                passed += 1
                broken += [f"{row['id']}: {fault}" for fault in _broken(row["schema"], findings, drawn)]
        print(
            f"   {path.name.split('.')[0]:18}{passed:>6} of {len(rows):>5} accepted ({passed / max(len(rows), 1):6.1%})"
        )
        accepted, total = accepted + passed, total + len(rows)
    print(f"   {'all':18}{accepted:>6} of {total:>5} accepted ({accepted / max(total, 1):6.1%})")
    shares = ", ".join(f"{status} {count}" for status, count in statuses.most_common())
    print(f"   keyword occurrences: {shares}")
    _show_top(reasons, "schemas refused, by reason (a schema may have several)", 15)
    print(f"   {drawn['answers']} answers drawn from the plans of {drawn['schemas']} schemas: {drawn['valid']} valid, "
          f"{drawn['after']} break only keywords checked afterwards, {len(broken)} break a keyword enforced in decoding")  # fmt: skip
    for fault in broken[:10]:
        print(f"     BROKEN {fault}")
    return len(broken)


def _general(reason: str) -> str:
    """A reason without the values of one schema, so that equal reasons count together."""
    return (
        reason.split(" -> ")[0].split(" beside ")[0][:90] if "'" not in reason else reason.split("'")[0][:90]
    )


def _broken(schema: Mapping[str, Any], findings: tuple[Finding, ...], drawn: Counter[str]) -> Iterator[str]:
    plan, validator = plan_of(document_of(schema)), Validator(schema)
    later = frozenset(finding.keyword for finding in findings if finding.status == "after")
    source = random.Random(0)
    drawn["schemas"] += 1
    for _ in range(ANSWERS_PER_SCHEMA):
        try:
            answer = draw_answer(plan, source)
        except MicrolithError as error:
            yield str(error)
            continue
        drawn["answers"] += 1
        drawn["valid" if validator.is_valid(answer) else "after"] += 1
        for keyword in sorted(validator.broken_keywords(answer, apart_from=later)):
            yield f"{keyword} by {json.dumps(answer)[:200]}"


# ------------------------------------------------------------------------------------------- real instances


def real_instances(path: Path, options: argparse.Namespace) -> int:
    """Agreement with the recorded verdicts on real instances; returns how many differ."""
    tally, unsupported = Tally(), Counter[str]()
    rows = rows_of(path, options)
    for row in rows:
        findings, validator = _judged(row["schema"]) if isinstance(row["schema"], dict) else ((), None)
        if validator is None:
            unsupported[
                next(
                    (f"{one.keyword}: {_general(one.reason)}" for one in findings if _unsupported(one)),
                    "boolean",
                )
            ] += 1
            continue
        for test in row["tests"]:
            tally.note(
                name=f"{row['id']}: {json.dumps(test['data'])[:120]}",
                valid=test["valid"],
                verdict=validator.is_valid(test["data"]),
            )
    print(f"\n== maskbench: {len(rows)} schemas with instances")
    print(f"   {tally.right + len(tally.wrong)} instances of schemas with supported keywords only: {tally.right} agree, "
          f"{len(tally.accepted_invalid)} invalid accepted, {len(tally.refused_valid)} valid refused")  # fmt: skip
    _show_wrong(tally)
    _show_top(unsupported, "schemas not judged, by the first refused keyword", 8)
    return len(tally.wrong)


def _show_wrong(tally: Tally) -> None:
    for kind, names in (("invalid accepted", tally.accepted_invalid), ("valid refused", tally.refused_valid)):
        for name in names[:20]:
            print(f"     WRONG {kind}: {name}")


def _show_top(counts: Counter[str], title: str, most: int) -> None:
    print(f"   {title}:")
    for reason, count in counts.most_common(most):
        print(f"     {count:>6}  {reason}")


if __name__ == "__main__":
    sys.exit(main())
