"""Every part of every family, ours and those of installed packages, against its contract."""

from __future__ import annotations

import pytest

from tunesmith.testing import Case, contract_cases


@pytest.mark.parametrize("case", contract_cases(), ids=str)
def test_contract(case: Case) -> None:
    case.check(case.family, case.name)
