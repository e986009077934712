"""Which bundle a worker serves when nobody says."""

from __future__ import annotations

from pathlib import Path

import model
from model.bundle import MANIFEST_FILE
from model.errors import BundleNotFound


def default_bundle_directory(shipped: Path | None = None) -> Path:
    """Return the one bundle that ships with the package.

    Parameters
    ----------
    shipped
        Directory of bundles; ``bundles`` of the installed package ``model`` where absent.

    Raises
    ------
    BundleNotFound
        If there is none, or several and therefore a choice to make.
    """
    directory = shipped or Path(model.__path__[0]) / "bundles"
    found = sorted(manifest.parent for manifest in directory.glob(f"*/{MANIFEST_FILE}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise BundleNotFound(f"no bundle ships in {directory}; name one with CXR_WORKER_BUNDLE")
    names = ", ".join(bundle.name for bundle in found)
    raise BundleNotFound(f"several bundles ship in {directory} ({names}); name one with CXR_WORKER_BUNDLE")
