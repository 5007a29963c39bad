"""Dropout on a CPU is torch's own in law, drawn from other random numbers."""

import pytest
import torch
import transformers
from torch import nn

from tl_run.model import dropout


def drawn(seed: int, share: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(seed)
    return dropout.noise(torch.Size([1000, 1001]), share, dtype)


@pytest.mark.parametrize("share", [0.1, 0.5, 1 - 1e-9])
def test_the_share_is_dropped_and_what_stays_makes_up_for_it(share: float) -> None:
    noise = drawn(2, share)
    dropped = (noise == 0).float().mean().item()
    assert dropped == pytest.approx(share, abs=4 * (share * (1 - share) / 1e6) ** 0.5 + 2e-5)
    assert noise.max().item() * (1 - share) == pytest.approx(1, rel=1e-4) or share > 0.99
    assert noise.unique().numel() == 2
    assert torch.equal(drawn(2, share), noise)
    assert not torch.equal(dropout.noise(noise.shape, share, noise.dtype), noise)
    assert drawn(2, share, torch.bfloat16).dtype == torch.bfloat16


def test_a_model_draws_here_when_it_trains_and_nothing_when_it_does_not() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.0)), nn.Dropout1d(0.5))
    names = [*model.state_dict()]
    dropout.use(model)
    inner = model[1]
    assert isinstance(inner, nn.Sequential)
    assert [type(module) for module in inner] == [dropout.Dropout] * 2
    assert type(model[2]) is nn.Dropout1d
    assert [*model.state_dict()] == names
    x = torch.randn(3, 4, requires_grad=True)
    torch.manual_seed(0)
    expected = dropout.noise(x.shape, 0.5, x.dtype)
    torch.manual_seed(0)
    inner(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, expected)
    assert torch.equal(inner.eval()(x), x)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_nothing_is_torchs_own(share: float) -> None:
    x = torch.randn(3, 4)
    assert torch.equal(dropout.Dropout(share)(x), nn.Dropout(share)(x))


@pytest.mark.parametrize(
    ("family", "changes", "expected"),
    [
        ("Bert", {}, True),
        ("Bert", {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}, False),
        ("Bert", {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0.1}, True),
        ("Bert", {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "classifier_dropout": 0.1}, True),
        ("Llama", {}, False),
        ("Llama", {"attention_dropout": 0.1}, True),
        ("Falcon", {}, False),
        ("Falcon", {"hidden_dropout": 0.1}, True),
    ],
)
def test_dropout_is_found_however_it_is_drawn(family: str, changes: dict[str, float], expected: bool) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 20}
    config = getattr(transformers, f"{family}Config")(**sizes, intermediate_size=32, pad_token_id=0, **changes)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config).train()
    assert dropout.drawn(model) is expected
    one, other = (model(torch.arange(12).view(2, 6)).logits for _ in range(2))
    assert torch.equal(one, other) is not expected
    assert not dropout.drawn(model.eval())
