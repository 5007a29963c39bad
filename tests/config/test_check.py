"""What no type can say: options that contradict or need each other."""

import subprocess
import sys

import pytest

from composing import compose
from tl_run.config import check
from tl_run.errors import BadOption

SVM = ("model.head=svm", "freeze=trunk")
FILES = ("task=classification", "task.train=x.csv")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("task=classification",), "task=classification needs data: type task.train=<file>"),
        ((*FILES, "task.dataset=stanfordnlp/sst2"), "task.dataset and task.train/validation/test exclude each other"),
        (("task=sentiment", "task.validation=x.csv"), "exclude each other"),
        ((*FILES, "task.label=text"), "must be different columns, found text, text"),
        ((*FILES, "task.text_pair=text"), "must be different columns, found text, label, text"),
        (("task.id=label",), "must be different columns, found text, label, label"),
        (("task.shots=4", "task.limit=10"), "task.shots and task.limit exclude each other"),
        (("training.micro_batch_size=32",), "training.micro_batch_size=32 is larger than training.batch_size=16"),
        (("freeze=pattern", "freeze.pattern='a('"), "freeze.pattern: 'a(' is no regular expression"),
        (("optimizer.warmup=1.5",), "optimizer.warmup=1.5: below 1 it is a share of all steps"),
        (("optimizer.betas=[0.9]",), "optimizer.betas: two numbers are needed, for example [0.9,0.999]"),
        (("optimizer.betas=[0.9,1.5]",), "optimizer.betas"),
        (("hardware=gpu", "hardware.device=cpu"), "hardware=gpu and hardware.device=cpu contradict each other"),
        (("model=custom",), "model.path is required: type model.path=..."),
        (("optimizer.schedule=linea",), "Did you mean 'linear'?"),
        (("hardware.precision=fp61",), "hardware.precision: 'fp61' is not one of auto, fp32, bf16, fp16. Did you mean"),
        (("task.metric=acc",), "task.metric: 'acc' is not one of auto, accuracy, f1_macro"),
        (("seed=-1",), "seed: -1 must be at least 0"),
        (("training.epochs=0",), "training.epochs: 0 must be at least 1"),
        (("optimizer.lr=0",), "optimizer.lr: 0 must be above 0"),
        (("optimizer.lr=nan",), "optimizer.lr: nan is not a finite number"),
        (("optimizer.layer_decay=1.1",), "optimizer.layer_decay: 1.1 must be at most 1"),
        (("task.validation_share=1",), "task.validation_share: 1 must be below 1"),
        (("freeze=bottom", "freeze.layers=1.5"), "freeze.layers: "),
        (("optimizer=sgd", "optimizer.momentum=1"), "optimizer.momentum: 1 must be below 1"),
        (
            ("model.head=lin",),
            "model.head: 'lin' is not one of stock, linear, mlp, dense, layer, weighted, svm, logistic",
        ),
        (("model.pooling=mean",), "model.pooling=mean does nothing with model.head=stock"),
        (("model.head=mlp", "model.head_layer=2"), "model.head_layer=2 does nothing with model.head=mlp: type"),
        (("model.head_layer=0",), "model.head_layer=0 does nothing with model.head=stock: type model.head=layer"),
        (("model.head=layer",), "model.head=layer needs the layer that it reads: type model.head_layer=6"),
        (("model.head=layer", "model.head_layer=-1"), "model.head_layer: -1 must be at least 0"),
        (("model.head=svm",), "model.head=svm is solved on features of a trunk that stays as it is: type freeze=trunk"),
        (("model.head=logistic", "freeze=embeddings"), "type freeze=trunk"),
        ((*SVM, "model.pooling=attention"), "model.pooling=attention learns by gradient, model.head=svm does not"),
        ((*SVM, "model.dropout=0.1"), "model.dropout=0.1 does nothing with model.head=svm"),
        (("model.dropout=1",), "model.dropout: 1 must be below 1"),
    ],
)
def test_refused_in_words_that_help(overrides, words):
    with pytest.raises(BadOption) as failure:
        check.check(compose(*overrides))
    assert words in str(failure.value)
    assert len(str(failure.value).splitlines()) <= 3


@pytest.mark.parametrize(
    "overrides",
    [
        ("task=sentiment",),
        ("task.dataset=./folder", "task.train=null", "task.validation=null", "task.test=null"),
        ("training.micro_batch_size=16",),
        ("optimizer.warmup=0",),
        ("optimizer.warmup=1",),
        ("optimizer.warmup=100.0",),
        ("freeze=bottom", "freeze.layers=2"),
        ("hardware.threads=2",),
        ("model.dropout=0",),
        ("model.head=layer", "model.head_layer=0", "model.pooling=attention", "model.dropout=0.5"),
        (*SVM, "model.pooling=max"),
        ("training.clip=null", "training.early_stopping.patience=2", "training.eval_every=5"),
        ((*FILES, "task.text=5", "task.label=6")),
    ],
)
def test_what_can_work_passes(overrides):
    check.check(compose(*overrides))


def test_a_missing_reference_is_told_by_its_option():
    with pytest.raises(BadOption, match=r"optimizer\.lr: .*freeze\.lr_factr"):
        compose("optimizer.lr=${freeze.lr_factr}")


def test_the_check_needs_no_torch():
    code = (
        "import sys; from composing import compose; from tl_run.config import check; check.check(compose());"
        "print([name for name in ('torch', 'transformers', 'datasets', 'sklearn') if name in sys.modules])"
    )
    paths = ":".join(path for path in sys.path if path)
    found = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": paths}, capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr
