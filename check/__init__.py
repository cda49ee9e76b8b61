"""The contract of a component, tested: what `dlkd check` runs on your rows, the test suite on ours, pytest on both.

from dlkd.check import parametrize_with_contracts

@parametrize_with_contracts("my_block.yaml")
def test_contract(contract):
    contract()
"""

from dlkd.check.component import Case, Component
from dlkd.check.law import BrokenContract, Law
from dlkd.check.laws import LAWS
from dlkd.check.pytest import parametrize_with_contracts
from dlkd.check.verdicts import Findings, check_law, check_row

__all__ = [
    "LAWS",
    "BrokenContract",
    "Case",
    "Component",
    "Findings",
    "Law",
    "check_law",
    "check_row",
    "parametrize_with_contracts",
]
