"""Why a finished run's model says what it says: words that spoke for it, what layers know, what fine-tuning changed."""
