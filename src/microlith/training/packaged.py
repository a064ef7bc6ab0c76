"""Pretrained weights that a package of the Python registry carries: a base without the model hub."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from microlith.errors import MissingBase
from microlith.registry.folders import sha256_of


@dataclass(frozen=True, kw_only=True)
class PackagedWeights:
    """Where a package holds weights, and what they must be."""

    package: str
    """Name to install."""
    file: str
    """The weights' path inside the package's folder."""
    sha256: str
    """Hash of the file; another content is refused."""
    alone: bool = False
    """True where what the package needs itself is not needed here, and would better not be installed."""

    @property
    def install(self) -> str:
        """The command that gets it."""
        return self._command()

    def find(self) -> Path | None:
        """The file, its hash compared; None where the package is not installed. The package is not imported.

        Raises:
            MissingBase: if it holds something else than expected.
        """
        spec = find_spec(self.package.replace("-", "_"))
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin).parent / self.file
        found = sha256_of(file) if file.is_file() else "no file"
        if found != self.sha256:
            raise MissingBase(
                f"the package {self.package} holds other weights than expected: sha256 {found[:16]}..., expected "
                f"{self.sha256[:16]}...",
                place=str(file), mend=f"reinstall it: {self._command('--force-reinstall')}",
            )  # fmt: skip
        return file

    def _command(self, *options: str) -> str:
        return " ".join(["pip install", *(["--no-deps"] if self.alone else []), *options, self.package])
