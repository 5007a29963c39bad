"""Token ids and padding against the tokenizer's own."""

import numpy as np
import pytest
import transformers

from tl_run.data.encoded import Encoded

TEXTS = ["the film was good", "bad", "", "i loved the story and the ending " * 5, "x1, y2!"]
PAIRS = ["the plot was bad " * 5, "", "not very fine", "it is dull", "a"]


@pytest.fixture
def tokenizer(bert):
    return transformers.AutoTokenizer.from_pretrained(bert)


def encoded(tokenizer, texts=TEXTS, pairs=None, max_length=16) -> Encoded:
    return Encoded.of(texts, pairs, tokenizer, max_length, [str(i) for i in range(len(texts))], np.zeros(len(texts)))


@pytest.mark.parametrize("pairs", [None, PAIRS], ids=["texts", "pairs"])
@pytest.mark.parametrize("indices", [[0, 1, 2, 3, 4], [3, 1], [2], [4, 4, 0]])
def test_a_batch_is_what_the_tokenizer_itself_would_give(tokenizer, pairs, indices):
    pad = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    for _ in range(2):  # made, then from the cache
        batch = encoded(tokenizer, pairs=pairs).padded(np.array(indices), pad)
        own = tokenizer(
            [TEXTS[i] for i in indices],
            pairs and [pairs[i] for i in indices],
            truncation=True,
            max_length=16,
            padding=True,
            return_tensors="np",
        )
        assert batch.keys() == own.keys()
        for name in own:
            assert batch[name].dtype == np.int64
            np.testing.assert_array_equal(batch[name], own[name])


def test_the_pad_value_is_the_one_asked_for(tokenizer):
    batch = encoded(tokenizer).padded(np.array([1, 3]), {"input_ids": 7})
    assert (batch["input_ids"][0][batch["attention_mask"][0] == 0] == 7).all()
    assert (batch["token_type_ids"] == 0).all()


def test_lengths_and_size(tokenizer):
    found = encoded(tokenizer)
    assert len(found) == 5
    assert found.lengths.tolist() == [len(ids) for ids in tokenizer(TEXTS, truncation=True, max_length=16)["input_ids"]]
    assert found.lengths.max() == 16


def test_what_is_encoded_once_is_not_encoded_again(tokenizer, monkeypatch):
    class Counting:
        calls = 0

        def __call__(self, *arguments, **options):
            Counting.calls += 1
            return tokenizer(*arguments, **options)

        def __getattr__(self, name):
            return getattr(tokenizer, name)

    counting = Counting()
    first, again = encoded(counting), encoded(counting)
    assert Counting.calls == 1
    np.testing.assert_array_equal(first.offsets, again.offsets)
    for name, values in first.columns.items():
        np.testing.assert_array_equal(values, again.columns[name])
        assert values.dtype == again.columns[name].dtype
    assert first.columns.keys() == again.columns.keys()
    for changed in (
        {"max_length": 12},
        {"texts": [*TEXTS[:-1], "x1, y3!"]},
        {"texts": TEXTS[::-1]},
        {"texts": ["the film", " was good", *TEXTS[1:]]},
        {"pairs": PAIRS},
        {"pairs": TEXTS},
    ):
        before = Counting.calls
        encoded(counting, **changed)
        assert Counting.calls == before + 1, changed


@pytest.mark.parametrize("setting", [("truncation_side", "left"), ("do_lower_case", False)], ids=str)
def test_another_tokenizer_has_an_entry_of_its_own(tokenizer, bert, setting):
    other = transformers.AutoTokenizer.from_pretrained(bert, **dict([setting]))
    texts = ["The Film was good and the plot was Dull but i loved it"]
    one, two = encoded(tokenizer, texts, max_length=8), encoded(other, texts, max_length=8)
    assert one.columns["input_ids"].tolist() == tokenizer(texts, truncation=True, max_length=8)["input_ids"][0]
    assert two.columns["input_ids"].tolist() == other(texts, truncation=True, max_length=8)["input_ids"][0]
    assert one.columns["input_ids"].tolist() != two.columns["input_ids"].tolist()
