"""Where runs and artifacts are kept: numbered, whole, verified."""

from microlith.registry.artifacts import (
    LATEST,
    LIVE,
    SCHEMA_FILE,
    Artifact,
    Draft,
    Listing,
    aliases,
    draft,
    list_artifacts,
    open_artifact,
    resolve,
    set_alias,
)
from microlith.registry.card import Base, Card, CardFacts, DataFacts, Metric, Parity
from microlith.registry.changes import changes, schema_hash
from microlith.registry.home import home
from microlith.registry.runs import OpenRun, Run, list_runs, resume_run, start_run

__all__ = [
    "LATEST", "LIVE", "SCHEMA_FILE", "Artifact", "Base", "Card", "CardFacts", "DataFacts", "Draft", "Listing", "Metric",
    "OpenRun", "Parity", "Run", "aliases", "changes", "draft", "home", "list_artifacts", "list_runs", "open_artifact",
    "resolve", "resume_run", "schema_hash", "set_alias", "start_run",
]  # fmt: skip
