"""The model card of a saved model: what it is, where it came from, what it scored, in the hub's format."""

import json
from typing import Any

import yaml

from tl_run.model.scratch.folder import MODEL_TYPE as SCRATCH

PIPELINE = """```python
from transformers import pipeline
pipeline("{kind}", model="<this folder>")
```
"""
REGISTERED = "```python\nimport tl_run\ntl_run.register()  # transformers does not know this model by itself\n"
OWN_HEAD = """No class of transformers has this head: `pipeline()` would put an untrained one in its place. It loads so:

```python
import tl_run
model, tokenizer = tl_run.load_model("<this folder>")
inputs = tokenizer(["a text"], padding=True, return_tensors="pt")
logits = model(**inputs).logits  # model.config.id2label
```
"""
SENTENCES = """```python
from sentence_transformers import SentenceTransformer
vectors = SentenceTransformer("<this folder>").encode(["a text", "another"])
```

Without sentence-transformers:

```python
import tl_run
model, tokenizer = tl_run.load_model("<this folder>")
inputs = tokenizer(["a text", "another"], padding=True, truncation=True, max_length={length}, return_tensors="pt")
vectors = model(**inputs).vectors
```
"""


def card(job: Any, result: dict[str, Any]) -> str:
    """README.md of a model folder. A dataset or base model is linked only when it has a hub id."""
    options = job.options
    metric = result["metric"]
    base = options.model.path if job.commits.get("model") else None
    dataset = options.task.dataset if job.commits.get("dataset") else None
    adapter = [] if options.adapter.name == "none" else [options.adapter.name]
    sentences = job.task.pipeline == "sentence-similarity"
    stock = options.model.head == "stock" and not job.task.pooling
    front: dict[str, Any] = {
        "library_name": "sentence-transformers" if sentences else "transformers" if stock else "tl-run",
        "pipeline_tag": job.task.pipeline,
        **({"base_model": base} if base else {}),
        **({"datasets": [dataset]} if dataset else {}),
        "tags": ["tl-run", options.transfer.name, f"freeze-{options.freeze.name}", *adapter],
    }
    scores = "\n".join(
        f"| {split} | {name} | {value:.4f} |"
        for split in ("validation", "test")
        for name, value in (result[split] or {}).items()
    )
    use = (job.task.usage or PIPELINE.format(kind=job.task.pipeline)) if stock else OWN_HEAD
    if json.loads((job.model_folder / "config.json").read_text(encoding="utf-8")).get("model_type") == SCRATCH:
        use = use.replace("```python\n", REGISTERED)
    use += f"\n{job.task.input_note}\n" if job.task.input_note else ""
    if sentences:
        use = SENTENCES.format(length=options.task.max_length)
    if options.model.head == "svm":
        use += "\nThe logits are decision values; a softmax over them gives no calibrated probabilities.\n"
    labels = f"Labels: {', '.join(job.task.labels)}. " if job.task.labels else ""
    parameters, source = result["parameters"], options.model.path or "from nothing"
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---
# {options.task.name}: {options.model.name}, {options.transfer.name}

Made by tl-run: `{source}` moved over to the task *{options.task.name}* ({options.transfer.name},
freeze={options.freeze.name}, adapter={options.adapter.name}, head={options.model.head}, seed {options.seed});
{parameters["trainable"]:,} of {parameters["total"]:,} parameters learned.
{labels}{job.task.reading}

| split | metric | value |
| --- | --- | --- |
{scores}

The model of step {result["best_step"]} was chosen by {metric["name"]} on validation; the test split was scored once.

{use}"""
