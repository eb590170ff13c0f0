"""What the API reads and answers, on the wire. Unknown fields are refused by name."""

from memsys_api.schemas.fields import MAX_MESSAGES, MAX_RESULTS, MAX_TEXT, Body, Metadata, Scoped, ScopeId, Text
from memsys_api.schemas.graph import GraphDifference, GraphDrift, GraphStatus, GraphSync
from memsys_api.schemas.keys import KeyOut, NewKey, NewKeyRequest
from memsys_api.schemas.memories import (
    Added,
    AddRequest,
    AddResults,
    Deleted,
    HistoryItem,
    MemoryDetail,
    MemoryOut,
    MemoryPage,
    Message,
    Turns,
    UpdateRequest,
)
from memsys_api.schemas.search import Hit, SearchRequest, SearchResults
from memsys_api.schemas.system import EmbedderInfo, FieldProblem, GraphInfo, Health, Info, LlmInfo, Problem

__all__ = [
    "MAX_MESSAGES",
    "MAX_RESULTS",
    "MAX_TEXT",
    "AddRequest",
    "AddResults",
    "Added",
    "Body",
    "Deleted",
    "EmbedderInfo",
    "FieldProblem",
    "GraphDifference",
    "GraphDrift",
    "GraphInfo",
    "GraphStatus",
    "GraphSync",
    "Health",
    "HistoryItem",
    "Hit",
    "Info",
    "KeyOut",
    "LlmInfo",
    "MemoryDetail",
    "MemoryOut",
    "MemoryPage",
    "Message",
    "Metadata",
    "NewKey",
    "NewKeyRequest",
    "Problem",
    "ScopeId",
    "Scoped",
    "SearchRequest",
    "SearchResults",
    "Text",
    "Turns",
    "UpdateRequest",
]
