"""The model folder that a run leaves, and the model that comes back from it."""

from pathlib import Path
from typing import Any

import transformers

from tl_run.errors import BadInput, Failure
from tl_run.model import heads, scratch, two_towers
from tl_run.model.design import DESIGN
from tl_run.model.folder import FILES
from tl_run.model.reading import DATA_ONLY, first_line, no_pooler, processor, quiet, read_config
from tl_run.model.scratch import graph

AUTO_CLASSES = (  # of the kinds of task
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModelForMaskedLM",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
)


def save(folder: Path, model: Any, tokenizer: Any, card: str) -> None:
    """Write weights in fp32, label names, tokenizer, card; with a stock head `transformers` loads them by itself."""
    quiet()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")


def load_model(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer (image processor, names) that a run has saved, whatever its head; see `tl_run.load_model`."""
    quiet()
    scratch.register()
    if (folder / two_towers.MARK).is_file():
        return two_towers.restore(folder)
    ours = (folder / DESIGN).is_file()
    try:
        others = (what for what in ("image processor", "names") if (folder / FILES[what][0]).is_file())
        tokenizer = processor(folder, next(others, "tokenizer"))
        config = read_config(folder)
        auto = transformers.AutoModel if ours or config.model_type == graph.MODEL_TYPE else _auto_class(config)
        if auto is None:
            raise BadInput(f"{folder}: {config.architectures} is no model that a run has saved")
        model = auto.from_pretrained(
            folder, config=config, use_safetensors=True, **DATA_ONLY, **no_pooler(auto, config)
        )
    except Failure:
        raise
    except Exception as problem:  # transformers raises OSError, ValueError, KeyError and its backends' own
        raise BadInput(f"{folder} cannot be loaded: {first_line(problem)}") from problem
    if ours:
        model = heads.restore(model, folder)
    return model.eval(), tokenizer


def _auto_class(config: Any) -> Any:
    """The Auto class that makes what the folder names of its config: of T5ForConditionalGeneration that of seq2seq."""
    named = (config.architectures or [""])[0]
    for auto in (getattr(transformers, name) for name in AUTO_CLASSES):
        found = auto._model_mapping.get(type(config), ())
        if named in [kind.__name__ for kind in (found if isinstance(found, tuple) else (found,))]:
            return auto
    return None
