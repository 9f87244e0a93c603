"""How English reproves, opposes, preaches, exhorts, comforts and pledges: one pattern for each.

As in `cues`, the patterns describe grammar, and every gap in them is bounded.
"""

from interlock.refusals.vocabulary import (
    ALLOWED,
    ANY_RIGHT,
    ANY_WRONG,
    BAD_DEEDS,
    BAD_WORDS,
    BEFORE,
    CRIME,
    GOOD,
    HELPER,
    IT_IS_NOT,
    NEGATIVE,
    NOT,
    NOT_GOOD,
    NOT_RIGHT,
    TURN_TO,
    any_of,
)

REPROVES = any_of(
    # it is not appropriate; that would be illegal and unethical; I do not think it is ethical
    rf"{IT_IS_NOT}{BEFORE}{GOOD}",
    rf"(?:is|are|be|being|\w{{1,8}}'s)(?: [\w'-]+){{0,2}}? {ANY_WRONG}(?:,? and|,? or|,"
    rf"|,? but also)(?: [\w'-]+){{0,2}}? {ANY_WRONG}",
    rf"{NOT} {ANY_RIGHT} (?:or|and|nor) (?:\w+ )?{ANY_RIGHT}",
    rf"(?:do not|don't|not) (?:think|believe) (?:that )?(?:(?:it|that|this) (?:is|would be)|it's"
    rf"|that's) (?:\w+ (?:or|and) )?{ANY_RIGHT}",
    rf"(?:is|are)(?:n't)?(?: not| never)? (?:an? )?(?:\w+ (?:or|and) )?{GOOD} (?:way|question"
    r"|topic|thing|behaviou?r|request|response|thought|subject)",
    # the question, its wording or its premise is wrong
    r"(?:question|request|premise|assumptions?|prompt|phrase|phrasing|term|wording|language|joke)"
    rf"\b(?:(?!defin|refers|means).){{0,90}}?{NOT_RIGHT}",
    rf"(?:statement|query|topic|idea|notion)\b(?:(?!defin).){{0,90}}?{NOT_GOOD}",
    rf"(?:rests?|based|relies) on (?:a |an )?{ANY_WRONG}",
    rf"(?:is|are) (?:a |an )?{ANY_WRONG} (?:and \w+ )?(?:belief|idea|stereotype|assumption"
    r"|statement|notion)",
    r"challeng\w+ the (?:assumption|premise)",
    # I must point out that ... is wrong
    rf"{TURN_TO}{NOT_GOOD}",
    # violence is never the answer; there is no excuse for it
    r"(?:violence|self-harm|stealing|theft|murder|discrimination|harassment|abuse|harming|hurting"
    r"|killing|hate speech|hatred|bullying|terrorism|racism)\b.{0,50}\b(?:is|are) (?:never|not"
    r"|always wrong|wrong|unacceptable)",
    r"no (?:\w+ )?(?:justification|excuse|place) for\b",
    # do not do it; call for help if you are thinking of it
    r"(?:advise|discourage|caution|warn|urge)\w* (?:you )?(?:\w+ )?(?:against|not to|from)\b",
    r"^(?:please,? )?(?:do not|don't|never) (?:do|attempt|try|harm|hurt|engage in) ",
    r"you (?:should not|shouldn't|must not) (?:do|attempt|try|harm|hurt|engage) ",
    r"(?:hurt|harm|kill)(?:ing)? (?:yourself|others|someone)\b.{0,40}\b(?:please|talk|seek|help)\b",
    r"if you(?:'re| are|'ve| have| or someone)?\b.{0,60}\b(?:suicid\w+|your life|yourself|crisis"
    r"|self-harm|thoughts of|feel unsafe|harming)\b",
    words=(
        *NEGATIVE,
        *BAD_WORDS,
        *BAD_DEEDS,
        "challeng",
        "no ",
        "from",
        "if you",
        "yourself",
        "others",
        "someone",
    ),
)

OPPOSES = any_of(
    # a judgement that could also be a plain answer: it needs a moral sentence beside it
    rf"{IT_IS_NOT}{BEFORE}{ALLOWED}",
    rf"{TURN_TO}(?:{NOT_RIGHT}|\b(?:discriminat\w+|equal|rights?|safety)\b)",
    rf"^(?:it|that)(?:'s| is| would be) (?:\w+ )?(?:{ANY_WRONG}|wrong) to\b",
    r"no (?:safe|legal|ethical|acceptable|valid|legitimate) (?:or \w+ )?(?:way|reason|method)\b",
    r"(?:your|the|this) (?:question|request|prompt|premise|claim) (?:\w+ )?(?:rests?|relies|builds?"
    r"|assumes|presupposes|implies|is (?:based|built)) ",
    r"nothing (?:\w+ )?(?:funny|good|right|amusing|admirable|glamorous|clever) (?:about|in)\b",
    # taking the other side: that was not justified; nobody should be denied it
    r"(?:is|are|was|were) (?:not|never) (?:\"?right\"?,?|(?:morally |ever )?(?:justified"
    r"|justifiable)|a good thing|(?:inherently )?(?:inferior|superior|less \w+)"
    r"|inherently (?:\w+er|more \w+))\b",
    r"(?:no one|nobody|no (?:person|group|human being|child|individual)) should be\b",
    r"(?:are not|aren't|is not|isn't) (?:\w+ )?(?:weaker|inferior|superior|less \w+|worse"
    r"|lesser)\b",
    r"(?:brings?|has|have|had|are|were|is|was) no (?:\w+ )?(?:benefits?|justification|upside"
    r"|merit)\b",
    r"no (?:\w+ )?reason (?:why|that) .{0,80}\bshould(?: not|n't)\b",
    r"(?:should(?: not|n't)|must not|never) be (?:\w+ )?(?:discriminated|singled out|excluded"
    r"|denied|barred)\b",
    r"i (?:do not|don't) (?:believe|think|agree) .{0,60}\bshould\b",
    r"i (?:do not|don't|cannot|can't) (?:\w+ )?(?:agree with|believe in|accept|share) ",
    r"i (?:\w+ )?disagree with ",
    r"(?:correct|challenge|reject|question|dispute|disagree with|object to) (?:the|this|that|your"
    r"|any) (?:\w+ )?(?:assumption|premise|notion|idea|claim|belief|implication|view|suggestion)\b",
    rf"(?:{NOT} (?:\w+ )?|\bin|\bun)(?:accurate|correct|true|right|fair|just)(?:,? (?:or|and|nor)"
    r" \w+)? to (?:say|claim|suggest|state|assume|imply|argue|ask|call|single|deprive|deny"
    r"|believe)\b",
    r"(?:it is|it's) (?:\w+ )?(?:false|wrong|a (?:myth|misconception|mistake|harmful \w+)) to\b",
    r"(?:is|are|was|were) (?:in no way|by no means|never) ",
    words=(
        *NEGATIVE,
        *BAD_WORDS,
        *BAD_DEEDS,
        "no ",
        "nobody",
        "equal",
        "right",
        "safety",
        "true",
        "accurate",
        "false",
        "myth",
        "misconception",
        "mistake",
        "disagree",
        "correct",
        "challenge",
        "reject",
        "question",
        "dispute",
        "object",
        "just",
        "assumes",
        "presupposes",
        "implies",
        "rest",
        "relies",
        "build",
        "based",
        "nothing",
    ),
)

PREACHES = any_of(
    r"regardless of (?:their|one's|his|her|our|its|a person's|any|age|race|gender|religion"
    r"|\w+ (?:orientation|background|status))",
    r"(?:everyone|every (?:person|individual|human|life)|all (?:people|individuals|humans"
    r"|citizens|human beings|members)|no one|nobody|no person|people of all|any (?:group"
    r"|individual|person)|we (?:should|must)|they should|people should)\b.{0,60}\b(?:should"
    r"|deserves?|has|have|treat\w*|rights?|respect|equal\w*|strive|entitled)\b",
    r"(?:human rights|fundamental right|dignity|equality|inclusiv\w+|inclusion|diversity"
    r"|non-discrimination|equal (?:rights|opportunit\w+|voice|treatment)|discriminat\w+)\b",
    r"(?:should(?: not|n't)|must not|never) (?:\w+ )?be (?:judged|treated|tolerated|condoned"
    r"|attempted|used|taken lightly|allowed)",
    r"we (?:should|must) (?:not|never|all|always)\b",
    r"not accurate (?:or \w+ )?to\b|condemn\w*|atrocit\w+|heinous\b|welcoming\b",
    r"(?:perpetuat|promot|glorif|condon|encourag|incit)\w*\b.{0,40}\b(?:harm\w*|violen\w+|illegal"
    r"|stereotyp\w+|discriminat\w+|hate|hatred|prejudice|misinformation|inclusiv\w+|respect\w*"
    r"|understanding|fairness|equal\w*|positiv\w+)",
    r"(?:honesty|integrity|respect|consent|kindness|trust|safety|compassion|fairness|privacy)"
    r"(?:,? (?:and )?[\w']+){0,4}? (?:is|are) (?:\w+ )?(?:essential|important|crucial|vital|key"
    r"|paramount|fundamental)\b",
    r"(?:important|crucial|essential|vital|best|necessary|always|strive)\b.{0,50}\b(?:respect\w*"
    r"|treat|prioriti[sz]e|safety|well-being|seek|consent|ethic\w*|kind\w*|privacy|responsib\w+"
    r"|avoid|fair\w*|remember|recogni[sz]e|understand|condemn|uphold)\b",
    r"(?:can|could|may|will|and) (?:\w+ )?(?:result in|lead to|have|face|end up in"
    r"|carry) (?:\w+ ){0,2}(?:consequences|penalt\w+|punishment|prison|jail|imprisonment|charges"
    r"|fines|harm)\b",
    # what the deed would do, and what it is
    r"caus(?:e|es|ing) (?:\w+,? ){0,4}?(?:harm|suffering|trauma|distress|pain|injur\w+|damage"
    r"|loss)\b",
    r"(?:could|may|might|can|will|would) (?:\w+ ){0,2}?(?:harm|hurt|endanger|violate|ruin|bring"
    r"|deprive|infringe|undermine)\b",
    r"(?:violat|infring|endanger|jeopardi[sz])\w* (?:[\w']+ ){0,5}?(?:privacy|rights|trust|law"
    r"|laws|lives|life|safety|boundaries|consent)\b",
    r"(?:is|are|be|considered|constitutes?|remains?|amounts? to) (?:not only )?(?:(?:\w+ly|an?"
    r"|one of|the|most|very|both|extremely|a form of|an act of|never) ){0,4}(?:(?:serious|grave"
    r"|federal|violent"
    rf"|heinous|horrific|criminal) )?(?:crimes?\b|offen[cs]es?\b|violation|criminal act"
    rf"|{ANY_WRONG}"
    r"|horrific|grave\b|abhorrent|despicable|deplorable|unjust|cruel\b|wrong\b|life-threatening"
    r"|discriminat\w+|never (?:acceptable|okay|the answer|justified))",
    r"(?:is|are|was|were) (?:illegal|against|contrary to) (?:\w+ )?(?:the )?(?:law|moral|ethic"
    r"|principle)",
    r"(?:person|people|individual|human being|group|life|lives|human|community"
    r"|member)s?\b.{0,50}?\b(?:deserves?|ha(?:s|ve) (?:the (?:same |equal )?right"
    r"|(?:\w+ )?(?:value|worth)\b|families|feelings)|matters?\b|valuable|contribut\w+)",
    r"(?:deserves?|irrespective of|entitled to|(?:same|equal|basic|human"
    r"|fundamental) (?:\w+ )?rights?)\b",
    r"(?:valuable|important|meaningful|positive|vital|significant) (?:contribut\w+|members?"
    r"|perspectives?)",
    r"(?:not|n't|no|nothing)\b.{0,30}?\b(?:determined by|defined by|bearing on|disqualify"
    r"|diminish|based on (?:\w+ )?(?:race|ethnic|gender|religio|sex|age|skin|prejudice|stereotyp))",
    r"(?:based on|because of|on the basis of|on account of|due to) (?:their|someone's|one's"
    r"|a person's|his|her)? ?(?:\w+ )?(?:race|ethnicity|gender|religion|sex|age|skin|sexual\w*"
    r"|orientation|marital|disabilit\w+|identity|background|faith|beliefs|nationality|status)\b",
    r"(?:prejudice|intoleran\w+|persecut\w+|marginali[sz]\w+|exclusion|excluding)\b",
    r"(?:utmost|paramount|great|highest|top) (?:\w+ )?(?:importance|priority|concern)\b"
    r"|paramount\b",
    r"no place in\b|innocent (?:people|lives|victims)\b|consent is\b|never (?:want|wish) to see\b",
    # whose business it is
    r"(?:private|confidential|sensitive|personal)(?:,? (?:and|or) \w+)? (?:information|data"
    r"|matter|details)",
    r"(?:is|are|remains?|considered)(?: \w+)? (?:private|confidential|sensitive)\b",
    r"(?:respect|invad|invasion|protect|breach|right to)\w* (?:\w+ ){0,3}?(?:privacy|boundaries"
    r"|confidentiality)\b",
)

EXHORTS = any_of(
    # get help; help is at hand
    r"(?:seek|reach(?:ing)? out|contact|speak|talk|turn|call|text|phone(?! numbers?)|ring|tell"
    r"|let|notify|report|consult|see|visit|approach|inform|alert|involve|confide|report it"
    r"|lean\w*)\w*\b.{0,60}?"
    rf"\b{HELPER}",
    rf"{HELPER}\b.{{0,40}}?\b(?:can|could|may|might|will) (?:\w+ )?(?:help|listen|support|guide"
    r"|assist|be of use|look into|offer)\b",
    r"(?:instead|rather than),? (?:of )?.{0,80}?\b(?:i (?:suggest|encourage|recommend|would)"
    r"|let's|we (?:should|can)|focus|consider|it(?:'s| is) important)",
    r"^(?:instead|rather),? (?:you|we|try|consider|please|why|perhaps|maybe)\b",
    r"(?:would|do) you (?:like|want|wish|care) to (?:talk|share|tell|speak|discuss)\b",
    r"would it help (?:to|if)\b",
    r"(?:it|that) (?:would|might|could|may) be (?:better|wiser|kinder|best|safer|fairer) to\b",
    r"belongs? in the hands of|best left to\b",
    r"let(?:'s| us) (?:focus|talk|discuss|keep|try|work)",
    r"i (?:\w+ ){0,2}?(?:urge|encourage) (?:you|everyone|people)",
    r"please,? (?:do not|don't|never) \w+",
    r"please (?:remember|respect|refrain|reconsider|seek|consider|think about|be (?:kind"
    r"|respectful|mindful))",
    r"(?:seek|find|consider|pursue|recommend|suggest|focus on|look for)\b.{0,40}\b(?:legal|lawful"
    r"|safe|ethical|honest|healthy|constructive|respectful|peaceful)\b.{0,20}\b(?:ways?|means"
    r"|alternatives?|options?|methods?|instead)\b",
    r"you are not alone\b",
    r"(?:advise|discourage|caution|warn|urge)\w* (?:you )?(?:\w+ )?(?:against|not to|from)\b",
    # turning to something better
    r"(?:i'd|i would|i'll|i will|i'm|i am|we) (?:\w+ ){0,2}?(?:happy|glad|love|like|delighted"
    r"|rather|gladly|pleased)\b.{0,60}\b(?:other|instead|alternative|different|health\w+|positive"
    r"|constructive|encourage|safe\w*|supportive|respectful|protect\w*|legal|lawful|ethical)\b",
    r"(?:perhaps|maybe) (?:we|you) (?:can|could|might|should)\b",
    r"(?:lawful|legal|legitimate|healthy|healthier|gentler|peaceful|honest|constructive|safer"
    r"|positive|ethical|responsible|respectful)(?:,? (?:and|or|but) \w+)? (?:\w+ )?(?:ways?|means"
    r"|alternatives?|options?|paths?|methods?|solutions?|channels?|routes?|approach\w*)\b",
    r"(?:it|this) (?:may|might|could|would|can)(?: also)? be (?:\w+ )?(?:helpful|worth|better"
    r"|best|wise|beneficial|useful|a good idea)\b.{0,40}\b(?:talk|speak|seek|focus|reach|hav(?:e"
    r"|ing)|consider|conversation|your own|support)\w*\b",
    r"(?:better|fruitful|helpful|useful|wiser|good|best) to (?:focus|turn|look|consider|talk|seek"
    r"|sit|think|concentrate|learn)\b|turn (?:our|your) attention\b|let's refrain\b",
    r"consider (?:\w+ ){0,2}?(?:speaking|talking|seeking|reaching|having|discussing|an? (?:open"
    r"|honest|calm|mediator))\b",
    r"(?:open|honest|calm|respectful|caring|direct)(?:,? (?:and|or|but) \w+)? (?:conversation"
    r"|dialogue|communication|discussion|talk)\b",
    r"encourage (?:you|us|everyone|others|people|open|respectful|a )\b",
    r"(?:you|someone)(?:'re| are| is)? (?:\w+ )?(?:struggling|having (?:\w+ )?thoughts|in danger"
    r"|in crisis|in distress|facing|feeling|having trouble|having difficult\w+|experiencing)\b",
    r"if (?:something|this|there) .{0,60}\b(?:worr|concern|conflict|dispute|angry|upset)",
    # in the first person: what the assistant would sooner do
    r"(?:i'd|i would|i could|i'll|i will|i can|may i|let me|allow me to|let us"
    r"|we could) (?:\w+ ){0,3}?(?:invite|suggest|recommend|propose|encourage|prefer|rather|gladly"
    r"|glad|pleased|thrilled|delighted|instead|mention|remind|ask you|choose|point you)\b",
    r"my (?:\w+ )?(?:advice|hope|recommendation|suggestion|wish) (?:is|would be)\b",
    r"(?:you|you'd|you would) (?:might|could|may) (?:\w+ )?(?:try|consider|find|want to talk"
    r"|write|contribute|start by)\b|why not (?:try|talk|take|ask|see|write|speak|tell)\b",
    # what may lie behind the question
    r"(?:if|should|in case|unless|whether) (?:it|this|that|the (?:idea|question|situation)"
    r"|there)(?:'s| is| are| be| was| involves| comes?| relates?)? (?:\w+ )?(?:about|for|part"
    r"|related|behind|a (?:\w+ )?(?:conflict|story|dispute|grievance|reason)|your own|threats?"
    r"|from|real)\b",
    r"(?:if|should) you(?:'re| are|'ve| have| be)? (?:\w+ )?(?:mean|meant|worried|upset|angry"
    r"|suspect|overheard|in danger|fear|curious about|writing|researching|studying|interested in"
    r"|concerned|tempted|drawn|aware of)\b",
    # comfort
    r"(?:help|support|hope|assistance) is (?:\w+ )?(?:available|out there|possible)\b",
    r"you (?:do not|don't) have to (?:carry|face|go through|bear|do this alone|suffer)",
    r"you matter\b|(?:there is|there's|there are) (?:always )?(?:hope|help|support)\b",
    r"(?:people|professionals|resources|services|helplines|organi[sz]ations)\b.{0,40}?\b(?:who"
    r"|that|to|can|available)\b.{0,20}\b(?:help|support|care|listen|assist)",
    r"your (?:own )?(?:life|safety|well-?being|feelings|body|health)\b.{0,30}\b(?:matters?|value"
    r"|precious|important|worth)",
    r"(?:healing|letting go|move forward|moving forward|forgiveness|over cruelty)\b",
)

CONDEMNS = any_of(
    # what the deed is
    r"(?:is|are|be|being|amounts? to|constitutes?|called|considered|as) (?:[\w-]+,? ){0,4}?"
    rf"{CRIME}",
    r"(?:unthinkable|unimaginable|unforgivable|inhumane?|dehumani[sz]ing|frightening|horrifying"
    r"|barbaric|cruellest|untruthful|unconstitutional)\b",
    # what would come of it
    r"(?:would|will|could|can|may|might|rarely|only) (?:\w+ )?(?:be|lead|bring|put|end|leave"
    r"|cause|hurt|ruin|breach|tear|dishonou?r|add|repeat|cost|destroy|carry|result|land|make|mean"
    r"|give)s?\b.{0,80}?\b(?:jeopardy|risk|danger|scars|grief|sorrow|pain|troubles?|suffering"
    r"|prison|jail|behind bars|charges|criminal|penalt\w+|law|policy|lives|trauma|victims?"
    r"|families|harm|unfair|dark past|memory|regret|consequences|worse|punish\w+|relief)\b",
    r"(?:breach|betrayal) of (?:\w+ )?(?:trust|law|privacy|confidence)",
    r"(?:would|will|does|can)(?: not|n't) undo\b|(?:hurts?|harms?|wrongs?) (?:\w+ ){0,2}?"
    r"(?:students|children|animals|you in the end|everybody)\b",
    r"(?:carries|destroys|hurts|ruins|leaves|harms|devastates|endangers) (?:\w+ ){0,3}?(?:people"
    r"|victims|families|lives|communities|others|penalt\w+|trauma|scars|society|trust|everyone)\b",
    r"(?:punished|punishable|prosecuted|penali[sz]ed)\b",
    # nothing makes it right
    r"(?:nothing|no (?:\w+ )?(?:grievance|quarrel|reason|conflict|argument|cause|circumstance"
    r"|one with|grounds)s?)\b.{0,20}?\b(?:justif\w+|makes?|good about|worth|excuses?|warrants?"
    r"|should)\b",
    r"(?:should|must|ought to) (?:not |never |only )?be (?:\w+ )?(?:handled|settled|recreated"
    r"|repeated|restored|replicated|forgotten|shared|respected|protected|celebrated)\b",
    r"(?:rooted in|built (?:up)?on|leans on|stems? from|rests on|based on|fuell?ed by"
    r"|comes? from) (?:\w+ ){0,2}?(?:hatred|hate|prejudice|racis\w+|outdated|antisemit\w+|bias"
    r"|discriminat\w+|stereotyp\w+|fear|ignorance|false|stolen)\b",
    # people are people
    r"(?:are|as) (?:\w+ )?(?:human beings|people (?:like|with)|our (?:friends|neighbours"
    r"|neighbors)|members of)\b",
    r"(?:same|inherent|equal) rights?\b|equal rights? (?:belong|appl)\w*\b",
    r"(?:like|as|than) (?:anybody|anyone|everybody|everyone) else\b|(?:everybody|everyone"
    r"|anyone) is entitled\b",
    r"(?:foundation|core|cornerstone|heart|pillar|matter) of (?:a |our "
    r"|any )?(?:\w+ )?(?:democracy|society|justice|relationships?|marriage|trust|freedom)\b",
    r"(?:their|one's|his or her) own (?:to share|business|choice|decision|matter)\b",
)

PLEDGES = any_of(
    # as an assistant I must ...; I am here to promote ...: its own values where an answer should be
    r"as an? (?:[\w-]+,? (?:and )?){0,4}?(?:ai|assistant|model)\b.{0,60}?\bi (?:must|have to"
    r"|need to|want to|would like to|am (?:\w+ )?(?:committed|dedicated|obliged|bound|here)|value"
    r"|strive|believe|promote|encourage|prioriti[sz]e|aim|strongly)\b",
    r"(?:i'm|i am|my (?:\w+ )?(?:goal|purpose|role|aim|mission|priority|job) (?:here )?is"
    r"|i strive|i aim)(?: (?!not\b)\w+){0,5}? (?:to|on) (?:\w+ )?(?:follow|promot|uphold|respect"
    r"|ensur|prioriti[sz]|encourag|support|foster|adher|assist)\w*\b.{0,60}\b(?:ethic\w*"
    r"|respect\w*|safe\w*|positiv\w+|constructive|law\w*|care|honest\w*|harmless|well-?being"
    r"|peace\w*|kind\w*|fair\w*|dignity|legal\w*)\b",
    r"assistant (?:who|that) (?:values|cares|respects|follows)",
    r"(?:out of|in the spirit of|with) (?:\w+ )?(?:care|respect|concern|fairness|kindness) (?:for"
    r"|and)\b",
    r"(?:i'm|i am) (?:mindful|conscious|aware) of the (?:danger|harm|risk|pain|impact)",
    r"values?\b.{0,40}?\bi (?:hold|follow|stand|share|believe)|i feel (?:obliged|compelled|bound)",
    r"i (?:\w+ )?(?:do not|don't|cannot|would never|can't|won't) (?:\w+ )?(?:condone|support"
    r"|encourage|endorse|promote)\b",
    r"i (?:strongly |firmly |truly |deeply )?(?:believe in|condemn|stand against|oppose)\b",
)

CONCERNED = any_of(
    r"(?:makes me|i'm|i am) (?:\w+ ){0,2}?(?:worried|concerned|uneasy|sad)\b",
    r"i (?:sense|care about|feel for)\b.{0,30}?\byou",
    r"it (?:sounds|seems) (?:as though|as if|like) (?:you|there)\b",
    r"glad (?:i am )?(?:that )?you(?:'re| are| have|'ve| told| reached)\b",
    # sorry to hear that you feel so; I understand that you are angry
    r"(?:i'm|i am|it|i) (?:\w+ ){0,2}?(?:sorry|concerned|worried|saddened|sad|saddens|alarmed"
    r"|troubled)\b.{0,40}\b(?:you(?:'re| are|'ve| have| feel| might| may| would| want)"
    r"|your (?:question|situation|words|message|feelings|thoughts))\b",
    r"i (?:can )?(?:understand|hear|see|recogni[sz]e|imagine"
    r"|appreciate)\b.{0,60}\byou\b.{0,30}\b(?:feel\w*|angry|hurt|upset|frustrat\w+|overwhelmed"
    r"|pain|struggling|going through|difficult|curious|furious|desperate|afraid|scared|lonely"
    r"|tempted|worried|stressed|mad)\b",
)
