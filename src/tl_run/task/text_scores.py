"""What a written text is worth beside its references: ROUGE by rouge-score, BLEU and chrF by sacrebleu."""

from collections.abc import Sequence

ROUGE = ("rouge1", "rouge2", "rougeL")


class Characters:
    """For rouge-score, whose own tokenizer drops all but ASCII: every character is a token, white space is none."""

    def tokenize(self, text: str) -> list[str]:
        """The characters of a text."""
        return [character for character in text.lower() if not character.isspace()]


def scores(texts: Sequence[str], references: Sequence[Sequence[str]], *, by_character: bool) -> dict[str, float]:
    """BLEU and chrF, 0 to 100 as sacrebleu has them, over the whole corpus; ROUGE, 0 to 1, the mean of F over texts.

    A text has one reference or several, of which BLEU counts n-grams of any, and chrF and ROUGE take the nearest.
    ROUGE stems English words, as the papers do (arXiv:1912.08777 and before). `by_character`: BLEU by sacrebleu's zh
    tokenizer, ROUGE by characters.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    most = max(map(len, references))
    streams = [[each[i] if i < len(each) else "" for each in references] for i in range(most)]
    bleu = BLEU(tokenize="zh" if by_character else "13a", force=True)  # force: no warning at tokenized texts
    found = {"bleu": bleu.corpus_score(texts, streams).score, "chrf": CHRF().corpus_score(texts, streams).score}
    scorer = RougeScorer([*ROUGE], use_stemmer=True, tokenizer=Characters() if by_character else None)
    rouge = [scorer.score_multi(each, text) for text, each in zip(texts, references, strict=True)]
    return found | {name: sum(score[name].fmeasure for score in rouge) / len(rouge) for name in ROUGE}
