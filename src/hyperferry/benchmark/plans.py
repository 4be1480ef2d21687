"""What EXPLAIN (FORMAT JSON) says -> Run and Shape. Pure; the keys are those of explain.c."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from .options import Run, Shape, Side
from .tokens import NAME_BYTES

Node = Mapping[str, Any]

_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Filter",
    "Merge Cond",
    "Hash Cond",
    "Join Filter",
    "One-Time Filter",
    "TID Cond",
    "Vectorized Filter",
    "Scankey",
)
_COMPRESSED = re.compile(r"^compress_hyper_\d+_\d+_chunk(?:_|$)")
_DECOMPRESSING = frozenset({"DecompressChunk", "ColumnarScan"})
_CHUNK_INDEX = tuple(map(re.compile, (r"^_hyper_\d+_\d+_chunk_", r"^\d+_\d+_", r"^\d+_")))
"""What stands before an index's own name on a chunk: one made by CREATE INDEX, a constraint's up to 2.21, and from 2.22 on."""
_EXTENT = ("Shared Hit Blocks", "Shared Read Blocks", "Temp Read Blocks", "Temp Written Blocks")
SHOWN_VALUE = 200
_OURS = frozenset({"plan_cache_mode", "search_path"})
"""Settings that a benchmark makes itself."""


def parse(text: str | bytes) -> Node:
    """What EXPLAIN (FORMAT JSON) printed. TimescaleDB's DeferredChunkAppend (2.3x) writes a key `Plan` for each chunk that it
    came to into one node: they become its children."""
    explained: list[Node] = json.loads(text, object_pairs_hook=_object)
    return explained[0]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if "Node Type" in found and "Plan" in found:
        del found["Plan"]
        found["Plans"] = [*found.get("Plans", ()), *(value for key, value in pairs if key == "Plan")]
    return found


def run_of(explained: Node, side: Side, draw: int) -> Run:
    """The figures of one execution."""
    top = explained["Plan"]
    hit, read, temp_read, temp_written = (int(top.get(key, 0)) for key in _EXTENT)
    planning = explained.get("Planning") or {}
    return Run(
        draw=draw,
        planning_ms=float(explained.get("Planning Time", 0.0)),
        execution_ms=float(explained.get("Execution Time", 0.0)),
        hit=hit,
        read=read,
        temp=temp_read + temp_written,
        planning_pages=int(planning.get("Shared Hit Blocks", 0)) + int(planning.get("Shared Read Blocks", 0)),
        chunks=len(_chunks(top, side, executed=True)),
        rows=float(top.get("Actual Rows", 0)),
    )


def shape_of(explained: Node, side: Side) -> Shape:
    """The plan's shape."""
    top = explained["Plan"]
    nodes = list(_nodes(top))
    own = [node for node in nodes if _reads(node, side)]
    settings = explained.get("Settings") or {}
    jit = (explained.get("JIT") or {}).get("Timing") or {}
    return Shape(
        lines=tuple(_lines(top, side)),
        indexes=tuple(sorted({_root_index(node["Index Name"], side) for node in nodes if "Index Name" in node})),
        sequential=any(node["Node Type"] == "Seq Scan" for node in own),
        time_condition=side.time_column is not None and _on_time(nodes, side, side.time_column),
        planned_chunks=len(_chunks(top, side, executed=False)),
        decompressed=any(node.get("Custom Plan Provider") in _DECOMPRESSING and node.get("Actual Loops") for node in nodes),
        spilled=any(int(node.get("Temp Written Blocks", 0)) > 0 for node in nodes),
        jit_ms=float(jit.get("Total", 0.0)),
        workers=max((int(node.get("Workers Planned", 0)) for node in nodes), default=0),
        settings={str(key): str(value) for key, value in settings.items() if key not in _OURS},
    )


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _reads(node: Node, side: Side) -> bool:
    """Whether the node reads the side's table or a chunk of it."""
    relation = node.get("Relation Name")
    return relation is not None and (relation in side.chunks if side.chunks is not None else relation == side.name.name)


def _chunks(top: Node, side: Side, *, executed: bool) -> set[str]:
    """The chunks in the plan; `executed`: those that were in fact read."""
    return {
        node["Relation Name"]
        for node in _nodes(top)
        if side.chunks is not None
        and node.get("Relation Name") in side.chunks
        and (not executed or int(node.get("Actual Loops", 0)) > 0)
    }


_STRING = re.compile(r"'(?:[^']|'')*'")
_TYPE = re.compile(
    r'::(?:(?:timestamp|time)(?:\(\d+\))?(?: with(?:out)? time zone)?|(?:"(?:[^"]|"")*"|[\w$]+)(?:\.(?:"(?:[^"]|"")*"|[\w$]+))*)'
)
"""What a value is cast to: a column may be called `time`, as a type is."""


_NUMBERED = re.compile(r"_\d+$")
"""What the planner writes behind an alias for each chunk."""


def _on_time(nodes: Sequence[Node], side: Side, column: str) -> bool:
    """Whether a condition has the side's own time column: bare where the side is read, or by an alias of its own anywhere.
    Another relation's column may have the same name."""
    own = [node for node in nodes if _reads(node, side)]
    aliases = {str(node.get("Alias", side.name.name)) for node in own} | {str(node["Relation Name"]) for node in own}
    aliases |= {_NUMBERED.sub("", alias) for alias in aliases}
    return any(_speaks_of(node, column, aliases, bare=_reads(node, side)) for node in nodes)


def _speaks_of(node: Node, column: str, aliases: Collection[str], *, bare: bool) -> bool:
    text = _TYPE.sub(" ", _STRING.sub("''", " ".join(str(node[key]) for key in _CONDITIONS if key in node)))
    names = "|".join(re.escape(each) for each in (column, '"' + column.replace('"', '""') + '"'))
    for found in re.finditer(rf'(?:([\w$]+|"(?:[^"]|"")*")\.)?(?<![\w"$])(?:{names})(?![\w"$])', text):
        qualifier = found[1]
        if qualifier is None and bare:
            return True
        if qualifier is not None and qualifier.strip('"').replace('""', '"') in aliases:
            return True
    return False


def _root_index(name: str, side: Side) -> str:
    """The index as the table has it: a chunk's is named after the chunk, or a number, and it; cut to 63 bytes."""
    if side.chunks is None:
        return name
    if _COMPRESSED.match(name):
        return f"{_COMPRESSED.sub('', name)} of a compressed chunk"
    known = {index.name for index in side.indexes}
    for prefix in _CHUNK_INDEX:
        own = prefix.sub("", name)
        if own in known:
            return own
        if len(name.encode()) == NAME_BYTES:
            whole = next((each for each in sorted(known) if each.startswith(own)), None)
            if whole is not None:
                return whole
    return _CHUNK_INDEX[0].sub("", name)


def _lines(node: Node, side: Side, depth: int = 0) -> Iterator[str]:
    children: list[list[str]] = [list(_lines(child, side, depth + 1)) for child in node.get("Plans", ())]
    yield "  " * depth + _head(node, side)
    counted = Counter(tuple(child) for child in children)
    shown: set[tuple[str, ...]] = set()
    for child in map(tuple, children):
        if child in shown:
            continue
        shown.add(child)
        times = counted[child]
        first = child[0] if times == 1 else "  " * (depth + 1) + f"{times} × " + child[0].lstrip()
        yield first
        yield from child[1:]


def _head(node: Node, side: Side) -> str:
    """One node in a line: what it does, on what, by which index, under which condition; without values of a run."""
    kind = str(node["Node Type"])
    kind = str(node.get("Custom Plan Provider", kind)) if kind == "Custom Scan" else kind
    if node.get("Strategy") in ("Hashed", "Sorted", "Mixed"):
        kind = f"{node['Strategy']} {kind}"
    if node.get("Join Type") not in (None, "Inner"):
        kind += f" ({node['Join Type']})"
    parts = [f"Parallel {kind}" if node.get("Parallel Aware") else kind]
    if node.get("Scan Direction") == "Backward":
        parts.append("backward")
    if "Index Name" in node:
        parts.append(f"using {_root_index(node['Index Name'], side)}")
    relation = node.get("Relation Name")
    if relation is not None:
        chunk = side.chunks is not None and relation in side.chunks
        inner = side.chunks is not None and _COMPRESSED.match(relation)
        parts.append("on a chunk" if chunk else "on its compressed rows" if inner else f"on {relation}")
    if node.get("Subplan Name"):
        parts.append(f"[{node['Subplan Name']}]")
    for key in ("Sort Key", "Group Key"):
        if key in node:
            parts.append(f"by {', '.join(_plain(str(each), side) for each in node[key])}")
    for key in _CONDITIONS:
        if key in node:
            parts.append(f"{key.lower()} {_plain(str(node[key]), side)}")
    if int(node.get("Actual Loops", 1)) == 0:
        parts.append("(never executed)")
    return " ".join(parts)


_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![\w.$\"])-?\d+(?:\.\d+)?(?![\w\"])")
_CHUNK_NAME = re.compile(r"(?<!\w)_hyper_\d+_\d+_chunk(?:_\d+)?(?!\w)")


def _plain(text: str, side: Side) -> str:
    """An expression without its values and chunk names, so that equal ones look alike."""
    return _CHUNK_NAME.sub("chunk", _LITERAL.sub("?", text))[:SHOWN_VALUE]
