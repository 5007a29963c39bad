"""The arguments of the commands beside `tl-run`; what is wrong with them is told in one line, as all mistakes are."""

import argparse
from typing import NoReturn

from tl_run.config.names import did_you_mean
from tl_run.errors import BadOption


class Arguments(argparse.ArgumentParser):
    """An ArgumentParser that raises BadOption in place of printing its usage, and names the option that is near."""

    def error(self, message: str) -> NoReturn:
        """Raises: BadOption."""
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0]
        near = did_you_mean(unknown, self._option_string_actions) if unknown else ""
        raise BadOption(f"{message}.{near}\n  {self.prog} --help lists what there is")
