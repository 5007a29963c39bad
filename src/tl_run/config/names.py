"""Did you mean: the names users type by mistake, or know from Hugging Face, and what they are called here."""

from collections.abc import Collection
from difflib import get_close_matches

ALIASES = {
    "learning_rate": "optimizer.lr",
    "lr": "optimizer.lr",
    "num_train_epochs": "training.epochs",
    "epochs": "training.epochs",
    "max_steps": "training.max_steps",
    "per_device_train_batch_size": "training.batch_size",
    "train_batch_size": "training.batch_size",
    "batch_size": "training.batch_size",
    "per_device_eval_batch_size": "training.eval_batch_size",
    "gradient_accumulation_steps": "training.micro_batch_size",
    "max_grad_norm": "training.clip",
    "logging_steps": "training.log_every",
    "eval_steps": "training.eval_every",
    "eval_strategy": "training.eval_every",
    "evaluation_strategy": "training.eval_every",
    "save_steps": "training.checkpoint_every",
    "save_total_limit": "training.keep_checkpoints",
    "patience": "training.early_stopping.patience",
    "early_stopping_patience": "training.early_stopping.patience",
    "weight_decay": "optimizer.weight_decay",
    "warmup_ratio": "optimizer.warmup",
    "warmup_steps": "optimizer.warmup",
    "lr_scheduler_type": "optimizer.schedule",
    "optim": "optimizer",
    "fp16": "hardware.precision=fp16",
    "bf16": "hardware.precision=bf16",
    "no_cuda": "hardware=cpu",
    "use_cpu": "hardware=cpu",
    "torch_compile": "hardware.compile",
    "fsdp": "hardware=fsdp",
    "gpus": "hardware.processes",
    "num_gpus": "hardware.processes",
    "num_processes": "hardware.processes",
    "nproc_per_node": "hardware.processes",
    "nnodes": "hardware.nodes",
    "rdzv_endpoint": "hardware.endpoint",
    "device": "hardware.device",
    "precision": "hardware.precision",
    "model_name_or_path": "model.path (with model=custom)",
    "model_path": "model.path (with model=custom)",
    "dataset_name": "task.dataset",
    "dataset": "task.dataset",
    "dataset_config_name": "task.subset",
    "task_name": "task",
    "train_file": "task.train",
    "dev": "task.validation",
    "eval": "task.validation",
    "val": "task.validation",
    "validation_file": "task.validation",
    "test_file": "task.test",
    "dropout": "model.dropout",
    "classifier_dropout": "model.dropout",
    "pooling": "model.pooling",
    "pooling_mode": "model.pooling",
    "max_seq_length": "task.max_length",
    "max_length": "task.max_length",
    "max_source_length": "task.max_length",
    "max_target_length": "task.max_target_length",
    "max_new_tokens": "task.max_target_length",
    "num_beams": "task.beams",
    "no_repeat_ngram_size": "task.no_repeat_ngram",
    "source_prefix": "task.prompt",
    "max_train_samples": "task.limit",
    "text_column_name": "task.text",
    "label_column_name": "task.label",
    "output_dir": "hydra.run.dir",
    "directory": "hydra.run.dir",
    "random_seed": "seed",
    "random_state": "seed",
    "manual_seed": "seed",
    "resume_from_checkpoint": "resume=<run folder>",
    "freeze_encoder": "freeze=trunk",
    "use_lora": "adapter=lora",
    "use_peft": "adapter=lora",
    "peft_type": "adapter",
    "rank": "adapter.rank (with adapter=lora)",
    "alpha": "adapter.alpha (with adapter=lora)",
    "targets": "adapter.targets (with adapter=lora)",
    "r": "adapter.rank (with adapter=lora)",
    "lora_r": "adapter.rank (with adapter=lora)",
    "lora_rank": "adapter.rank (with adapter=lora)",
    "lora_alpha": "adapter.alpha (with adapter=lora)",
    "lora_dropout": "adapter.dropout (with adapter=lora)",
    "target_modules": "adapter.targets (with adapter=lora)",
    "layers": "freeze.layers (with freeze=bottom)",
}


def did_you_mean(typed: str, known: Collection[str], options: bool = False) -> str:
    """' Did you mean ...?' for the nearest of `known`, or an empty string.

    Options are compared by their last part, for the path before it is what they share, and may be known from elsewhere.
    """
    typed, *others = [name.lower().rpartition(".")[2] if options else name.lower() for name in (typed, *known)]
    if options and typed in ALIASES:
        return f" Did you mean '{ALIASES[typed]}'?"
    names = dict(zip(others, known, strict=True))
    near = [names[name] for name in others if sorted(name) == sorted(typed)]  # letters that have changed places
    near += [names[name] for name in get_close_matches(typed, names, n=1, cutoff=0.6)]
    if options and not near:
        near = [ALIASES[name] for name in get_close_matches(typed, ALIASES, n=1, cutoff=0.8)]
    return f" Did you mean '{near[0]}'?" if near else ""
