"""The page of tl-explain: texts with what each word adds, and the layers as pictures. It needs nothing else."""

from html import escape

from tl_run import __version__
from tl_run.explain import probes
from tl_run.explain.attribution import TOLERANCE
from tl_run.explain.content import Explanation, Layers, Told
from tl_run.report import pictures
from tl_run.report.page import figure, frame, grid
from tl_run.report.series import Curve, Point

CSS = """
.example{border:1px solid var(--line);border-radius:.5rem;background:var(--card);padding:.75rem 1rem;margin:.75rem 0}
.example p{margin:.3rem 0}
.text{font-size:1.1rem;line-height:1.9;overflow-wrap:anywhere}
.for,.against{padding:.1em 0;border-bottom:2px solid transparent}
.for{background:rgb(0 114 178/var(--a));border-bottom:2px solid rgb(0 114 178/calc(2*var(--a)))}
.against{background:rgb(213 94 0/var(--a));border-bottom:2px dashed rgb(213 94 0/calc(2*var(--a)))}
"""
STRONG = 0.5  # how opaque the colour of the strongest word is; text stays legible on it


def page(found: Explanation) -> str:
    """The whole page."""
    about = escape(f"tl-explain {__version__} · {found.title}")
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    told = "".join(map(_example, found.told))
    body = f"""<h2>Which words spoke for it</h2><p class="answer">{escape(found.score)}</p>
{f'<ul class="cautions">{notes}</ul>' if notes else ""}
<p><span class="for" style="--a:{STRONG}">for it, solid line</span>
<span class="against" style="--a:{STRONG}">against it, dashed line</span></p>{told}
<p class="note">Integrated gradients (<a href="https://arxiv.org/abs/1703.01365">arXiv:1703.01365</a>) by the word
embeddings: what each word adds to the output as against a text of which every word is {escape(found.baseline)}; special
tokens stay. All words together add the change of the output, within {100 * TOLERANCE:g} % where nothing else is said. A
colour is as strong as the word's share of the strongest in its text.</p>
{_layers(found.layers)}"""
    return frame(f"Why: {found.title}", about, body, CSS)


def _example(told: Told) -> str:
    most = max((abs(word.score) for word in told.words), default=0) or 1
    shown = "".join(
        f'{escape(word.before)}<span class="{"for" if word.score > 0 else "against"}" '
        f'style="--a:{STRONG * abs(word.score) / most:.3f}" title="{word.score:+.4f}">{escape(word.text)}</span>'
        for word in told.words
    )
    strongest = " · ".join(f"{escape(word.text)} {word.score:+.2f}" for word in told.strongest)
    return (
        f'<article class="example"><p class="soft">{escape(told.id)}: {escape(told.says)}</p>'
        f'<p class="text">{shown}</p><p class="note">{strongest}</p>'
        f'<p class="note">{escape(told.completeness)}</p></article>'
    )


def _layers(layers: Layers) -> str:
    made = []
    curves = [
        Curve(name, [Point(layer, own) for layer, own in enumerate(scores)])
        for name, scores in (("before fine-tuning", layers.before), ("after", layers.after))
        if scores
    ]
    if curves and layers.floor is not None:
        depth = len(curves[0].points)
        if layers.metric != "spearman":
            curves.append(Curve("the largest class", [Point(layer, [layers.floor]) for layer in range(depth)]))
        made.append(figure("What a linear probe reads", pictures.curves(curves, f"probe: {layers.metric}", "layer")))
    if layers.alike:
        curve = Curve("before and after", [Point(layer, [own]) for layer, own in enumerate(layers.alike)])
        made.append(figure("What fine-tuning left alike", pictures.curves([curve], "linear CKA", "layer")))
    if not made:
        return ""
    said = "".join(f"<li>{escape(words)}</li>" for words in layers.sentences)
    model = "ridge regression" if layers.metric == "spearman" else "logistic regression"
    return f"""<h2>Layer by layer</h2><ul>{said}</ul><div class="pictures">{"".join(made)}</div>{grid(layers.table)}
<p class="note">Layer 0 is the output of the embeddings; a text is the mean of its tokens' states, of
{layers.examples:,} examples. Probe (<a href="https://arxiv.org/abs/1610.01644">arXiv:1610.01644</a>): {model} on
standardized states (C={probes.STRENGTH:g}), taught on one half of the file and scored on the other, both ways, for
{probes.SEEDS} ways to halve it: the mean, and as a band the lowest and highest. Linear CKA
(<a href="https://arxiv.org/abs/1905.00414">arXiv:1905.00414</a>): 1 where states are the same up to rotation and
scale.</p>"""
