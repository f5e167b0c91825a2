"""Verbs that find memories and read them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from rae._errors import UnsupportedError
from rae._rae import Context, Hits, Memory, MemoryVersion, Page
from rae._types import Array, EmbedRole, Kind, Layer, Time
from rae._verbs.base import Handle


class Rae(Handle):
    """Its verbs that read."""

    __slots__ = ()

    def recall(
        self,
        query: str,
        *,
        k: int = 10,
        layers: Iterable[Layer] | None = None,
        kinds: Iterable[Kind] | None = None,
        tags: Iterable[str] | None = None,
        tags_any: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        since: Time | None = None,
        until: Time | None = None,
        as_of: Time | None = None,
        known_at: Time | None = None,
        session_id: str | None = None,
        agent_id: str | None = None,
        user_id: str | None = None,
        min_score: float | None = None,
        max_tokens: int | None = None,
        graph_weight: float | None = None,
        rerank: bool = False,
        explain: bool = False,
    ) -> Hits:
        """Finds memories: meaning, words, speaker, session and time together. No model is called.

        query: 1 byte to 64 KiB. k: most hits, 1 to 1,000.
        layers, kinds: only these. tags: all of these. tags_any: any of these.
        filter: `{field: value | {eq, ne, in, nin, gt, gte, lt, lte, contains}}`, combined by "and",
            "or", "not"; fields are those of `Memory`, and "metadata.a.b"; at most 64 comparisons.
        since (inclusive), until (exclusive): on occurred_at, else created_at.
        as_of: what held at that time. known_at: what was stored by that time, in its wording then.
        min_score: least `hit.relevance`, 0 to 1, which is absolute; 0 keeps everything.
        graph_weight: what nearness in the graph of relations to the entities that the question
            names adds to the score, 0 to 1; default 0.
        max_tokens: most tokens of all hits together. rerank: asks the configured reranker.
        explain: fills `hits.trace`.
        """
        return self._native.recall(
            query,
            {
                "k": k,
                "layers": layers,
                "kinds": kinds,
                "tags": tags,
                "tags_any": tags_any,
                "filter": filter,
                "since": since,
                "until": until,
                "as_of": as_of,
                "known_at": known_at,
                "session_id": session_id,
                "agent_id": agent_id,
                "user_id": user_id,
                "min_score": min_score,
                "max_tokens": max_tokens,
                "graph_weight": graph_weight,
                "rerank": rerank,
                "explain": explain,
            },
        )

    def context(
        self,
        query: str | None = None,
        *,
        session_id: str | None = None,
        max_tokens: int = 1000,
        agent_id: str | None = None,
        user_id: str | None = None,
        layers: Iterable[Layer] | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
        min_score: float | None = None,
    ) -> Context:
        """A block of memories for a prompt.

        In it: the user's profile, lessons, relevant memories, the session's last turns.

        query: what it is about; without one the last turn of `session_id` is the question.
        max_tokens: most tokens of the whole text, counted exactly, 1 to 1,000,000.
        session_id: adds its last turns. min_score: least relevance, default 0.12.
        The other options are those of `recall`. Raises InvalidInputError without query and session.
        """
        return self._native.context(
            query,
            {
                "session_id": session_id,
                "max_tokens": max_tokens,
                "agent_id": agent_id,
                "user_id": user_id,
                "layers": layers,
                "tags": tags,
                "filter": filter,
                "min_score": min_score,
            },
        )

    def get(self, id: str) -> Memory:
        """A memory. Raises NotFoundError when there is none."""
        return self._native.get(id)

    def list(
        self,
        limit: int = 50,
        cursor: str | None = None,
        *,
        layer: Layer | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Page:
        """A page of memories, oldest first.

        limit: 1 to 1,000. cursor: `next_cursor` of the page before. layer, tags (all of these) and
        filter as in `recall`.
        """
        return self._native.list(
            {"limit": limit, "cursor": cursor, "layer": layer, "tags": tags, "filter": filter}
        )

    def history(self, id: str) -> builtins.list[MemoryVersion]:
        """All versions, oldest first; the last one is the present. Raises NotFoundError."""
        return self._native.history(id)

    def embed(self, texts: Iterable[str], *, role: EmbedRole = "document") -> Array:
        """Vectors of texts, as a numpy array of float32 with a row of unit length for each text.

        texts: at most 1,000, of at most 1 MiB each; taken as they are, without a date or names.
        role: "document" for what is to be found, "query" for a question; some embedders tell them
            apart, the built-in one and callables do not.

        The shape is (number of texts, dimension). A text with nothing the embedder knows has a row
        of zeros. Raises UnsupportedError with code "numpy_missing" where numpy is not installed,
        UnavailableError when the embedder fails.
        """
        array = _numpy("embed")
        floats, dim = self._native.embed(texts, role)
        rows: Array = array.frombuffer(floats, dtype=array.float32).reshape(-1, dim)
        return rows

    def vector(self, id: str) -> Array | None:
        """The stored vector of a memory, as a numpy array of float32 and unit length.

        None where the memory has none: its text has nothing the embedder knows, or its vector is
        still owed (see `maintain`). Raises NotFoundError, and UnsupportedError with code
        "numpy_missing" where numpy is not installed.
        """
        array = _numpy("vector")
        floats = self._native.vector(id)
        if floats is None:
            return None
        vector: Array = array.frombuffer(floats, dtype=array.float32)
        return vector


def _numpy(verb: str) -> Any:
    try:
        import numpy
    except ImportError as error:
        raise UnsupportedError(
            f"{verb} gives numpy arrays and numpy is not installed: pip install numpy",
            code="numpy_missing",
        ) from error
    return numpy
