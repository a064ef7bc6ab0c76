"""`make bench`: every measured target, each printed beside its peer in the same run.

    python -m benchmarks [PUBLIC_DATA_FOLDER]

The schema figures need the public data folder (see each module); they are skipped, and say so, without it.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks import speed


def main() -> None:
    """Run the benchmarks one after the other."""
    speed.main("infra")
    if len(sys.argv) < 2:
        print("schemas: skipped; give the folder of public data sets: python -m benchmarks FOLDER")
        return
    subprocess.run([sys.executable, "benchmarks/json_schema.py", sys.argv[1]], check=False)


if __name__ == "__main__":
    main()
