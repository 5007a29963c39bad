"""What was typed, looked at before Hydra does: dashes, blanks and signs that a shell or an editor has put in."""

import re
from collections.abc import Sequence

from tl_run.config.names import ALIASES, did_you_mean
from tl_run.errors import BadOption

SWITCHES = {"--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m", "--plan"}
SWITCHES |= {"--shell-completion", "-sc", "--info", "-i"}
VALUED = {"--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"}
"""Hydra's own flags, and `--plan`. Not `--experimental-rerun`, which reads a pickle."""

LOOKALIKES = str.maketrans({**dict.fromkeys("‐‑‒–—−", "-"), **dict.fromkeys("“”„", '"'), **dict.fromkeys("‘’‚", "'")})
NAME = r"[A-Za-z_][\w./@-]*"


def check_typed(arguments: Sequence[str], options: Sequence[str]) -> None:
    """Raises: BadOption, with what to type, for what is neither flag nor override; `options` are those of a run."""
    left = [*arguments]
    while left:
        argument, following = left.pop(0), left[0] if left else ""
        if re.match(r"[‐‑‒–—−]", argument):
            dashed = "--" + argument.lstrip("-‐‑‒–—−") if len(argument) > 2 else "-" + argument[1:]
            raise BadOption(f"'{argument}' begins with a dash that is not '-', as texts have it: type {dashed}")
        flag = argument.partition("=")[0]
        if argument.startswith("-"):
            if flag in VALUED and "=" not in argument:
                if not left:
                    raise BadOption(f"{flag} needs a value: type {flag} <value>, or tl-run --hydra-help")
                left.pop(0)
            elif flag not in SWITCHES | VALUED:
                raise BadOption(_flag(argument, following, options))
        elif re.fullmatch(rf"[+~]*{NAME}=", argument) and _word(following):
            raise BadOption(f"'{argument} {following}': between them must be no space: type {argument}{following}")
        elif argument.endswith(",") and "=" in argument:
            rest = following if _word(following) else ""
            typed = f"{argument}{rest}, with no space" if rest else f"{argument.rstrip(',')}, without it"
            raise BadOption(f"'{argument}' ends in a comma: type {typed}")
        elif "=" not in argument and not argument.startswith("~"):
            raise BadOption(_word_alone(argument, following, left))
        elif argument.startswith("="):
            raise BadOption(f"'{argument}' cannot be read as option=value: the option is missing, as in seed{argument}")


def quoted(argument: str) -> str:
    """With letters beyond ASCII in quotes, which Hydra wants there: `task.train=größe.csv`, 中文.csv."""
    name, equals, value = argument.partition("=")
    if not equals or value.isascii() or re.search(r"""['"$\\(){}\[\]]""", value) or lookalikes(value):
        return argument
    return name + equals + ",".join(part if part.isascii() else f"'{part}'" for part in value.split(","))


def lookalikes(override: str) -> str | None:
    """The override with ASCII in place of signs that only look like it, or None where there are none."""
    plain = override.translate(LOOKALIKES).replace("\u00a0", "")
    return plain if plain != override else None


def _flag(argument: str, following: str, options: Sequence[str]) -> str:
    """What to say of a flag that is none: an option with dashes before it, or a flag misspelt."""
    name, equals, value = argument.lstrip("-").partition("=")
    value = value if equals else following if _word(following) else "..."
    if name == "experimental-rerun":
        return "--experimental-rerun would read a pickle, and none is ever read: type resume=<run folder>"
    name = name.replace("-", "_")
    if name not in options and name in ALIASES:
        option = ALIASES[name]
        typed = option if "=" in option or " " in option else f"{option}={value}"
    elif name in options:
        typed = f"{name}={value}"
    else:
        near = did_you_mean(argument.partition("=")[0], sorted(SWITCHES | VALUED))
        near = near or did_you_mean(name, options, options=True)
        return f"there is no flag '{argument}'.{near}\n  options are typed without dashes, as in training.epochs=3"
    return f"there is no flag '{argument}': options are typed without dashes: type {typed}"


def _word_alone(argument: str, following: str, left: Sequence[str]) -> str:
    said = f"'{argument}' cannot be read as option=value"
    if following == "=" and len(left) > 1:
        return f"'{argument} = {left[1]}': around '=' must be no space: type {argument}={left[1]}"
    if colon := re.fullmatch(rf"({NAME}):\s*(.+)", argument):
        return f"{said}: type {colon[1]}={colon[2]}"
    if re.fullmatch(NAME, argument) and _word(following):
        return f"{said}: type {argument}={following}"
    return (
        f"{said}: type <option>={argument}; if it belongs to a value with a blank in it, put that in quotes twice:\n"
        "  'task.train=\"my file.csv\"'"
    )


def _word(following: str) -> bool:
    """Whether it is a value that stands alone, and no option of its own."""
    return bool(following) and "=" not in following and not following.startswith("-")
