"""The routes that mem0's published clients call, in the shapes that they expect, over the same flows as all others."""

from __future__ import annotations

from fastapi import APIRouter

from memsys_api.routes.mem0 import entities, exports, feedback, memories, unsupported

router = APIRouter()
for _module in (unsupported, entities, exports, feedback, memories):
    router.include_router(_module.router)
