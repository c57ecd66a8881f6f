"""The rules of the house, executed; they are written down in `tests/house`.

What is enforced is architecture: who includes whom, where foreign interfaces are
spoken, that tables, documents and files agree. Sizes are taste; the bound on them only
catches a room that has outgrown itself.
"""

import pytest

pytest.register_assert_rewrite(
    "tests.house.core",
    "tests.house.documents",
    "tests.house.public",
    "tests.house.tested",
)

from tests.house.core import *  # noqa: E402, F403
from tests.house.documents import *  # noqa: E402, F403
from tests.house.public import *  # noqa: E402, F403
from tests.house.tested import *  # noqa: E402, F403
