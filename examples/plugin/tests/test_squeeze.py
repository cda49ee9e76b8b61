"""All that a block needs: the contract by dlkd's laws, and a model with the block in it."""

import torch
from dlkd_squeeze import ROWS, Squeeze

from dlkd import create_model, load_registry
from dlkd.check import parametrize_with_contracts


@parametrize_with_contracts(ROWS)
def test_contract(contract):
    contract()


def test_the_variant_runs():
    teacher = {"backbone": "test_resnet", "weights": "random"}
    model = create_model("dlkd-squeeze", registry=load_registry(ROWS), teacher=teacher).eval()
    assert isinstance(model.decoder.frms[0].branches["local"], Squeeze)
    assert model(torch.zeros(1, 3, 32, 40)).shape == (1, 32, 40)
