from __future__ import annotations

from tests.store.databases import engine, open_folder, postgres, small_disk, url

__all__ = ["engine", "open_folder", "postgres", "small_disk", "url"]
