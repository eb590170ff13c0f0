"""Which messages cannot hold a fact: greetings, thanks, acknowledgements. Pure, and cheap beside a model's call.

A closed list and whole messages only: what is not certainly trivial goes to the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from memsys_api.inference.types import Message
from memsys_api.normal_forms import composed

_MOST_WORDS = 8
_MOST_CHARACTERS = 120
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PHATIC = _words("""
    hi hello hey heya hiya howdy yo greetings welcome good morning afternoon evening night day bye goodbye cya later
    see you ya u soon take care cheers thanks thank thx ty tysm so very much a lot many again for that this the help
    your ok okay k kk okey alright right cool nice great awesome perfect excellent wonderful lovely amazing fantastic
    super sweet neat wow oh ah aha hm hmm hmmm mhm uh um huh lol haha hahaha hehe got it gotcha understood noted
    acknowledged roger sounds fine no problem worries np anytime youre you're well done sorry pardon please
    there all everyone is how are what's whats up going now to hear it's its that's thats pleasure my
    hallo guten morgen tag abend nacht danke dankeschön bitte tschüss ciao servus gut schön genau prima
    bonjour salut bonsoir merci beaucoup au revoir d'accord
    hola buenos buenas dias días tardes noches gracias muchas adios adiós vale bueno
    olá oi obrigado obrigada tchau grazie buongiorno buonasera prego
    你好 您好 谢谢 謝謝 好的 好 嗯 再见 再見 こんにちは おはよう ありがとう ありがとうございます はい さようなら
    안녕 안녕하세요 감사합니다 고마워 네
""")
_GLUE = _words(
    "so very much a lot many for that this the to your is how are it all my now you u up there"
)  # alone: nothing
_ANSWERS = _words("yes yeah yep yup no nope nah sure definitely absolutely exactly correct true false ja nein")


def holds_no_fact(messages: Sequence[Message], *, answers_something: bool = False) -> bool:
    """Whether no message could hold a fact. ``answers_something``: a "yes" would answer what was said before them."""
    allowed = _PHATIC if answers_something else _PHATIC | _ANSWERS
    return all(_trivial(message.content, allowed) for message in messages if message.role != "system")


def _trivial(text: str, allowed: frozenset[str]) -> bool:
    text = composed(text)
    if len(text) > _MOST_CHARACTERS:
        return not text.strip()
    words = _WORD.findall(text.casefold())
    if not words:
        return not any(character.isalnum() for character in text)  # emoji, punctuation, nothing at all
    return len(words) <= _MOST_WORDS and allowed.issuperset(words) and not _GLUE.issuperset(words)
