"""What tests of Tunesmith and of its plug-ins are made with; shipped, and never used outside tests.

from tunesmith.part import STEPS
from tunesmith.testing import check_part

def test_shout() -> None:
    check_part(STEPS, "shout")     # the whole contract of a data step
"""

from tunesmith.testing.contracts import Case, check_part, contract_cases

__all__ = ["Case", "check_part", "contract_cases"]
