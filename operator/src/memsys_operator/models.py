"""Embedding model -> dimensions, precision, index, and why. Pure.

Dimensions are the providers' own published numbers: OpenAI "Vector embeddings" guide, Ollama library pages
(``embedding_length`` of each model), the ``config.json``/model cards on Hugging Face (``hidden_size`` or the
pooled output), Cohere "Embed" model table, Voyage AI "Text embeddings", Google "Gemini API embeddings",
Mistral "Embeddings", Amazon Bedrock "Titan Text Embeddings". The index limits are pgvector's (README, "HNSW"):
``vector`` up to 2,000 dimensions, ``halfvec`` up to 4,000; either type stores up to 16,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memsys_operator.errors import Rejected

Precision = Literal["halfvec", "float32"]
Index = Literal["auto", "exact", "hnsw"]

BUILTIN_MODEL = "all-MiniLM-L6-v2"
MAX_DIMENSIONS = 16_000
HNSW_LIMIT: dict[Precision, int] = {"float32": 2_000, "halfvec": 4_000}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What a model can answer: its own number of dimensions, and the smaller ones it can be asked for.

    ``sizes`` lists the only choices; ``reducible`` says that any number from 1 to ``dimensions`` will do.
    """

    dimensions: int
    reducible: bool = False
    sizes: tuple[int, ...] = ()

    def allows(self, dimensions: int) -> bool:
        if self.reducible:
            return 1 <= dimensions <= self.dimensions
        return dimensions in (self.sizes or (self.dimensions,))

    def choices(self) -> str:
        if self.reducible:
            return f"1 to {self.dimensions}"
        return " or ".join(str(size) for size in self.sizes or (self.dimensions,))


def _fixed(dimensions: int, *models: str) -> dict[str, KnownModel]:
    return {model.lower(): KnownModel(dimensions) for model in models}


#: By lower-case model name without its registry and organisation; with an Ollama tag for that tag and its variants,
#: without one for ``latest``.
KNOWN_MODELS: dict[str, KnownModel] = {
    # OpenAI
    "text-embedding-3-small": KnownModel(1536, reducible=True),
    "text-embedding-3-large": KnownModel(3072, reducible=True),
    **_fixed(1536, "text-embedding-ada-002"),
    # Ollama and Hugging Face
    **_fixed(384, BUILTIN_MODEL, "all-minilm-l12-v2", "all-minilm", "all-minilm:22m", "all-minilm:33m",
             "bge-small-en-v1.5", "e5-small-v2", "multilingual-e5-small", "gte-small", "snowflake-arctic-embed:22m",
             "snowflake-arctic-embed:33m", "snowflake-arctic-embed-xs", "snowflake-arctic-embed-s",
             "paraphrase-multilingual-minilm-l12-v2", "granite-embedding", "granite-embedding:30m",
             "granite-embedding-30m-english"),
    **_fixed(768, "all-mpnet-base-v2", "paraphrase-multilingual", "paraphrase-multilingual:278m",
             "paraphrase-multilingual-mpnet-base-v2", "bge-base-en-v1.5", "e5-base-v2", "multilingual-e5-base",
             "gte-base", "gte-base-en-v1.5", "nomic-embed-text", "nomic-embed-text:137m", "nomic-embed-text:v1.5",
             "nomic-embed-text-v1", "nomic-embed-text-v1.5", "nomic-embed-text-v2-moe", "embeddinggemma",
             "embeddinggemma:300m", "embeddinggemma-300m", "snowflake-arctic-embed:110m",
             "snowflake-arctic-embed:137m", "snowflake-arctic-embed-m", "granite-embedding:278m",
             "granite-embedding-278m-multilingual", "jina-embeddings-v2-base-en"),
    **_fixed(1024, "mxbai-embed-large", "mxbai-embed-large:335m", "mxbai-embed-large-v1", "bge-m3", "bge-m3:567m",
             "bge-large", "bge-large:335m", "bge-large-en-v1.5", "e5-large-v2", "multilingual-e5-large",
             "multilingual-e5-large-instruct", "gte-large", "gte-large-en-v1.5", "snowflake-arctic-embed",
             "snowflake-arctic-embed:335m", "snowflake-arctic-embed-l", "snowflake-arctic-embed2",
             "snowflake-arctic-embed2:568m", "snowflake-arctic-embed-l-v2.0"),
    **_fixed(3584, "gte-qwen2-7b-instruct"),
    **_fixed(4096, "e5-mistral-7b-instruct", "nv-embed-v2", "sfr-embedding-mistral"),
    "jina-embeddings-v3": KnownModel(1024, reducible=True),
    "qwen3-embedding": KnownModel(4096, reducible=True),
    "qwen3-embedding:0.6b": KnownModel(1024, reducible=True),
    "qwen3-embedding:4b": KnownModel(2560, reducible=True),
    "qwen3-embedding:8b": KnownModel(4096, reducible=True),
    "qwen3-embedding-0.6b": KnownModel(1024, reducible=True),
    "qwen3-embedding-4b": KnownModel(2560, reducible=True),
    "qwen3-embedding-8b": KnownModel(4096, reducible=True),
    # Cohere
    "embed-v4.0": KnownModel(1536, sizes=(256, 512, 1024, 1536)),
    **_fixed(1024, "embed-english-v3.0", "embed-multilingual-v3.0"),
    **_fixed(384, "embed-english-light-v3.0", "embed-multilingual-light-v3.0"),
    # Voyage AI
    **{model: KnownModel(1024, sizes=(256, 512, 1024, 2048))
       for model in ("voyage-3-large", "voyage-3.5", "voyage-3.5-lite", "voyage-code-3")},
    **_fixed(1024, "voyage-3", "voyage-2", "voyage-law-2", "voyage-finance-2", "voyage-multilingual-2"),
    **_fixed(512, "voyage-3-lite"),
    **_fixed(1536, "voyage-large-2", "voyage-code-2"),
    # Google
    "gemini-embedding-001": KnownModel(3072, reducible=True),
    **_fixed(768, "text-embedding-004", "text-embedding-005", "embedding-001"),
    # Mistral, Amazon
    **_fixed(1024, "mistral-embed"),
    "titan-embed-text-v2:0": KnownModel(1024, sizes=(256, 512, 1024)),
    **_fixed(1536, "titan-embed-text-v1"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Embedding:
    """The choice that stands in ``status.embedding`` and is passed to the API."""

    provider: str
    model: str
    dimensions: int
    precision: Precision
    index: Index
    reason: str

    @property
    def identity(self) -> str:
        """What stored vectors depend on: two systems with the same identity can share data."""
        return f"{self.provider}/{self.model}/{self.dimensions}"


def lookup(model: str) -> KnownModel | None:
    """The known model of that name, whatever its organisation prefix; None when unknown.

    An Ollama tag is found where it is listed or a variant of one that is, as ``0.6b-q8_0`` is of ``0.6b``. The name
    without a tag stands for ``latest`` alone: any other tag may be a model of another size.
    """
    name = model.lower().rsplit("/", 1)[-1].removeprefix("amazon.").removesuffix(":latest")
    base, colon, tag = name.partition(":")
    if not colon:
        return KNOWN_MODELS.get(base)
    while tag:
        if known := KNOWN_MODELS.get(f"{base}:{tag}"):
            return known
        tag = tag.rpartition("-")[0]
    return None


def choose(
    *, provider: str, model: str | None, dimensions: int | None, precision: Precision, index: Index
) -> Embedding:
    """Settle dimensions, precision and index for one embedder.

    Raises :class:`Rejected`, naming the field and the remedy, when the spec contradicts the model, leaves the
    dimensions of an unknown model open, or insists on an index that cannot exist.
    """
    model = model or (BUILTIN_MODEL if provider == "builtin" else None)
    if model is None:
        raise Rejected(f"spec.embedder.model: provider {provider} needs a model; name one it serves")
    if provider == "builtin" and model != BUILTIN_MODEL:
        raise Rejected(
            f"spec.embedder.model: the built-in embedder runs {BUILTIN_MODEL}, not {model}; "
            "leave the field out, or choose provider openai or ollama"
        )
    settled = _dimensions(model, dimensions)
    chosen, reason = _index(settled, precision, index)
    return Embedding(provider, model, settled, precision, chosen, reason)


def _dimensions(model: str, asked: int | None) -> int:
    known = lookup(model)
    if known is None:
        if asked is None:
            raise Rejected(
                f"spec.embedder.dimensions: {model} is not a model whose size is known here; "
                "set spec.embedder.dimensions to the length of the vectors it returns"
            )
        settled = asked
    elif asked is None:
        settled = known.dimensions
    elif known.allows(asked):
        settled = asked
    else:
        raise Rejected(
            f"spec.embedder.dimensions: {asked} contradicts {model}, which returns {known.choices()}; "
            f"leave the field out or set it to {known.choices()}"
        )
    if not 1 <= settled <= MAX_DIMENSIONS:
        raise Rejected(
            f"spec.embedder.dimensions: {settled} is outside 1 to {MAX_DIMENSIONS}, what pgvector can store; "
            "choose a model with fewer dimensions"
        )
    return settled


def _index(dimensions: int, precision: Precision, asked: Index) -> tuple[Index, str]:
    limit = HNSW_LIMIT[precision]
    size = f"{dimensions} dimensions in {precision}"
    if asked == "exact":
        return "exact", f"{size}: exact search, as spec.vectorStore.index asks"
    if dimensions <= limit:
        if asked == "hnsw":
            return "hnsw", f"{size}: HNSW, as spec.vectorStore.index asks"
        return "auto", f"{size}: exact within a small scope, HNSW (up to {limit} dimensions) for large ones"
    if precision == "float32" and dimensions <= HNSW_LIMIT["halfvec"]:
        remedy = "set spec.vectorStore.precision to halfvec to have it indexed"
    else:
        remedy = "choose fewer dimensions to have it indexed"
    if asked == "hnsw":
        raise Rejected(
            f"spec.vectorStore.index: hnsw cannot be built on {size}, its limit is {limit}; "
            f"set index to auto or exact, or {remedy}"
        )
    return "exact", f"{size}: HNSW is off because it is limited to {limit} here, searched exactly; {remedy}"
