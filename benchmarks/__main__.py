"""`make bench`: every measured target, each printed beside its peer in the same run.

    python -m benchmarks [PUBLIC_DATA_FOLDER] [--litellm PATH]

The schema figures need the public data folder, those of routers LiteLLM's command (see each module); they are skipped, and
say so, without.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks import generative, peers_serving, serving, speed
from microlith.errors import MicrolithError
from microlith.registry import list_artifacts
from microlith.task.taskfile import load_task


def main(public: str | None, litellm: str | None) -> None:
    """Run the benchmarks one after the other."""
    speed.main("infra")
    _serving()
    peers_serving.main(litellm)
    _language_models()
    if public is None:
        print("schemas: skipped; give the folder of public data sets: python -m benchmarks FOLDER")
        return
    subprocess.run([sys.executable, "benchmarks/json_schema.py", public], check=False)


def _serving() -> None:
    """The server with infra, or else with any task that was trained here."""
    trained = {one.task for one in list_artifacts() if one.card}
    if not trained:
        print("serving: skipped; train a task first: microlith train infra")
        return
    serving.main("infra" if "infra" in trained else min(trained))


def _language_models() -> None:
    """Every language model that was trained here, beside llama.cpp's own server."""
    trained = sorted({one.task for one in list_artifacts() if one.card and one.card.kind == "generative"})
    if not trained:
        print("language models: skipped; train one first: microlith train cli-intent --recipe scratch")
    for task in trained:
        try:
            generative.answering(load_task(task))
        except MicrolithError as error:  # a folder that was moved must not cost the other figures
            print(f"language models: {task} skipped; {error}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("public", nargs="?", metavar="PUBLIC_DATA_FOLDER")
    parser.add_argument("--litellm", metavar="PATH", help="LiteLLM's command, in an environment of its own")
    chosen = parser.parse_args()
    main(chosen.public, chosen.litellm)
