"""The finished objects of a run, from its job: model, what learns, data, what is reused, the method, the budget."""

import json
import time
from dataclasses import dataclass
from typing import Any

import torch

from tl_run import adapter, audit, augment, features, freeze, hardware, optimizer, transfer
from tl_run.config.options import SOLVED, Run
from tl_run.data import doubts
from tl_run.data.encoded import Encoded
from tl_run.distributed import ALONE, Group
from tl_run.errors import BadOption
from tl_run.model import attention, compact, dropout, heads, pretrained, reading, saved, several, two_towers
from tl_run.model.anatomy import Anatomy, anatomy
from tl_run.model.design import Design
from tl_run.prepare import Job
from tl_run.solve import GRID, require_every_label
from tl_run.training import Budget
from tl_run.transfer.method import Fit
from tl_run.transfer.teacher import Teacher


@dataclass(frozen=True)
class Built:
    """All that a run needs before its first step; the model is on the CPU, and nothing has changed it yet."""

    job: Job
    found: pretrained.Pretrained
    anatomy: Anatomy
    learning: freeze.Freeze
    adapted: adapter.Adapted | None
    hardware: hardware.Hardware
    encoded: dict[str, Encoded]
    prints: dict[str, str]
    """Fingerprints of all parameters."""
    augmented: Any
    """The task as the method takes it."""
    reuse: Any
    """`features.Reuse`, or `features.Nothing`."""
    method: Any
    per_epoch: int
    """Steps of an epoch."""
    budget: Budget
    vocabulary: torch.Tensor | None
    """The token ids that occur, where only those are computed."""
    notes: list[str]
    seconds: dict[str, float]

    @property
    def model(self) -> Any:
        """The model, with its head."""
        return self.found.model

    @property
    def solved(self) -> bool:
        """Whether the head is solved by scikit-learn instead of trained in steps."""
        return self.job.options.model.head in SOLVED


def build(job: Job, group: Group = ALONE) -> Built:
    """Load, freeze, encode. Raises: BadInput and BadOption for what only model and data together can tell."""
    options, task = job.options, job.task
    torch.manual_seed(options.seed)
    began = time.perf_counter()
    task.meet(reading.read_config(job.model_folder))
    each = {name: _load(job, own) for name, own in task.kinds.items()}
    found = several.joined(each) if each else _load(job, task)
    model = found.model
    torch.manual_seed(options.seed)
    last = heads.last_layer(model)
    teacher = _teacher(job) if job.teacher else None
    splits = {"train": job.splits.train, "validation": job.splits.validation, "domain": job.splits.domain}
    splits = {name: rows for name, rows in (splits | {"test": job.splits.test}).items() if rows is not None}
    kind = transfer.kind(options.transfer, options.task)
    modules = kind.modules(
        options.transfer,
        task=task,
        last=last,
        sizes={name: len(rows) for name, rows in splits.items()},
        teacher=teacher,
    )
    own = transfer.put_in(model, modules)
    new = {*(found.new if options.model.pretrained else ()), *own}
    machine = hardware.prepare(options.hardware, sum(p.numel() for p in model.parameters()), group)
    parts = anatomy(model, new)
    fixed = options.model.statistics == "fixed"
    if fixed and not parts.statistics:
        raise BadOption(f"model.statistics=fixed: {options.model.name} has no batch normalization: leave it out")
    learning = freeze.Freeze(
        parts, options.freeze, fixed_statistics=fixed
    )  # refuses what the model has not, before anything is encoded
    adapted = adapter.put_in(model, parts, learning.ever, options.adapter, options.seed)
    if adapted:  # parameters have other names now, and the trunk's own stay
        parts = anatomy(model, new)
        learning = freeze.Freeze(parts, options.freeze, adapted.base, fixed)
    kind.require(
        options.transfer,
        task=task,
        model=model,
        last=last,
        new=new,
        learns=learning.ever,
        freeze=options.freeze.name,
        drops=lambda: _drops(model, learning),
    )
    if machine.device.type == "cpu" and not options.hardware.compile:
        for own_head in several.alone(model):
            attention.use(own_head)
        dropout.use(model)
    loaded = time.perf_counter()

    encoded = {name: task.encode(rows, found.tokenizer) for name, rows in splits.items()}
    seconds = {"load": loaded - began, "encode": time.perf_counter() - loaded}

    task.doubts += doubts.of_encoded(task, encoded)
    task.start(model, found.new, encoded["train"])
    prints = audit.fingerprints(dict(model.named_parameters()))
    augmented = augment.make(
        options.augment,
        task=task,
        splits=splits,
        encoded=encoded,
        tokenizer=found.tokenizer,
        model=model,
        hardware=machine,
        synonyms=job.synonyms,
        translators=job.translators,
        weights=job.weights,
    )
    reuse = (
        features.Nothing("it has several heads")
        if task.kinds
        else features.make(
            options.features,
            model,
            parts,
            learning,
            {name: split.rows for name, split in encoded.items()},
            prints,
            pad=found.pad,
            max_length=task.row_length,
            hardware=machine,
            required_by=_required_by(options),
            taken_by=_taken_by(options.hardware) or augmented.changing,
        )
    )
    method = kind(
        options.transfer,
        task=augmented,
        data=encoded,
        model=model,
        new=new,
        learns=learning.ever,
        last=last,
        modules=modules,
        batch_size=options.training.batch_size,
        seed=options.seed,
        pad=found.pad,
        hardware=machine,
        teacher=teacher,
        fit=_fit(options, model, parts, learning),
        forward=augmented.around(reuse),
    )
    moving = [] if fixed else [name for name in parts.statistics if learning.learns_in(name)]
    if moving:  # a loss is no sum over examples any more: what one is counted as depends on the others in its batch
        method.divisible = False
        if not method.moves_statistics:
            raise BadOption(
                f"transfer={options.transfer.name}: batch normalization would take the statistics of one client after "
                "the other: type model.statistics=fixed"
            )
        if options.hardware.ranks > 1:
            raise BadOption(
                f"hardware.processes={options.hardware.ranks}: batch normalization learns by the statistics of a whole "
                "batch: type model.statistics=fixed, or hardware.processes=1"
            )
        found.notes.append("batch normalization learns by the statistics of each batch (model.statistics=moving)")
    per_epoch = next(iter(method.streams().values())).steps_per_epoch
    if options.model.head in SOLVED:
        require_every_label(options.model.head, encoded["train"], task.labels)
        per_epoch = 1
    freeze.apply(model, learning.phases[0])
    vocabulary, why = (
        (None, [])
        if task.open_vocabulary or augmented.changing or options.hardware.shard
        else _vocabulary(found, encoded, learning.phases[0].learns, options.optimizer)
    )
    if vocabulary is not None and method.whole_vocabulary:
        vocabulary, why = None, [f"the whole vocabulary is computed: {method.whole_vocabulary}"]
    return Built(
        job=job,
        found=found,
        anatomy=parts,
        learning=learning,
        adapted=adapted,
        hardware=machine,
        encoded=encoded,
        prints=prints,
        augmented=augmented,
        reuse=reuse,
        method=method,
        per_epoch=per_epoch,
        budget=_budget(options, per_epoch, method.learns(model)),
        vocabulary=vocabulary,
        notes=[*job.splits.notes, *task.notes, *found.notes, *(adapted.notes if adapted else []), *why],
        seconds=seconds,
    )


def _load(job: Job, kind: Any) -> pretrained.Pretrained:
    """The model with the head of a kind."""
    options = job.options
    common: dict[str, Any] = {
        "pretrained": options.model.pretrained,
        "max_length": kind.options.max_length,
        "seed": options.seed,
        "name": options.model.name,
    }
    if job.vision_folder:
        return two_towers.load(job.model_folder, job.vision_folder, kind.head(), **common)
    return pretrained.load(
        job.model_folder,
        kind.auto_class,
        kind.head(),
        **common,
        copy=options.model.copy,
        processor=kind.processor,
        design=_design(options, kind),
    )


def _teacher(job: Job) -> Teacher:
    """The teacher, and the training texts as it reads them. Raises: BadOption where it cannot read such long ones."""
    assert job.teacher
    model, tokenizer = saved.load_model(job.teacher)
    encoded = job.task.encode(job.splits.train, tokenizer)
    longest = min(getattr(model.config, "max_position_embeddings", None) or 10**9, tokenizer.model_max_length)
    if encoded.lengths.max() > longest:
        raise BadOption(
            f"task.max_length={job.options.task.max_length}, but the teacher reads at most {longest} tokens: type "
            f"task.max_length={longest}"
        )
    known = [model.config.id2label[i] for i in range(model.config.num_labels)]
    return Teacher(
        model=model,
        last=heads.last_layer(model),
        encoded=encoded,
        pad=reading.padding(tokenizer),
        order=[known.index(name) for name in job.task.labels],
        key=json.dumps({name: own for name, own in job.weights.items() if name.startswith("teacher/")}),
    )


def _drops(model: Any, learning: freeze.Freeze) -> bool:
    """Whether dropout is drawn in some phase; what learns and what is in train mode is as in that phase then."""
    for phase in learning.phases:
        freeze.apply(model, phase)
        if dropout.drawn(model):
            return True
    return False


def _design(options: Run, task: Any) -> Design:
    """The head that the options ask for, or the one that the kind of task has."""
    model, tfidf = options.model, getattr(options.transfer, "tfidf", False)
    asked = {"kind": model.head, "layer": model.head_layer, "pooling": model.pooling, "dropout": model.dropout}
    asked |= {"tfidf": tfidf}
    return Design(**(asked | task.design())).of_kind(task.pooling)


def _vocabulary(
    found: pretrained.Pretrained, encoded: dict[str, Encoded], learns: frozenset[str], options: Any
) -> tuple[torch.Tensor | None, list[str]]:
    """The token ids that occur, where only those need computing, and why not otherwise; pictures have none."""
    if "input_ids" not in found.pad or encoded["train"].rows.changing:
        return None, []
    used = [split.rows.columns["input_ids"] for split in encoded.values()]
    return compact.occurring(found.model, used, found.pad["input_ids"], learns, options)


def _taken_by(hardware: Any) -> str:
    """What runs the model as a whole, so that no layer can be left out."""
    return "torch.compile takes it all" if hardware.compile else "its layers are split up" if hardware.shard else ""


def _required_by(options: Run) -> str:
    """The option that cannot do without stored states, if there is one."""
    if options.model.head in SOLVED:
        return f"model.head={options.model.head}"
    return "features.mode=require" if options.features.mode == "require" else ""


def _fit(options: Run, model: Any, parts: Anatomy, learning: freeze.Freeze) -> Fit:
    training, how = options.training, options.optimizer
    return Fit(
        optimizer=lambda: optimizer.make(model, parts, learning.ever, how, {}),
        pace=lambda own, step, steps: optimizer.set_rates(own, optimizer.schedule(how, steps)(step)),
        epochs=training.epochs,
        max_steps=training.max_steps,
        clip=training.clip,
    )


def _budget(options: Run, per_epoch: int, learns: bool) -> Budget:
    training = options.training
    steps = training.max_steps or training.epochs * per_epoch
    return Budget(
        steps=len(GRID) if options.model.head in SOLVED else steps if learns else 0,
        evaluate_every=per_epoch if training.eval_every == "epoch" else training.eval_every,
        log_every=training.log_every,
        clip=training.clip,
        patience=training.early_stopping.patience,
        min_delta=training.early_stopping.min_delta,
        halve_on_oom=training.micro_batch_size == "auto",
    )
