"""Graphs of comparisons: what hangs together, how often each is compared, how far apart they are.

Nodes are whole numbers from 0. Knows nothing of what they stand for.
"""

from collections.abc import Iterable

__all__ = ["Edge", "components", "degrees", "diameter", "strongly_connected"]

Edge = tuple[int, int]


def degrees(nodes: int, edges: Iterable[Edge]) -> list[int]:
    """Count the edges at each node; one that stands there twice counts twice."""
    found = [0] * nodes
    for one, other in edges:
        found[one] += 1
        found[other] += 1
    return found


def components(nodes: int, edges: Iterable[Edge]) -> list[list[int]]:
    """Return what hangs together, the largest first; each in the order of its nodes."""
    parents = list(range(nodes))

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]  # halves the way for the next
            node = parents[node]
        return node

    for one, other in edges:
        parents[root(one)] = root(other)
    members: dict[int, list[int]] = {}
    for node in range(nodes):
        members.setdefault(root(node), []).append(node)
    return sorted(members.values(), key=lambda member: (-len(member), member[0]))


def diameter(nodes: int, edges: Iterable[Edge]) -> int | None:
    """Return how many steps lie between the two nodes that are furthest apart.

    None where some are not connected at all. A set of nodes is a whole number with a bit for each,
    so that a step from all of them at once takes one operation for each edge.
    """
    around = [1 << node for node in range(nodes)]
    for one, other in edges:
        around[one] |= 1 << other
        around[other] |= 1 << one
    neighbours = [[at for at in range(nodes) if near >> at & 1] for near in around]
    every = (1 << nodes) - 1
    reached = [1 << node for node in range(nodes)]
    steps = 0
    while any(one != every for one in reached):
        further = [_union(reached, near) for near in neighbours]
        if further == reached:
            return None
        reached = further
        steps += 1
    return steps


def _union(sets: list[int], members: Iterable[int]) -> int:
    union = 0
    for member in members:
        union |= sets[member]
    return union


def strongly_connected(nodes: int, arcs: Iterable[Edge]) -> bool:
    """Whether one can go from every node to every other along arcs, each from first to second."""
    ahead: list[list[int]] = [[] for _ in range(nodes)]
    back: list[list[int]] = [[] for _ in range(nodes)]
    for one, other in arcs:
        ahead[one].append(other)
        back[other].append(one)
    return all(len(_reached(to)) == nodes for to in (ahead, back))


def _reached(to: list[list[int]]) -> set[int]:
    """Return what can be reached from the first node."""
    found = {0} if to else set()
    ends = list(found)
    while ends:
        new = [node for node in to[ends.pop()] if node not in found]
        found.update(new)
        ends += new
    return found
