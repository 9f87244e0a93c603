"""Classes of English words that the cues share, and what a cue is."""

import re
from dataclasses import dataclass

UNABLE = (
    r"(?:cannot|can ?not|can't|can no longer|could not|couldn't|won't|will not|shall not"
    r"|(?:(?:am|'m|are|'re) (?:\w+ ){0,2}?(?:not|un)|aren't)[ -]?(?:able|going|willing|allowed"
    r"|permitted"
    r"|programmed|designed|trained|built|authori[sz]ed|equipped|at liberty|in a position|here"
    r"|meant) to"
    r"|(?:(?:do not|don't) have|lack) (?:the |any )?(?:authority|right|permission) (?:to|of)"
    r"|(?:would|'d) (?:not|never) (?:want|like|wish|care) to|(?:do not|don't) (?:want|wish|care"
    r"|intend|plan|mean) to|have no (?:intention|wish|desire|plans?) (?:of|to)"
    r"|(?:am|'m) prohibited from|'d rather not|would rather not|(?:would |'d )?prefer not to"
    r"|(?:would not|wouldn't|do not|don't) feel (?:comfortable|right|able)"
    r"|(?:am|'m) (?:not|un) ?comfortable|(?:would|will|could|can) never"
    r"|(?:must|have to|will|need to|would|am going to|'m going to|am required to)"
    r" (?:\w+ )?(?:decline|refuse|refrain|abstain))"
)
HELP = (
    r"(?:help(?!ing\b(?! you| with| to| anyone)| but| feel| notic| think| wonder| laugh| smil)"
    r"|assist|aid|provid|give|giving|offer|shar(?:e|ing)|suppl|fulfil|answer|comply|engag|explain"
    r"|discuss|tell (?:you|any|people|him|her|them)|teach|writ(?:e|ing)|creat(?:e|ing)|generat"
    r"|produc|draft|participat|take part|do (?:that|this|so|it)\b|advis|recommend|suggest|encourag"
    r"|condon|promot|support|endors|facilitat|respond|continue|complete|disclos|reveal|speculat"
    r"|perform|satisfy|accommodat|proceed|describ|guid|instruct|access|entertain|indulge|oblige"
    r"|be (?:a )?part(?:y|\b)|be of (?:help|assistance)|go (?:there|along)|talk about|honou?r"
    r"|jok(?:e|ing)\b|make (?:a |any |such |that )?(?:joke|comment|statement|judg|assumption"
    r"|generali)"
    r"|in good conscience|\w+ you (?:through|how)|develop|design|compos|argue|defend|justif"
    r"|outline|formulat|construct|devis|rewrit|simulat|impersonat|portray|process|fulfill?|handle"
    r"|walk|coach|point you)"
)
TALK = (
    r"(?:provid|discuss|answer|shar|give|offer|assist|help|speculat|engag|creat|writ|explain"
    r"|describ|teach|guid|instruct|walk)\w*"
)

# moral judgements; those of the second kind are also made of queries, chemicals and parking
GOOD = (
    r"(?:appropriate|ethical|respectful|moral|funny)\b"
    r"(?! (?:or \w+ |and \w+ )?(?:subjects?|agents?|beings?|status)\b)"
)
ALLOWED = (
    r"(?:acceptable|okay|ok|right|fair|legal|permissible|lawful|suitable|good idea|proper"
    r"|productive)\b(?! (?:subjects?|agents?|persons?)\b)"
)
WRONG = (
    r"(?:inappropriate|unethical|immoral|offensive|disrespectful|discriminatory|derogatory"
    r"|unacceptable|racist|sexist|ableist|hateful|bigoted|hurtful|stereotyp\w+|prejudic\w+"
    r"|insensitive|irresponsible|abusive|morally wrong|reprehensible|insulting|demeaning"
    r"|malicious)\b"
)
RISKY = (
    r"(?:harmful|illegal|unlawful|criminal|dangerous|violen\w+|problematic|unfair|racial"
    r"|against the law)\b"
)
ANY_RIGHT = rf"(?:{GOOD}|{ALLOWED})"
ANY_WRONG = rf"(?:{WRONG}|{RISKY})"
BEFORE = r"(?: be)?(?: an?| the)?(?: most)?(?: [\w'-]+,?(?: or| and| nor))? (?:\w+ )?"
NOT = r"(?:not|never|neither|\w{2,6}n't)"
NOT_GOOD = rf"(?:{NOT}{BEFORE}{GOOD}|{WRONG})"
NOT_RIGHT = rf"(?:{NOT}{BEFORE}{ANY_RIGHT}|{ANY_WRONG})"
CRIME = (
    r"(?:murder|homicide|assault|battery|theft|stealing|robbery|burglary|vandalism|kidnapping"
    r"|terrorism|treason|arson|rape|abuse|fraud|felon(?:y|ies)|misdemeanou?r|crimes?|offen[cs]es?"
    r"|stalking|harassment|trespass\w*|violation|blackmail|violence|brutality|cruelty|bigotry"
    r"|racism|sexism|antisemiti\w+|homophob\w+|xenophob\w+|misogyn\w+|discrimination)\b"
)
HELPER = (
    r"(?:professional|help\b|therap(?:ist|y)|counsel\w+|psych\w+|mediator|mediation|hotline"
    r"|helpline|lifeline|crisis|authorities|law enforcement|police|988|911|emergency|trusted"
    r"|someone (?:you|who can|who will|who cares)|doctor|lawyer|attorney|legal advice"
    r"|human resources"
    r"|hr department|social worker|mental health|(?:protective|social|victim) services"
    r"|support (?:group|service|network)s?)"
)
IT_IS_NOT = (
    r"(?:it|this|that|which|they|these|those) ?(?:(?:is|'s|are|be|would be|was)(?: [\w'-]+){0,2}?"
    r" (?:not|never|neither)|isn't|aren't|wasn't|would(?: not|n't) be)"
)
TURN_TO = (
    r"(?:i|we) (?:\w+ )?(?:must|have to|need to|would like to|want to|should) (?:\w+ )?"
    r"(?:point out|clarify|advise|inform|emphasi[sz]e|address|note|stress|remind|caution|warn|say)"
    r"\b.{0,140}?"
)


@dataclass(frozen=True)
class Cue:
    """Something a sentence can do.

    Attributes:
        pattern: how that is said.
        words: parts of words of which every such sentence has one, so that most need no search.
    """

    pattern: re.Pattern[str]
    words: tuple[str, ...] = ()

    def found(self, sentence: str) -> bool:
        """Whether a sentence in lower case does it."""
        for word in self.words:
            if word in sentence:
                return self.pattern.search(sentence) is not None
        return not self.words and self.pattern.search(sentence) is not None


def any_of(*patterns: str, words: tuple[str, ...] = ()) -> Cue:
    """One of the patterns, each from the start of a word."""
    return Cue(re.compile(r"\b(?:" + "|".join(patterns) + ")"), words)


NEGATIVE = ("cannot", "not ", "n't", "never", "neither")
BAD_WORDS = (
    "inappropriate", "ethical", "moral", "offensive", "disrespect", "discriminat", "derogatory",
    "unacceptable", "racis", "sexis", "ableist", "hateful", "bigot", "hurtful", "stereotyp",
    "prejudic", "insensitive", "irresponsible", "abusive", "wrong", "reprehens", "insult",
    "demean", "malicious",
)  # fmt: skip
BAD_DEEDS = (
    "harmful", "illegal", "unlawful", "criminal", "dangerous", "violen", "problematic", "unfair",
    "racial", "against",
)  # fmt: skip
