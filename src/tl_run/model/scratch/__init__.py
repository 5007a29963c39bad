"""Models that begin with nothing: small networks of our own, with a vocabulary built from the training texts."""


def register() -> None:
    """Make them known to transformers' Auto classes; again does nothing."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForPreTraining,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    from tl_run.model.scratch import heads, transe
    from tl_run.model.scratch.trunk import ScratchConfig, ScratchModel

    AutoConfig.register(ScratchConfig.model_type, ScratchConfig, exist_ok=True)
    AutoModel.register(ScratchConfig, ScratchModel, exist_ok=True)
    AutoConfig.register(transe.TransEConfig.model_type, transe.TransEConfig, exist_ok=True)
    AutoModel.register(transe.TransEConfig, transe.TransEModel, exist_ok=True)
    AutoModelForCausalLM.register(ScratchConfig, heads.ScratchForCausalLM, exist_ok=True)
    AutoModelForMaskedLM.register(ScratchConfig, heads.ScratchForMaskedLM, exist_ok=True)
    AutoModelForPreTraining.register(ScratchConfig, heads.ScratchForPreTraining, exist_ok=True)
    AutoModelForSequenceClassification.register(ScratchConfig, heads.ScratchForSequenceClassification, exist_ok=True)
    AutoModelForTokenClassification.register(ScratchConfig, heads.ScratchForTokenClassification, exist_ok=True)
