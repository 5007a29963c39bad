"""Makes the embedded demonstration model, vocabulary and weights, from reviews with stars: one seeded command.

    python scripts/pretrain/pretrain_tiny.py --wikitext train.txt test.txt --output src/tl_run/embedded/tiny

Two objectives: stars of reviews, read from the pooler, and masked words. No review of a film occurs: those are the
target.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin cost a tiny model many times its own work

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grammar
import torch
from safetensors.torch import save_file
from tokenizers import normalizers, pre_tokenizers
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel, BertTokenizer

HERE = Path(__file__).parent
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MAX_LENGTH = 128
LANGUAGES = ("en", "zh")
# Four and two stars come from people with a reservation: less certain, yet on the same side.
LIKED = {1: 0.02, 2: 0.1, 3: 0.5, 4: 0.9, 5: 0.98}
# Everyday characters that GB 2312 counts among the rare ones.
SPOKEN_HANZI = "噗悚攥痨癖臊嘿噢喔啧哇唉呃咦嗯噩嗑瞌嘟嘀咕呱嘈喃蹭瘾饕餮饪馋懵怼嗨谧瑕疵氛熠璨娓斐绚馈惬憩孜"


def read_reviews(language: str, folder: Path) -> list[dict]:
    lines = (folder / f"source_{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def read_wikitext(paths: list[Path]) -> list[str]:
    """Paragraphs without headings; the marks of the corpus's own tokenizer undone."""
    lines = [line.strip() for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        line.replace(" @-@ ", "-").replace(" @,@ ", ",").replace("<unk>", "[UNK]") for line in lines if len(line) > 80
    ]


def is_hanzi(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def common_hanzi() -> set[str]:
    """The 3755 characters of GB 2312, level 1: what everyday Chinese is written with."""
    cells = (bytes([row, cell]) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return {character for cell in cells if (character := cell.decode("gb2312", errors="ignore"))}


def frequent_pieces(words: list[str], count: int) -> set[str]:
    """The commonest beginnings and endings of words. The trainer of `tokenizers` breaks ties anew in every process."""
    starts = Counter(word[:n] for word in words for n in range(3, 7) if len(word) > n)
    ends = Counter(f"##{word[-n:]}" for word in words for n in range(2, 6) if len(word) > n + 1)
    commonest = (sorted(pieces, key=lambda piece: (-pieces[piece], piece))[:count] for pieces in (starts, ends))
    return set().union(*commonest)


def build_vocabulary(reviews: dict[str, list[dict]], wikitext: list[str]) -> dict[str, int]:
    """Whole words where our texts or the lexicon use them, pieces for the rest, single characters for Chinese."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()

    def words(texts: list[str]) -> Counter:
        return Counter(w for text in texts for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))

    own = [row["text"] for row in reviews["en"]]
    invented = words([row["text"] for row in grammar.reviews("en", 30_000, seed=0)])

    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    characters += [*"，。！？；：、（）《》“”‘’…—·～•–", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]
    written = {c for row in reviews["zh"] for c in row["text"] if is_hanzi(c)}
    hanzi = sorted(common_hanzi() | written | set(SPOKEN_HANZI))
    written_words = words(own)
    often = [(written_words, 2), (invented, 3), (words(wikitext), 40)]
    chosen = {w for counts, least in often for w, n in counts.items() if n >= least}
    chosen |= frequent_pieces([w for w in {**written_words, **invented} if w.isalpha()], count=700)
    chosen = {w for w in chosen if all(c < "\u3000" for c in w)} - set(SPECIAL) - set(characters)
    return {token: i for i, token in enumerate([*SPECIAL, *characters, *sorted(chosen), *hanzi])}


class Pretraining(nn.Module):
    """The encoder, a masked-word head tied to its embeddings, and one logit, `liked`, read from the pooler."""

    def __init__(self, config: BertConfig):
        super().__init__()
        size = config.hidden_size
        self.bert = BertModel(config)
        self.transform = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.LayerNorm(size))
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.liked = nn.Sequential(nn.Dropout(0.1), nn.Linear(size, 1))

    def forward(self, batch: dict[str, torch.Tensor], hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`hidden`, (batch, tokens), marks words to guess. Returns (hidden words, vocabulary) and `liked`, (batch,)."""
        output = self.bert(**batch)
        guess = self.transform(output.last_hidden_state[hidden])
        words = F.linear(guess, self.bert.embeddings.word_embeddings.weight, self.word_bias)
        return words, self.liked(output.pooler_output).squeeze(-1)


def hide_words(
    ids: torch.Tensor, vocabulary: int, generator: torch.Generator, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's recipe (arXiv 1810.04805, section 3.1): of the chosen 80 % become [MASK], 10 % another word, 10 % stay."""
    chosen = (torch.rand(ids.shape, generator=generator) < share) & (ids >= len(SPECIAL))
    chance = torch.rand(ids.shape, generator=generator)
    other = torch.randint(len(SPECIAL), vocabulary, ids.shape, generator=generator)
    masked = torch.where(chosen & (chance < 0.8), SPECIAL.index("[MASK]"), ids)
    return torch.where(chosen & (chance >= 0.9), other, masked), chosen


def patchwork(reviews: dict[bool, list[dict]], language: str, generator: random.Random) -> tuple[str, float]:
    """Scraps of two to five reviews in a row, and how many praise: words must count, not known sentences."""
    gap, lean, scraps = " " * (language == "en"), generator.random() < 0.5, []
    praise = [(generator.random() < 0.8) == lean for _ in range(generator.randint(2, 5))]
    for good in praise:
        text = generator.choice(reviews[good])["text"]
        words, length = text.split() if gap else list(text), generator.randint(3, 10 if gap else 12)
        start = generator.randrange(max(1, len(words) - length + 1))
        scraps.append(gap.join(words[start : start + length]))
    return gap.join(scraps), 0.1 + 0.8 * sum(praise) / len(praise)


def draw(reviews: dict[str, list[dict]], counts: dict[str, int], share: float, generator: random.Random):
    """(text, liked) of written reviews, a `share` of them as patchwork, and of reviews invented anew."""
    for language in LANGUAGES:
        sides = {
            good: [r for r in reviews[language] if (r["stars"] > 3) == good and r["stars"] != 3]
            for good in (True, False)
        }
        for _ in range(counts[language]):
            row = generator.choice(reviews[language])
            patch = generator.random() < share
            yield patchwork(sides, language, generator) if patch else (row["text"], LIKED[row["stars"]])
        for row in grammar.reviews(language, counts[f"invented_{language}"], seed=generator.getrandbits(32)):
            yield row["text"], LIKED[row["stars"]]


def review_batches(reviews, counts, share: float, tokenizer, generator: random.Random) -> Iterator[tuple]:
    """Batches of one size, (inputs, liked), filled by length so that little of them is padding."""
    size, pool = sum(counts.values()), 6
    while True:
        rows = [row for _ in range(pool) for row in draw(reviews, counts, share, generator)]
        rows.sort(key=lambda row: len(row[0]) * (4 if is_hanzi(row[0][0]) else 1))
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        generator.shuffle(batches)
        for batch in batches:
            texts, liked = zip(*batch, strict=True)
            encoded = tokenizer(list(texts), truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
            yield dict(encoded), torch.tensor(liked)


def wikitext_batches(texts: list[str], tokenizer, size: int, length: int, generator: random.Random) -> Iterator[dict]:
    """Stretches of running text in two halves, so that the second token type is learnt too."""
    stream = [i for text in texts for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
    half = (length - 3) // 2
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    types = torch.tensor([0] * (half + 2) + [1] * (half + 1)).expand(size, -1)
    while True:
        starts = [generator.randrange(len(stream) - 2 * half) for _ in range(size)]
        rows = [[cls, *stream[s : s + half], sep, *stream[s + half : s + 2 * half], sep] for s in starts]
        yield {"input_ids": torch.tensor(rows), "token_type_ids": types, "attention_mask": torch.ones_like(types)}


def pretrain(arguments: argparse.Namespace) -> tuple[BertModel, BertTokenizer, list[dict[str, float]]]:
    """Returns the encoder with its pooler, its tokenizer, and one record per step."""
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    generator, masks = random.Random(arguments.seed), torch.Generator().manual_seed(arguments.seed)
    reviews = {language: read_reviews(language, arguments.texts) for language in LANGUAGES}
    wikitext = read_wikitext(arguments.wikitext)
    vocabulary = build_vocabulary(reviews, wikitext)
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=MAX_LENGTH)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=128,
        num_hidden_layers=arguments.layers,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=0,
    )
    model = Pretraining(config).train()
    print(f"{len(vocabulary)} words, {sum(p.numel() for p in model.bert.parameters()):,} parameters", flush=True)

    steps, warmup = arguments.steps, max(1, arguments.steps // 12)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    counts = dict(zip(("en", "invented_en", "zh", "invented_zh"), arguments.mix, strict=True))
    rated = review_batches(reviews, counts, arguments.patchwork, tokenizer, generator)
    running = wikitext_batches(wikitext, tokenizer, 16, 96, generator) if wikitext else None
    records, begin = [], time.perf_counter()
    for step in range(steps):
        batch, target = next(rated)
        batch["input_ids"], hidden = hide_words((ids := batch["input_ids"]), len(vocabulary), masks, 0.15)
        guesses, liked = model(batch, hidden)
        words, stars = F.cross_entropy(guesses, ids[hidden]), F.binary_cross_entropy_with_logits(liked, target)
        # With both from the first step on the masked words win, and the pooler stays at chance for a thousand steps.
        share = min(max(step / steps - arguments.stars_first, 0.0) / 0.1, 1.0)
        loss = share * words + 4 * stars
        if running and share and step % arguments.wikitext_every == 0:
            plain = next(running)
            plain["input_ids"], hidden = hide_words((ids := plain["input_ids"]), len(vocabulary), masks, 0.15)
            loss = loss + share * F.cross_entropy(model(plain, hidden)[0], ids[hidden])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        right = ((liked > 0) == (target > 0.5)).float().mean().item()
        records.append({"loss": loss.item(), "words": words.item(), "stars": stars.item(), "right": right})
        if step % 100 == 99 or step == steps - 1:
            mean = {name: sum(r[name] for r in records[-100:]) / len(records[-100:]) for name in records[-1]}
            values = " ".join(f"{name} {value:.3f}" for name, value in mean.items())
            print(f"step {step + 1} {time.perf_counter() - begin:.0f} s {values}", flush=True)
    return model.bert.eval(), tokenizer, records


def save(bert: BertModel, tokenizer: BertTokenizer, folder: Path) -> None:
    """Half precision halves the package; the config says float32, so that a CPU does not compute in halves."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: tensor.half().contiguous() for name, tensor in bert.state_dict().items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    bert.config.architectures, bert.config.dtype = ["BertModel"], "float32"
    bert.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--texts", type=Path, default=HERE / "texts", help="folder with source_en.jsonl, source_zh.jsonl"
    )
    parser.add_argument("--wikitext", type=Path, nargs="*", default=[], help="running text for the masked words")
    parser.add_argument("--output", type=Path, help="folder for the model; nothing is saved without it")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--layers", type=int, default=2)
    names = "written en, invented en, written zh, invented zh"
    parser.add_argument("--mix", type=int, nargs=4, default=[56, 10, 44, 20], help=f"reviews per batch: {names}")
    parser.add_argument("--patchwork", type=float, default=0.3, help="share of the written reviews that are patchwork")
    parser.add_argument(
        "--stars-first", type=float, default=0.15, help="share of the steps before the masked words join"
    )
    parser.add_argument("--wikitext-every", type=int, default=4, help="steps between two batches of running text")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> list[dict[str, float]]:
    arguments = parse(argv)
    bert, tokenizer, records = pretrain(arguments)
    if arguments.output:
        save(bert, tokenizer, arguments.output)
    return records


if __name__ == "__main__":
    main()
