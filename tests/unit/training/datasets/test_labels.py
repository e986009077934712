"""Labels as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.datasets import Part, Sample
from training.datasets.labels import findings_of


def test_findings_are_a_column_each_in_the_order_asked_for() -> None:
    table = [
        (Sample(id=str(number), path=Path("f"), patient="1", findings=findings), Part.TRAIN)
        for number, findings in enumerate([(), ("Mass",), ("Nodule", "Mass", "Hernia")])
    ]
    found = findings_of(table, ("Nodule", "Mass"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, 0], [0, 1], [1, 1]])
    assert findings_of(table, ()).shape == (3, 0)
    assert findings_of([], ("Mass",)).shape == (0, 1)
