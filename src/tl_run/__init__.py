"""tl-run: one command runs one transfer-learning experiment from one config."""

__version__ = "0.1.0"
