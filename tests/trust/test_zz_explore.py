import os, shlex, time, json
from pathlib import Path
import pytest
OK=[l.split('tl-run ',1)[1].rstrip() for l in open('/tmp/t-hostile/explore0.txt') if l.startswith('ok') ]
from test_hostile_commands import cases, folder  # noqa
@pytest.mark.parametrize("case", [c for c in cases("refused.yaml") if c.values[0]["typed"] not in OK])
def test_x(case, folder, tl_run, tmp_path, capsys, monkeypatch):
    import signal
    before = folder(case.get("files", {}))
    def no(**_): raise RuntimeError("IT TRAINS")
    monkeypatch.setattr("tl_run.run.train", no)
    t=time.time()
    signal.alarm(0)
    class TO(BaseException): pass
    def h(*a): raise TO()
    signal.signal(signal.SIGALRM,h); signal.alarm(12)
    try: code = tl_run(*shlex.split(case["typed"]))
    except BaseException as e: code = f"raised {type(e)}"
    finally: signal.alarm(0)
    out, err = capsys.readouterr()
    miss=[w for w in case["says"] if w not in err]
    left=sorted(str(p.relative_to(tmp_path)) for p in {*tmp_path.rglob("*")}-before if 'cache' not in p.parts)
    bad = miss or code != case.get("code",2) or len(err.splitlines())>3 or left or out
    with open("/tmp/t-hostile/explore.txt","a") as f:
        f.write(f"{'BAD' if bad else 'ok '} {time.time()-t:.1f}s [{code}] tl-run {case['typed']}\n")
        if bad: f.write(f"    miss {miss} left {left[:4]} out {out[-300:]!r}\n" + "".join("    | "+l[:400]+"\n" for l in err.splitlines()[:8]))
