"""Numbers within bounds."""

from typing import Annotated

from tl_run.config.schema import Range

Count = Annotated[int, Range(at_least=1)]
Whole = Annotated[int, Range(at_least=0)]
Share = Annotated[float, Range(above=0, below=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(at_least=0)]
