"""How names are compared, and which capitalised words are none. Pure."""

from __future__ import annotations

import re
import unicodedata

KEY_CHARACTERS = 200

# The standard library's patterns have no class for it. Beyond are scripts without capitals, and a few nobody speaks.
CAPITAL = "[" + "".join(one for one in map(chr, range(0x2E80)) if unicodedata.category(one) in ("Lu", "Lt")) + "]"
"""A pattern for one capital letter, of any alphabet."""

_POSSESSIVE = re.compile(r"(?:['’]s|(?<=s)['’])$")
_EDGES = " \t\r\n.,;:!?\"'`´‘’“”()[]{}<>*_…"
_SPACE = re.compile(r"\s+")


def normalise(name: str) -> str:
    """Return the key of a name: Unicode NFKC, case-folded, without possessive, edge punctuation and double spaces.

    >>> normalise(" Caroline’s ") == normalise("CAROLINE")
    True
    """
    folded = unicodedata.normalize("NFKC", name[: 4 * KEY_CHARACTERS]).casefold()
    plain = _POSSESSIVE.sub("", _SPACE.sub(" ", folded).strip(_EDGES)).strip(_EDGES)
    return plain[:KEY_CHARACTERS].strip()


def words(text: str) -> frozenset[str]:
    """Return the words of a text: a list that can be read and sorted by eye."""
    return frozenset(text.split())


DATE_WORDS = words(
    """
    january february march april may june july august september october november december jan feb mar apr jun jul
    aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur
    thurs fri sat sun today tomorrow yesterday tonight spring summer autumn fall winter am pm
    """
)

FUNCTION_WORDS = words(
    """
    a an the this that these those there here it its it's i i'm i'd i've i'll me my mine myself you your yours
    you're you've you'll he she him her his hers we us our ours we're we've we'll they them their theirs they're who
    whom whose which what what's when where why how whether if then than as at by for from in into of off on onto
    out over to up with without within about above after again against all almost also although always am among and
    another any anybody anyone anything anyway are aren't around be because been before being below between both but
    can can't cannot could couldn't did didn't do does doesn't doing don't done down during each either else enough
    even ever every everybody everyone everything except few finally first had hadn't has hasn't have haven't having
    he's she's that's there's let let's like likely may maybe might more most much must mustn't never no nobody none
    nor not nothing is isn't go now once one only or other otherwise own perhaps please quite rather really same
    shall should shouldn't since so some somebody someone something sometimes soon still such though through thus
    together too toward towards under until unless upon very was wasn't well were weren't while will won't would
    wouldn't yes yet
    """
)

# Words that often stand capitalised at the start of a sentence, or in a greeting, and name nothing.
OPENERS = words(
    """
    hi hey hello hiya howdy dear thanks thank thx wow whoa woah oh ooh aah ah aw aww yay yeah yep yup nope nah ok
    okay sure great good nice cool awesome amazing lovely sweet perfect wonderful fantastic congrats congratulations
    sorry bye goodbye cheers absolutely definitely exactly totally honestly actually basically generally usually
    recently lately currently later earlier next last previously suddenly hopefully unfortunately fortunately
    luckily sadly apparently obviously clearly interesting interestingly anyways meanwhile however therefore
    moreover furthermore besides instead overall plus so right true false note todo warning error info summary
    update reminder question answer user assistant system human bot agent ai mom dad mum mother father sister
    brother grandma grandpa aunt uncle son daughter wife husband friend friends people everyone guys folks kids time
    life work home day days week weeks month months year years morning evening night weekend part way thing things
    lots lot two three four five six seven eight nine ten many several according given based check make made take
    took get got give keep kept see saw look looks looking seems sounds feels think thought know knew hope hoping
    love loved loving like want wanted need needed try tried trying find found feel felt use used using add added
    set run call open close stop start started go going went come came tell told ask asked say said show showed
    learn learned read write wrote watch watched play played meet met help helped talk talked believe remember
    remind imagine guess mean happy glad excited proud big small new old best better bad worst super pretty busy
    tired just speaking back long short different difficult easy hard important possible available able ready free
    full half quick quickly
    """
)

SHOUTS = words(
    """
    omg lol lmao rofl wow ok btw fyi imo imho asap idk tbh ps nb yes no hey hi haha yay aka eg ie etc tldr diy
    """
)

PARTICLES = words(
    """
    of de da di du del della la le van von der den bin al el y
    """
)


def is_common(word: str) -> bool:
    """Whether a word, whatever its capitals, names nothing: a function word, an opener, a date, a shout."""
    folded = word.casefold().replace("’", "'")
    return (
        folded in FUNCTION_WORDS
        or folded in OPENERS
        or folded in DATE_WORDS
        or folded in SHOUTS
        or folded.split("'")[0] in FUNCTION_WORDS
    )
