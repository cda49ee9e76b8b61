"""Every row of registry.yaml keeps its contract; a new component is tested by having a row."""

from dlkd.check import parametrize_with_contracts


@parametrize_with_contracts(examples=3)
def test_contract(contract):
    contract()
