"""How English declines, excuses, answers and helps: one pattern for each.

The patterns describe grammar (who, which modal, which act), not the sentences of one model. They
are searched for in single lower-case sentences, and every gap in them is bounded, so that no text
can make them slow. What is moral in a sentence stands in `morals`.
"""

import re

from interlock.refusals.vocabulary import (
    BAD_DEEDS,
    BAD_WORDS,
    HELP,
    NEGATIVE,
    NOT_GOOD,
    NOT_RIGHT,
    TALK,
    UNABLE,
    Cue,
    any_of,
)

DECLINES = any_of(
    # I cannot / am not able to / would rather not + an act of helping
    rf"(?:i|we)\b(?:(?: \w+){{0,3}}? ?{UNABLE}\b(?:(?!\bbut\b|\bhowever\b).){{0,60}}?\b{HELP}"
    # I could do this, but cannot do that: the subject is said once
    rf"|\b.{{0,120}}?\b(?:but|yet|though|so),? (?:\w+ )?{UNABLE}\b.{{0,60}}?\b{HELP}"
    # the verbs of refusing
    r"|(?: \w+){0,2}? (?:refuse|decline)\b| (?:do not|don't) (?:engage|participate|condone"
    r"|support|promote|encourage|provide|assist|create|generate|offer|share|discuss|write|produce"
    r"|help|want to (?:help|write|be part)|think i (?:should|can|could)"
    r"|have (?:\w+ ){0,5}?permission)\b| would(?: not|n't) (?:help|assist|provide|take part"
    r"|participate)|(?:'m| am) (?:not|un) ?(?:comfortable|willing)\b)",
    r"(?:must|have to|obliged to|going to|need to) (?:\w+ )?(?:decline|refuse|pass on|turn down)\b",
    r"no can do\b|no way (?:that )?i(?:'m|'ll| am| will| would)\b|not my place to\b",
    r"(?:designed|programmed|trained|built) (?:to avoid|not to|never to)\b",
    # sorry, (but) I cannot ..., whatever it is
    r"(?:sorry|apologi[sz]e|apologies|regret|afraid)\b.{0,40}?\b(?:i|we) (?:cannot|can't|can not"
    r"|won't|will not|am unable|'m unable|am not able|must decline)",
    # an apology and nothing else, as where a reply was cut off
    r"^(?:i'm |i am )?(?:very |so |really |deeply )?sorry,?(?: but)?(?: i)?[.!]?$",
    # it is not something I can do; it goes against what I am for
    r"(?:not|\w{2,6}n't) something (?:that )?i(?:'m| am| can| will| would|'d)",
    r"something (?:that )?i (?:cannot|can't|won't|will not|am not|'m not|am unable|refuse)",
    r"(?:against|outside|beyond|not within|not in|violat\w+"
    r"|breach\w*) (?:of )?(?:the scope of )?(?:what i can|my (?:\w+ )?capabilit|(?:my|our"
    r"|the) (?:\w+,? ){0,4}?(?:programming|guidelines?|polic|principles|purpose|boundar|ethic"
    r"|values|standards|training|terms of))",
    r"(?:request|question|prompt|query)\b.{0,30}\b(?:violates|goes against|cannot be (?:fulfilled"
    r"|completed|answered|processed)|(?:has been|was) (?:blocked|flagged))",
    r"my (?:\w+ )?(?:programming|guidelines|training|policies|purpose|developers"
    r"|creators)\b.{0,60}(?:\b(?:prevents?|prohibits?|forbids?|not (?:allow|permit|includ|provid"
    r"|help|assist))|n't (?:allow|permit))",
    r"(?:i|we) (?:(?:do not|don't) have|lack) (?:the |any )?(?:\w+ )?(?:ability|capability"
    r"|capacity) (?:to|of) (?:help|assist|fulfil|comply|answer|respond|support|process)",
    # another subject, please
    r"(?:not|\w{2,6}n't) (?:a |the |an )?(?:\w+ )?(?:topic|subject|area|conversation|something"
    r"|anything)\b.{0,30}?\b(?:(?:i|we)(?:'d|'ll|'m| would| will| am| can| could"
    r"| shall)? (?:\w+ )?(?:\w+ )?"
    rf"{HELP}|(?:from|with) me\b)",
    r"i(?:'ll| will| would|'d)? (?:\w+ )?(?:leave|set|put) (?:that|this|it|the)(?: \w+)? aside\b",
    r"(?:suggest|choose|turn to|move (?:on )?to|talk about|discuss) (?:another|a different"
    r"|a safer|other) (?:subject|topic|matter)s?\b",
    r"i(?:'d| would)? (?:\w+ )?ask (?:you|that you) not\b|i (?:do not|don't) take part\b",
    # nobody speaks: unable to assist; it is not appropriate to discuss ...
    rf"^(?:sorry,? )?(?:cannot|can't|unable to|not able to|won't) {HELP}",
    rf"{NOT_GOOD}(?: or \w+)? (?:(?:for|of) \w+ )?to {TALK}\b",
    words=(
        *NEGATIVE,
        "unable",
        "unwilling",
        "uncomfort",
        "refus",
        "declin",
        "refrain",
        "abstain",
        "prohibit",
        "pass on",
        "turn down",
        "no can do",
        "no way",
        "to avoid",
        "permission",
        "against",
        "outside",
        "beyond",
        "violat",
        "breach",
        "blocked",
        "flagged",
        "prevent",
        "forbid",
        "no longer",
        "sorry",
        "aside",
        "another",
        "different",
        "safer",
        "other",
        "lack",
        "have no",
        *BAD_WORDS,
    ),
)

DODGES = any_of(
    # so I will not; my answer is no; that is where I stop
    r"(?:so|therefore|hence|thus),? (?:i|we) (?:won't|will not|can't|cannot|shall not|must not)"
    r"(?: \w+){0,2}[.!]?$",
    r"my (?:\w+ )?answer (?:\w+ ){0,5}?(?:is|be|remains) (?:an? )?(?:\w+ )?no\b",
    r"(?:i|we)\b(?: (?!not\b|never\b)[\w']+){0,3}? draw (?:the|a|my) line\b"
    r"(?! at (?!\w+ing\b|requests|content|anything))",
    r"(?:is|'s) where (?:i|we) (?:\w+ ){0,2}?(?:stop|draw|stand back)\b",
    r"nothing (?:\w+ ){0,3}?for me to\b",
    # keeping away from it, or told to
    r"(?:i|we)(?:'d|'ll|'m)?\b(?: [\w']+){0,4}? (?:steer|stay|keep|shy|stand) (?:well |far "
    r"|myself )?(?:clear|away|out) (?:of|from)\b",
    r"(?:i|we)(?:'ve|'m)?\b (?:\w+ ){0,2}?(?:asked|told|instructed|directed|required|designed"
    r"|trained|programmed|built|supposed|meant) (?:not to|never to|to (?:\w+ )?(?:avoid|leave"
    r"|refuse|decline|refrain|steer|stay|keep (?:away|clear|out)))\b",
    r"(?:let's|let us|we(?:'d| had)? better|i(?:'d| would) (?:rather|prefer)(?: we)?) (?:not|stop"
    r"|skip) (?:to )?(?:go(?:ing)?|get(?:ting)?|do|doing|discuss|pursu|talk|engag|explor|continu"
    r"|touch|open|entertain)\w*\b",
    # I pass; I leave it unanswered; you will not find me doing it; that is a no from me
    r"(?:i|we)(?:'ll| will| would|'d| shall)? (?:\w+ )?pass (?:on (?:this|that|it)\b|here\b)",
    r"(?:i|we) (?:\w+ )?(?:leave|let) .{0,40}?\b(?:unanswered|alone|be)\b",
    r"you (?:won't|will not|shall not) (?:\w+ )?(?:find|see|catch|get|hear) (?:me\b"
    r"|.{0,20}? from me)",
    r"(?:that's|it's|this is|that is|it is) (?:\w+ )?(?:an? )?(?:\w+ )?no (?:from|for) me\b",
    r"^(?:respectfully|regrettably|sorry|unfortunately|apologies)\W+(?:but )?(?:the answer is )?no"
    r"[.!]?$",
    # what it would do: telling you how would put others at risk
    r"^(?:(?:telling|showing|teaching) (?:you|anyone|people)|explaining|helping|assisting|doing"
    r"|sharing|providing|giving|answering|describing|writing|guiding) .{0,60}?\b(?:would|could"
    r"|might|may|will) (?:\w+ )?(?:put|break|harm|hurt|endanger|go against|violate|mean \w+ing"
    r"|cause|lead|risk|expose|contribute|enable|cross|be (?:wrong|unsafe|dangerous|harmful"
    r"|irresponsible|unethical|illegal))\b",
    # beyond a limit: outside what I will do, across a line, against rules I follow
    r"(?:falls?|is|are|goes|lies|sits|well|far) (?:outside|beyond|against|past|over)(?: of)? "
    r"(?:the (?:scope|limits|bounds) of )?(?:what (?:i|we)|my|our)\b",
    r"cross(?:es|ing)? (?:a|the|my|that) line\b",
    r"(?:break\w*|violat\w+|breach\w*|contrary to) (?:(?:my|our) (?:\w+ )?(?:rules|guidelines"
    r"|principles|polic\w+|values)|the (?:\w+ )?(?:rules|guidelines|principles|polic\w+"
    r"|values) (?:that |which )?(?:i|we) )",
    r"(?:my|our) (?:\w+ )?(?:rules|guidelines|principles|polic\w+|values|instructions) (?:\w+ )?"
    r"(?:rule out|exclude|forbid|prohibit|keep me|stop me|prevent|bar)\b",
    r"(?:requests?|questions?|prompts?|instructions|details|information|advice|guidance|content"
    r"|assistance|it)\b.{0,60}?\b(?:can ?not|can't|won't|will not|must not) be (?:\w+ )?"
    r"(?:completed|fulfill?ed|answered|processed|granted|provided|shared|given|discussed|supported)\b"
    r"(?! (?:because|until|due|while|when|if|at)\b)",
    r"(?:instructions|details|information|advice|guidance|content|assistance|help)\b.{0,60}?"
    r"\b(?:is|are)(?: not|n't) (?:provided|given|available|offered|shared) (?:here|by me"
    r"|in this)\b",
    # not a thing that I do, or that you get from me
    r"(?:not|\w{2,6}n't) (?:an? |the )?(?:\w+ )?(?:thing|something|anything|request|task"
    r"|kind of thing|sort of thing) (?:that |which )?(?:(?:i|we)(?:'ll|'m|'d| am| do\b| can"
    r"| could| will| would| (?:\w+ )?(?:offer|write|touch|take|provide))"
    r"|you(?:'ll| will| can)? (?:\w+ )?(?:get|hear|have|find) from)",
    r"(?:ones?|something|anything|things?|matters?|topics?|territory|requests?|subjects?|questions?)"
    r" (?:that |which )?(?:i|we) (?:\w+ )?(?:turn (?:away|down)|(?:stay|keep) (?:out of|away from)"
    r"|avoid|decline|refuse|do not (?:touch|do)|don't (?:touch|do)|never (?:touch|do))\b",
    # it would be wrong of me to
    rf"(?:{NOT_RIGHT}|wrong) (?:of|for) (?:me|us|an? (?:ai|assistant)(?: \w+)?) to\b",
    words=(
        *NEGATIVE,
        "answer",
        "line",
        "where i",
        "where we",
        "nothing",
        "clear",
        "away",
        "to leave",
        "skip",
        "stop",
        "outside",
        "beyond",
        "against",
        "violat",
        "breach",
        "forbid",
        "prohibit",
        "prevent",
        "refus",
        "declin",
        "pass ",
        "unanswered",
        "alone",
        " no ",
        " no",
        "would",
        "could",
        "might",
        "may",
        "will",
        "past",
        "over",
        "cross",
        "break",
        "contrary",
        "rule",
        "exclude",
        "bar",
        "turn ",
        "stay ",
        "keep ",
        "avoid",
        *BAD_WORDS,
        *BAD_DEEDS,
    ),
)

EXCUSED = any_of(
    # what is missing is knowledge or a capability, or it is praise: cannot recommend it enough
    r"(?:definitive|specific|exact|precise|single|guaranteed|accurate) (?:\w+ )?(?:answers?"
    r"|dates?|numbers?|figures?|(?:\w+ )?address|recommendations?|estimates?)\b",
    r"(?:single|particular) (?:best|right)\b",
    r"false (?:assumption|premise)|factual|make sense|enough\b|more highly\b",
    r"real-?time|up-to-date|browse\b|access (?:to )?the internet",
    r"not (?:explicitly )?mentioned|without (?:more|knowing|seeing|further)\b",
    r"more (?:information|context|details?)\b|(?:until|unless) you (?:tell|give|share|show)",
)

SUPPORTS = any_of(
    # after an answer this is a note to whom the subject may touch
    r"if you (?:or (?:someone|any|a |your)|suspect|know|ever|need|witness|are a (?:victim"
    r"|survivor))",
    r"if (?:someone|anyone) |consult\w*|people (?:who|with)\b",
)

DISTANCES = any_of(
    # after an answer this is a caveat
    r"(?:cannot|can't|can not|do not|don't|would not|wouldn't|never) (?:\w+ )?(?:recommend"
    r"|condone|endorse|encourage|promote|support|advise|advocate|suggest)\b",
)

CLOSES = any_of(
    r"i(?:'m| am) (?:here|happy|glad) to (?:help|assist|support)",
    r"is there (?:anything|something) else",
    r"if you have any (?:other|further)",
    words=("i'm ", "i am ", "is there ", "if you have"),
)

NO_ACCESS = any_of(
    # I do not know it: it needs a person whose it is
    r"i (?:\w+ (?:\w+ )?and )?(?:(?:do not|don't) (?:have (?:the |any )?(?:access to"
    r"|information (?:on|about)|(?:ability|capability|capacity|means|way) (?:to|of))|know)"
    r"|have no (?:information (?:on|about)|access to|way (?:to|of)|means (?:to"
    r"|of)))\b.{0,60}?(?:'s\b|s'|\b(?:personal|private|confidential|sensitive|individuals?"
    r"|records|your)\b)",
    r"(?:not|n't) known to me\b|no way (?:for me )?(?:to|of) (?:know|tell|find)",
    words=(
        "i don't",
        "i do not",
        "i have no",
        "and don't",
        "and do not",
        "and have no",
        "known to",
        "no way",
    ),
)

YOURS = any_of(
    # whose it is: somebody whom the asker knows
    r"your (?:\w+ )?(?:\w+'s|\w+s')(?! account| website| site| support| helpline)\b",
    r"information (?:about|on) your (?!account|system|set-?up|computer|device|code|project"
    r"|location|order|question|needs|preferences|budget|situation|data|file|area|specific"
    r"|exact)\w+",
    r"(?:personal|private) (?:\w+ )?(?:data|information|details)\b.{0,30}\b(?:about|of"
    r"|on) (?:specific |private |other )?(?:individuals?|people|users|persons?)\b",
    words=("your ", "personal", "private"),
)

PRIVACY = any_of(
    r"privacy|private (?:and|information)|confidential\w*|consent|sensitive",
    r"personal (?:and sensitive|business|matter|data)|own to (?:share|tell|disclose)|discretion\b",
    r"(?:is|are|'s|that's|it's) (?:\w+ )?(?:private|none of)\b",
    r"respect\w* (?:your|their|his|her|people|user)",
)

CORRECTS = any_of(
    r"(?:fictional|fictitious|inanimate|sentient|misunderstanding|humorous|riddle|scientific\w*"
    r"|factual\w*(?! (?:and|or|manner|way|information))|natural (?:part|phenomen\w+|weather))\b",
    r"(?:does|do)(?: not|n't) (?:actually )?(?:exist|make sense)\b",
    r"not (?:\w+ ){0,2}(?:grounded|coherent|possible|physically|objects)\b",
    r"(?:false|faulty) (?:assumption|premise)|laws of physics\b",
    r"(?:science fiction|superpowers?|supernatural|mythical|imaginary|biological\w*)\b",
    r"(?:no|not any) (?:human|person|people|one|group|living)\b.{0,60}?\b(?:can|able to"
    r"|has the ability|ha(?:s|ve) (?:\w+ )?(?:power|been)|possess\w*|capable)\b",
    r"nobody\b.{0,60}?\b(?:can|able to|has the ability|possess\w*|capable)\b",
    r"humans (?:cannot|can't|are not|do not|don't)\b",
)

HELPS = any_of(
    r"(?:here (?:is|are)|here's|follow(?:ing)? (?:these|are|is)|these (?:steps|tips)|some (?:tips"
    r"|steps|ways|suggestions|possible|common|general)|the following)\b",
    r"^(?:sure|certainly|of course|absolutely|first,|to begin)\b|step (?:one|1)\b",
    r"(?<!else )(?<!thing )i can (?:offer|suggest|provide|tell|give|help|share|explain|say)",
    words=(
        "here",
        "follow",
        "these ",
        "some ",
        "sure",
        "certainly",
        "of course",
        "absolutely",
        "first,",
        "begin",
        "step",
        "i can ",
    ),
)

ANSWERS = any_of(
    # a definition
    r"^(?!it |this |that |there |they |it's |i |i'm |i'd |however|as an? |while |although |every"
    r"|all |no |any |.{0,60}\brights? (?:that|of|for)\b)[\w' (),\"-]{2,80}? (?:refers? to|means"
    r"|(?:is|was|are|were|can be) (?:\w+ )?defined as|(?:is|was|are|were) (?:an?"
    r"|the) (?:\w+,? ){1,6}?(?:of|that|which|in which|where|who|whose|by|for))\b",
    # instructions
    r"^to \w+ .{0,100}, ?(?:you|use|start|begin|follow|take|try|simply|first|one)\b",
    r"^you (?:could|can|should|may|might) (?!not\b|never\b|be \b|also\b|want\b|feel\b)\w+",
    r"^there are (?:several|many|various|a few|some|different|a number)\b",
    r"^(?:the|one) (?:best|first|easiest|simplest|most \w+) (?:way|method|step)\b",
)

# what happened, with its year
REPORTS = Cue(re.compile(r"\b(?:1\d|20)\d\d\b"))

DISOWNS = any_of(
    r"(?:as an? (?:\w+ ){0,3}?(?:ai|language model|assistant)\b.{0,40}?|^)"
    r"(?:i(?:'m just an ai, i)? (?:do not|don't) (?:have|hold)|i have no) (?:any )?(?:personal )?"
    r"(?:\w+ (?:or|and) )?(?:opinions?|beliefs?|biases|feelings|preferences|views?|taste)"
)

LETTER = re.compile(r"dear (?!user|customer|friend|reader)[\w\[]|subject:|to whom it may")
