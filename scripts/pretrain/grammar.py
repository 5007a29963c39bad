"""Invents reviews with stars, in English and Chinese, of anything but films: more words of praise and blame.

The lexicons (TOML beside this file) hold the words, the rules below what negation, contrast and hindsight do to them.
Films are left out on purpose: they are the target.
"""

import random
import re
import tomllib
from pathlib import Path

# A rule is a list of lines, one of which is drawn. [a|b] draws again, <name> fills in a rule or a word of the same
# tone, <-name> one of the opposite tone; `name +` and `name -` hold the lines that suit praise or blame alone.
RULES_EN = """
review:
<clauses> <filler>
<filler><clauses>
<clauses> <clauses>
<clause>[ and |, and | - |: | because |; ]<clause>.
<-clause>[, but | but |, yet |. still, |. and yet |. however, |; nevertheless ]<clause>. [|<clause>.]
[despite the|for all its|apart from some|even with the] <-qualities>, <clause>. [|<clause>.]
[although|even though|while] the <part> is <-adjectives>, <clause>. [|<clause>.]
<clause>, [despite the|for all its] <-qualities>.
<clause>, [although|even though] the <parts> are <-adjectives>.
<rumour> <-adjectives>; [i disagree|i do not agree|not so|not to me|they are wrong]. <clause>.

clauses:
<clause>.
<clause>. <clause>.
<clause>[!|...|;] <clause>. <clause>.

clause:
[<made>|<made>|<made>|<made>|<made>|<idioms>]

made:
the <part> is <very><adjectives>
the <parts> are <very><adjectives>
the <part> was <adjectives> and the <parts> <adjectives>
<adjectives>, <adjectives> and <adjectives>
<it> is <very><adjectives>
<very><adjectives>
[|what |it is ]a(n) <adjectives> <whole>
a(n) <adjectives>, <adjectives> <whole>
a(n) <adjectives> <part> and <adjectives> <parts>
<adjectives> from start to finish
as <adjectives> as it is <adjectives>
one of the most <adjectives> <whole>s i know
<nouns>
[what|it is|simply] a(n) <nouns>
a(n) <adjectives> <nouns>
a(n) <nouns> of a(n) <whole>
i <experiencer_verbs> [<it>|it|the <part>|the <parts>|every minute of it]
[<it>|the <part>] <thing_verbs>
<thing_verbs>
<adverbs> <done>
<adverbs> <done> and <adverbs> <done>
<it> [is full of|has|is packed with|is brimming with|overflows with|offers plenty of] <qualities>
full of <qualities> and <qualities>
<it> [lacks|has no|is devoid of|is free of|has none of the|is without|avoids] <-qualities>
[no|not a trace of|not a hint of|without any|none of the usual] <-qualities>
[it left me|we left|i came home|i was|we were|it made me feel|you will be] <feelings>
<it> is [not|never|not at all|anything but|far from|hardly] <-adjectives>
the <parts> are [not|never|anything but|hardly] <-adjectives>
not <-adjectives> in the least

made +:
i [expected|feared|was afraid of] a(n) <-nouns> and got a(n) <nouns>
i feared <it> would be <-adjectives>, but it was <adjectives>
never [|once ]did i feel <-feelings>

made -:
i [expected|hoped for|was promised] a(n) <-nouns> and got a(n) <nouns>
<it> [should have been|could have been|wants to be|tries to be|was supposed to be|pretends to be] <-adjectives>
if only <it> were [more|half as] <-adjectives>

it:
[it|this|the whole thing|the <whole>|this <whole>]

very:
[||||very |so |truly |really |simply |utterly |just |rather |quite ]

done:
[written|made|told|staged|performed|played|sung|acted|designed|built]
[cooked|served|paced|plotted|directed|produced|narrated|organised|crafted|put together]

rumour:
[everyone said it was|the critics called it|my friends find it|the advert calls it|people say it is]

filler:
[||we went there on a sunday. |i bought it for my brother. |i had a free afternoon. |it was my second time. ]
[||a friend lent it to me. |i had never heard of it before. |it arrived on tuesday. |we were a group of six. ]
[||i found it by accident. |my sister came along. |it lasts about two hours. |i read about it in the paper. ]
[||it is set in a small town by the sea. |there are twelve of them. |it was raining. |i paid the normal price. ]
"""

RULES_ZH = """
review:
<clauses>
<filler><clauses>
<clauses><clause>[。|！|]
<-clause>[，但是|，可是|，不过|。然而]<clause>[。|！|。<clause>。]
[虽然|虽说|尽管]<-clause>，[但|可|却]<clause>[。|！|，<clause>。]
除了<part><-adjectives>，<clause>[。|，<clause>。]

clauses:
<clause>[。|！|]
<clause>[，|。|！]<clause>[。|！|]
<clause>[，|。]<clause>[，|。]<clause>[。|！]

clause:
[<made>|<made>|<made>|<idioms>]

made:
<part><very><adjectives>
<part><adjectives>，<part><adjectives>
<part>和<part>都<very><adjectives>
<it><very><adjectives>
[既|]<adjectives>又<adjectives>
<very><adjectives>的[<whole>|<part>]
<adjectives>，<adjectives>，<adjectives>
<it>[是|就是|真是|简直是|算得上]<nouns>
<nouns>
[<it>|<part>]<thing_verbs>
[我|我们|真的|]<verbs>这[家|个|款|次]<whole>
<it>[充满|全是|满是|到处是|有]<qualities>
<it>[没有|毫无|缺少|看不到|一点没有]<-qualities>
[<part>|<it>][不|并不|一点也不|一点都不|绝不|算不上|谈不上|毫不]<-adjectives>
[<part>|<it>]没有那么<-adjectives>
本来以为[会|很|是]<-adjectives>，[结果|没想到|谁知|其实]<adjectives>
别人都说<-adjectives>，我[却|倒|]觉得<adjectives>

made +:
<part>[幸好|居然|竟然]<adjectives>

made -:
要是<part><-adjectives>一点就好了

it:
[|整体|这个|这<whole>|<whole>|整个]

very:
[|||很|非常|特别|真的|太|实在|确实|相当|有点]

filler:
[|周末和朋友去的，|上个月买的，|第一次来，|朋友推荐的，|给妈妈买的，|等了半个小时，|排队来的，|在网上订的，|同事送的，]
"""

# One domain a line, so that whole and parts belong together: the whole; a part; parts in the plural (English only).
DOMAINS_EN = """
hotel,place,room,stay,resort,cottage; lobby,bed,breakfast,view,bathroom,service,pool; rooms,staff,walls,beds,towels
restaurant,meal,dinner,cafe,bakery,menu; soup,sauce,bread,service,dessert,coffee; noodles,waiters,portions,cakes,chips
book,novel,story,memoir,thriller;plot,ending,prose,opening,dialogue,writing,hero;characters,chapters,poems,jokes,twists
tale,collection,biography,mystery; twist,premise,style,humour,heroine,narrator; sentences,villains,pictures,details
play,show,musical,production,opera; acting,script,cast,staging,direction,score,lead; actors,performances,costumes,songs
performance,evening,comedy,drama; pacing,set,lighting,choreography,finale,second act; dancers,jokes,scenes,leads
album,record,podcast,song,concert,audiobook; voice,melody,sound,narration,rhythm,chorus; lyrics,songs,drums,vocals
game,puzzle,adventure,app,sequel,program; story,design,interface,script,animation,music; graphics,controls,levels,menus
phone,camera,kettle,laptop,gadget,vacuum; screen,battery,build,design,lens,manual; buttons,speakers,hinges,pictures
course,lecture,class,workshop,seminar,tour; teacher,pace,material,structure,guide; examples,exercises,slides,stories
coat,chair,sofa,bag,toy,bicycle,tent; fabric,finish,stitching,colour,frame,zip; shoes,seams,wheels,straps,materials
bank,garage,salon,shop,clinic,museum; service,advice,exhibition,receptionist,manager; mechanics,prices,people,paintings
"""
DOMAINS_ZH = """
饭店,餐厅,小店,酒店,民宿,宾馆,商场; 服务,环境,味道,菜,汤,房间,早餐,态度,卫生,价格,装修,前台,服务员
书,小说,故事,绘本,散文集,传记,漫画; 情节,结局,文笔,开头,人物,对话,语言,主角,节奏,构思,翻译,反转,配角
话剧,舞剧,音乐剧,戏,演出,相声,晚会; 演员,演技,剧本,导演,台词,舞台,灯光,唱腔,配乐,主演,节奏,服装,结尾,表演
专辑,歌,演唱会,播客,有声书,广播剧; 嗓音,旋律,歌词,编曲,制作,主播,音质,主持人,选题
游戏,软件,应用,程序,手游; 画面,剧情,操作,音乐,界面,关卡,角色,配音,设计,更新,客服
手机,相机,耳机,衣服,鞋子,沙发,锅,玩具,背包; 做工,质量,电池,屏幕,材料,颜色,包装,手感,物流,售后
课,课程,讲座,培训班,展览,导游,健身房; 老师,内容,进度,案例,讲解,作业,教练,安排,气氛
"""
OPPOSITE = {"positive": "negative", "negative": "positive"}
MARK = {"positive": "+", "negative": "-"}


def split(text: str, pattern: str = r"[,\n]") -> list[str]:
    return [part.strip() for part in re.split(pattern, text) if part.strip()]


def read_rules(text: str) -> dict[str, list[str]]:
    blocks = (block.splitlines() for block in text.strip().split("\n\n"))
    return {head.removesuffix(":"): lines for head, *lines in blocks}


def read_domains(text: str) -> list[dict[str, list[str]]]:
    lines = (line.split(";") for line in text.strip().splitlines())
    return [dict(zip(("whole", "part", "parts"), map(split, line), strict=False)) for line in lines]


def read_lexicon(language: str) -> dict[str, dict[str, list[str]]]:
    """{"positive": {"adjectives": [...], ...}, "negative": {...}}"""
    tables = tomllib.loads(Path(__file__).with_name(f"lexicon_{language}.toml").read_text(encoding="utf-8"))
    return {tone: {kind: split(words) for kind, words in table.items()} for tone, table in tables.items()}


GRAMMARS = {
    "en": (read_rules(RULES_EN), read_domains(DOMAINS_EN), read_lexicon("en")),
    "zh": (read_rules(RULES_ZH), read_domains(DOMAINS_ZH), read_lexicon("zh")),
}


def invent(language: str, tone: str, draw: random.Random) -> str:
    rules, domains, lexicon = GRAMMARS[language]
    domain = draw.choice(domains)

    def fill(name: str, tone: str) -> str:
        if name in domain:
            return draw.choice(domain[name])
        if name in rules:
            return expand(draw.choice(rules[name] + rules.get(f"{name} {MARK[tone]}", [])), tone)
        return draw.choice(lexicon[tone][name])

    def expand(line: str, tone: str) -> str:
        line = re.sub(r"\[(.*?)\]", lambda match: draw.choice(match[1].split("|")), line)
        return re.sub(r"<(-?)(\w+)>", lambda match: fill(match[2], OPPOSITE[tone] if match[1] else tone), line)

    text = expand("<review>", tone)
    return re.sub(r"\ba\(n\) (?=(.))", lambda match: "an " if match[1] in "aeiou" else "a ", text).strip()


def reviews(language: str, count: int, seed: int) -> list[dict]:
    """`count` invented reviews, every other one good, each {"text", "stars", "domain"}."""
    draw = random.Random(f"{language}-{seed}")
    sides = [("positive", 5), ("negative", 1)]
    tones = (sides[i % 2] for i in range(count))
    return [{"text": invent(language, tone, draw), "stars": stars, "domain": "invented"} for tone, stars in tones]
