"""What no type can say: options that contradict or need each other."""

import subprocess
import sys

import pytest

from composing import compose
from tl_run.config import check
from tl_run.errors import BadOption

SVM = ("model.head=svm", "freeze=trunk")
FILES = ("task=classification", "task.train=x.csv")
TWO = "hardware.processes=2"
SEVERAL = (*FILES, "task.multi_label=true")


def phases(listed):
    return ("freeze=schedule", f"freeze.phases={listed}")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("task=classification",), "task=classification needs data: type task.train=<file>"),
        ((*FILES, "task.dataset=stanfordnlp/sst2"), "task.dataset and task.train/validation/test exclude each other"),
        (("task=sentiment", "task.validation=x.csv"), "exclude each other"),
        ((*FILES, "task.label=text"), "must be different columns, found text, text"),
        ((*FILES, "task.text_pair=text"), "must be different columns, found text, text, label"),
        (
            (*FILES, "task.metric=f1_micro"),
            "task.metric=f1_micro is not counted with task.multi_label=false: type",
        ),
        (
            (*SEVERAL, "task.metric=mcc"),
            "task.metric=mcc is not counted with task.multi_label=true: type one of",
        ),
        ((*FILES, "task.label_separator='|'"), "task.label_separator='|' does nothing without task.multi_label=true"),
        ((*SEVERAL, "task.label_separator=''"), "nothing would stand between labels: type task.label_separator=','"),
        ((*SEVERAL, "task.shots=4"), "task.shots=4: a text with several labels is of no one class: type task.limit"),
        ((*SEVERAL, "task.class_weights=balanced"), "task.class_weights: a text with several labels is of no one"),
        ((*SEVERAL, *SVM), "model.head=svm finds one label for a text: type model.head=linear"),
        ((*FILES, "task.class_weights={}"), "task.class_weights={}: it names no label: type none, balanced, or {"),
        ((*FILES, "task.class_weights={a:0}"), "task.class_weights.a: 0 must be above 0"),
        ((*FILES, "task.class_weights=even"), "task.class_weights: 'even' is not one of none, balanced"),
        (
            (*FILES, "task.class_weights=balanced", "task.shots=2"),
            "does nothing with task.shots=2, which draws as",
        ),
        ((*FILES, "task.class_weights=balanced", *SVM), "model.head=svm takes no task.class_weights: type task.class"),
        (("task.id=label",), "must be different columns, found text, label, label"),
        (("task.shots=4", "task.limit=10"), "task.shots and task.limit exclude each other"),
        (("training.micro_batch_size=32",), "training.micro_batch_size=32 is larger than training.batch_size=16"),
        (("hardware.processes=0",), "hardware.processes: 0 must be at least 1"),
        (("hardware=mps", TWO), "hardware.processes=2: an Apple GPU is of one process: type hardware.processes=1, or"),
        ((*SVM, TWO), "model.head=svm is solved by one process: type hardware.processes=1"),
        (
            ("task=similarity", "task.train=x.csv", "task.label=null", "task.loss=in_batch", TWO),
            "compares every pair of a batch with all others, so the batch cannot be shared: type hardware.processes=1",
        ),
        (
            ("hardware.nodes=2",),
            "hardware.nodes=2 needs a place where they meet: type hardware.endpoint=<name of one of",
        ),
        (("hardware.nodes=2", "hardware.endpoint=host"), "type hardware.endpoint=<name of one of them>:29400 on each"),
        (("hardware.endpoint=a:1",), "hardware.endpoint=a:1 does nothing on one node: type hardware.nodes=2"),
        (("hardware=fsdp", "hardware.processes=1"), "one process has nothing to share: type hardware.processes=2"),
        (("hardware=fsdp", "freeze=gradual"), "hardware=fsdp: what learns is fixed, and freeze=gradual changes it"),
        (("hardware.shard=true", TWO, "adapter=lora"), "hardware.shard=true: type adapter=none, or hardware.shard=fal"),
        (("hardware=fsdp", "task=generation-demo"), "hardware=fsdp: processes that write texts do not keep step"),
        (("hardware=fsdp", "hardware.compile=true"), "hardware=fsdp: type hardware.compile=false"),
        (("hardware=fsdp", "hardware.precision=fp16"), "hardware=fsdp: type hardware.precision=bf16 or fp32"),
        (("hardware=fsdp", "features.mode=require"), "nothing is stored of a model that is split up: type features"),
        (("freeze=pattern", "freeze.pattern='a('"), "freeze.pattern: 'a(' is no regular expression"),
        (phases("[]"), "freeze.phases: there is none: type freeze.phases=[{until:1,learns:head},{learns:all}]"),
        (phases("3"), "freeze.phases: '3' is not a list"),
        (phases("[{learns:all,until:1}]"), "freeze.phases[0]: the last phase ends with the run (training.epochs)"),
        (phases("[{learns:head},{learns:all}]"), "freeze.phases[0] has no end, and another follows: type until:"),
        (phases("[{learns:1,until:2},{learns:2,until:2},{learns:all}]"), "until counts from the beginning of the run"),
        (phases("[{learns:1,until_steps:9},{learns:2,until_steps:8},{learns:all}]"), "must rise, found 9, 8"),
        (phases("[{learns:1,until:1,until_steps:9},{learns:all}]"), "freeze.phases[0]: until (epochs) and until_steps"),
        (phases("[{learns:0}]"), "freeze.phases[0].learns=0: a number of layers is whole, from 1 on"),
        (phases("[{learns:1.5}]"), "freeze.phases[0].learns=1.5: a number of layers is whole, from 1 on; a share"),
        (phases("[{learns:'a('}]"), "freeze.phases[0].learns: 'a(' is no regular expression"),
        (phases("[{learns:all,lr_factor:0}]"), "freeze.phases[0].lr_factor: 0 must be above 0"),
        (phases("[{learns:all,patience:0}]"), "freeze.phases[0].patience: 0 must be at least 1"),
        (phases("[{until:1},{learns:all}]"), "freeze.phases[0].learns is missing: each entry of the list needs it"),
        (("freeze=gradual", "freeze.every=0"), "freeze.every: 0 must be above 0"),
        (("freeze=gradual", "freeze.head_first=-1"), "freeze.head_first: -1 must be at least 0"),
        (
            ("adapter=lora", "freeze=trunk"),
            "adapter=lora and freeze=trunk contradict each other: LoRA goes beside weights",
        ),
        (("adapter=lora", "freeze=all_but_bias"), "type freeze=none, or adapter=none"),
        (
            ("adapter=lora", "adapter.targets=[]"),
            "adapter.targets: one or more of query, key, value, output, feed_forw",
        ),
        (
            ("adapter=lora", "adapter.targets=[q_proj]"),
            "adapter.targets[0]: 'q_proj' is not one of query, key, value, ",
        ),
        (("adapter=lora", "adapter.rank=0"), "adapter.rank: 0 must be at least 1"),
        (("adapter=lora", "adapter.dropout=1"), "adapter.dropout: 1 must be below 1"),
        (("optimizer.warmup=1.5",), "optimizer.warmup=1.5: below 1 it is a share of all steps"),
        (("optimizer.betas=[0.9]",), "optimizer.betas: two numbers are needed, for example [0.9,0.999]"),
        (("optimizer.betas=[0.9,1.5]",), "optimizer.betas"),
        (("model.copy='['",), "model.copy: '[' is no regular expression"),
        (("model.copy=embeddings", "model.pretrained=false"), "model.copy and model.pretrained=false contradict"),
        (("hardware=gpu", "hardware.device=cpu"), "hardware=gpu and hardware.device=cpu contradict each other"),
        (("model=custom",), "model.path is required: type model.path=..."),
        (("optimizer.schedule=linea",), "Did you mean 'linear'?"),
        (("hardware.precision=fp61",), "hardware.precision: 'fp61' is not one of auto, fp32, bf16, fp16. Did you mean"),
        (("task.metric=acc",), "task.metric: 'acc' is not one of auto, accuracy, f1_macro"),
        (("seed=-1",), "seed: -1 must be at least 0"),
        (("training.epochs=-1",), "training.epochs: -1 must be at least 0"),
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
        phases("[{learns:head,patience:2},{until:3,learns:2},{until_steps:500,learns:0.5},{learns:'layer.*bias'}]"),
        ("freeze=gradual", "freeze.every=0.25", "freeze.every_steps=7", "freeze.head_first=0"),
        ("adapter=lora", "freeze=bottom", "adapter.targets=[output,feed_forward]"),
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
