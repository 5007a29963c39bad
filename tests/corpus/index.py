"""All cases, in one list: `python -m corpus.index` from tests/ prints a line for each."""

from corpus import doubts, json_files, kinds, photos, questions, tables, tagged

CASES = [case for part in (tables, json_files, kinds, tagged, questions, photos, doubts) for case in part.CASES]

if __name__ == "__main__":
    for case in CASES:
        print(f"{case.verdict:<7} {case.kind:<15} {case.name:<50} {' | '.join(case.words)}")
