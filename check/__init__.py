"""Tests of a component's contract: `dlkd check` runs them on your rows, and one decorator in your pytest suite.

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
