"""Grow the layer-removal tree: every strategy is a walk from the original model, and walks share their nodes."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from paperlib import ahead, strategies
from paperlib.common.errors import UserError
from paperlib.model import together
from paperlib.names import FAMILIES
from paperlib.nodes import parallel
from paperlib.nodes.node import SUBSETS, Node, Removed, label, layers_of, parse_label
from paperlib.nodes.progress import Progress, cost_of_sets
from paperlib.nodes.store import store_of
from paperlib.params import Params
from paperlib.strategies import Choice

DISTILLED = "Random-Forest"  # its best pruned model is distilled (section 2.3), so the weights of its walk are kept


@dataclass(frozen=True)
class Walk:
    """A strategy's way down: `nodes[0]` is the original model, `choices[k]` led from `nodes[k]` to `nodes[k + 1]`.

    Of a family, `nodes[k]` is where its walk number k ended, and the choices say nothing.
    """

    strategy: str
    nodes: list[Node]
    choices: list[Choice]

    @property
    def best(self) -> Node:
        """The pruned model of highest test accuracy, the smallest of them when several are: Table 1's maximum."""
        return max(self.nodes[1:], key=lambda node: (node.accuracy, len(node.removed)))


class Study:
    """One dataset, model, set of hyper-parameters and seed: a tree of nodes, kept on disk, grown on demand."""

    def __init__(self, params: Params):
        self.params, self.store = params, store_of(params)
        self.walks: dict[str, Walk] = {}  # whole ones, grown or read: choosing again takes a fuser's fit each time
        self.store.claim()

    def node(self, removed: Removed, parts: set[str] = frozenset()) -> Node:
        """Return one node with the measurements `parts`, as named by `strategies.needs`."""
        self._ensure({removed: set(parts)})
        return self.store.read(removed)

    def compute(self, wanted: dict[Removed, set[str]]) -> dict[Removed, Node]:
        """Return these nodes with the measurements asked of each, as `node` does, computed side by side."""
        return self._ensure(wanted)

    def nodes(self) -> list[Node]:
        """Return every node in the store, shallow ones first; records that were damaged are dropped."""
        found = [self.store.read(parse_label(name)) for name in self.store.labels()]
        return sorted((node for node in found if node), key=_by_depth)

    def measured(self, part: str, names: Sequence[str]) -> list[Node]:
        """Return the original model and those on which these walks ask for a measurement, shallow ones first.

        What the store lacks is computed. Models that only other walks, or nobody, went through are left out.
        """
        asking = [name for name in names if part in strategies.needs(name, self.params)]
        found = {(): self.node((), {part})}
        for walk in self.grow(asking).values():
            found |= {node.removed: node for node in walk.nodes if part in self._asked(walk.strategy, node.removed, node.original_layers)}
        return sorted(found.values(), key=_by_depth)

    def grow(self, names: Sequence[str], watch: Callable[[Node], None] | None = None) -> dict[str, Walk]:
        """Walk these strategies to their ends, and return the walks; those known already are not walked again.

        `watch` is called with each node that was computed; what it raises ends the growth, and what is finished is kept.
        """
        if unknown := [name for name in names if name not in self.walks]:
            self._grow(unknown, watch)
        return {name: self.walk(name) for name in names}

    def _grow(self, names: list[str], watch: Callable[[Node], None] | None) -> None:
        """Walk level by level, computing each node that is wanted once."""
        root_parts = set().union(*(strategies.needs(name, self.params, original=True) for name in names))
        with Progress(self.params, f"{len(names)} walks", watch) as progress:
            layers = self._layers()
            walks = [walk for name in names for walk in strategies.members(name, layers, self.params)]
            sets = self._cost_of_sets(self._missing_sets({(): root_parts}), layers)
            progress.expect([layers, *self._still_wanted(dict.fromkeys(walks, [()]), layers)], sets)
            root = self._ensure({(): root_parts}, progress)[()]
            paths = {walk: [root] for walk in walks}
            choices = defaultdict(list)
            progress.expect(self._still_wanted(paths, layers))
            while wanted := self._next_level(paths, choices):
                taught = {node.removed for node in paths.get(DISTILLED, ())}
                nodes = self._ensure(wanted, progress, spared=taught)
                for name, path in paths.items():
                    if len(choices[name]) == len(path):
                        path.append(nodes[_child(path[-1], choices[name][-1])])
                progress.expect(self._still_wanted(paths, layers))
        self.walks |= {name: Walk(name, path, choices[name]) for name, path in paths.items()}

    def grow_all(self) -> dict[str, Walk]:
        """Walk every strategy, control, rival and random order at once: at each depth they share most and wait least."""
        self.nodes()  # drops damaged records, also of models that no walk passes
        return self.grow(strategies.every_walk(self.params))

    def walk(self, name: str) -> Walk:
        """Read a strategy's walk from the store; raises UserError when a node of it has not been computed."""
        if name in self.walks:
            return self.walks[name]
        path, choices = [self._stored((), name)], []
        if name in FAMILIES:
            ends = [self.walk(one).nodes[-1] for one in self._walks_of(name)]
            self.walks[name] = Walk(name, path + ends, [Choice(None)] * len(ends))
            return self.walks[name]
        while choice := strategies.next_layer(name, self._measured(path, name), self.params):
            choices.append(choice)
            path.append(self._stored(_child(path[-1], choice), name))
        self.walks[name] = Walk(name, path, choices)
        return self.walks[name]

    def _walks_of(self, name: str) -> list[str]:
        """Return the walks of a strategy; the original model must be in the store."""
        return strategies.members(name, self._stored((), name).original_layers, self.params)

    def _next_level(self, paths: dict[str, list[Node]], choices: dict[str, list[Choice]]) -> dict[Removed, set[str]]:
        """Let every strategy choose; return the children wanted, each with all measurements asked of it."""
        wanted: dict[Removed, set[str]] = defaultdict(set)
        for name, path in paths.items():
            choice = strategies.next_layer(name, path, self.params)
            if choice is None:
                continue
            choices[name].append(choice)
            child = _child(path[-1], choice)
            wanted[child] |= self._asked(name, child, path[-1].original_layers)
        return wanted

    def _asked(self, name: str, removed: Removed, layers: int) -> set[str]:
        """Say what a walk asks of a model on its way: to choose there, or at its end to be reported."""
        left = layers - len(layers_of(removed))
        ended = len(removed) == strategies.depth(name, layers, self.params) or left < 2
        return strategies.needs(name, self.params, ended, original=not removed)

    def _ensure(
        self, wanted: dict[Removed, set[str]], progress: Progress | None = None, spared: set[Removed] = frozenset()
    ) -> dict[Removed, Node]:
        """Compute what is missing of these nodes; parents whose weights were evicted come first.

        The weights of `spared` nodes stay in the cache whatever its size.
        """
        if set(wanted) != {()}:
            ahead.finish()
        for removed in wanted:
            self.store.adopt(removed)
        missing = {removed: parts for removed, parts in wanted.items() if not self._complete(removed, parts)}
        parents = {removed[:-1] for removed in missing if removed and not self._trained(removed)}
        evicted = [parent for parent in parents if not self.store.weights.has(parent)]
        if evicted:
            self._ensure_weights(evicted)
        pending = set(missing)
        for node in self._computed({removed: parts - SUBSETS for removed, parts in missing.items()}):
            pending.discard(node.removed)
            self.store.weights.evict(keep=set(wanted) | {removed[:-1] for removed in pending} | spared)
            if progress is not None:
                progress.done(node)
        self._measure_sets(missing, progress)
        return {removed: self.store.read(removed) for removed in wanted}

    def _measure_sets(self, wanted: dict[Removed, set[str]], progress: Progress | None) -> None:
        """Measure what is missing of all sets of layers on all cores: in a deep study they take as long as a hundred fine-tunes."""
        missing = self._missing_sets(wanted)
        if not missing:
            return
        from paperlib.nodes import compute_subsets  # takes seconds to import

        ahead.finish()  # what goes wrong in a process that runs ahead would end the others
        with contextlib.nullcontext(progress) if progress else Progress(self.params, "all sets of layers") as shown:
            if progress is None:
                shown.expect([], self._cost_of_sets(missing, self._layers()))
            for removed, part in missing:
                compute_subsets.measure(self.params, removed, part, shown.did)

    def _missing_sets(self, wanted: dict[Removed, set[str]]) -> list[tuple[Removed, str]]:
        """List what is asked for of all sets of layers and not measured yet."""
        asked = [(removed, part) for removed, parts in wanted.items() for part in sorted(parts & SUBSETS)]
        return [(removed, part) for removed, part in asked if not self._complete(removed, {part})]

    def _cost_of_sets(self, missing: list[tuple[Removed, str]], layers: int) -> float:
        """Return what it costs at most to measure these."""
        return sum(cost_of_sets(layers, getattr(self.params, f"{part.removeprefix('subsets_')}_size"), self.params) for _, part in missing)

    def _ensure_weights(self, nodes: list[Removed]) -> None:
        """Rebuild evicted weights by replaying their paths, shallow ones first so that deep ones find them."""
        for depth in sorted({len(removed) for removed in nodes}):
            level = [removed for removed in nodes if len(removed) == depth]
            above = {removed[:-1] for removed in level if removed}
            if lost := [parent for parent in above if not self.store.weights.has(parent)]:
                self._ensure_weights(lost)
            list(self._computed({removed: set() for removed in level}))

    def _computed(self, wanted: dict[Removed, set[str]]) -> Iterator[Node]:
        """Yield these nodes as they are done: computed side by side on a processor's cores, or as batches of models."""
        if together.is_on(self.params):
            from paperlib.nodes import compute_together

            return compute_together.compute_nodes(self.params, wanted)
        longest_first = sorted(
            wanted, key=lambda removed: (len(layers_of(removed)), -len(wanted[removed]))
        )
        arguments = [(self.params, removed, frozenset(wanted[removed]), True) for removed in longest_first]
        return parallel.run(_compute, arguments, self.params)

    def _complete(self, removed: Removed, parts: set[str]) -> bool:
        node = self.store.read(removed)
        return node is not None and node.has(parts)

    def _trained(self, removed: Removed) -> bool:
        return self.store.read(removed) is not None and self.store.weights.has(removed)

    def _stored(self, removed: Removed, name: str) -> Node:
        node = self.store.read(removed)
        if node is None:
            where = f"layers {label(removed)} removed" if removed else "the original model"
            raise UserError(f"{name}: {where}: not computed yet; run the notebook that grows it")
        return node

    def _measured(self, path: list[Node], name: str) -> list[Node]:
        """Return the path if a strategy can choose at its end; raise UserError when a measurement is wanting."""
        if not path[-1].has(self._asked(name, path[-1].removed, path[-1].original_layers)):
            raise UserError(f"{name} has not been walked yet: run the notebook that grows it")
        return path

    def _layers(self) -> int:
        """Return L; where the original model is still to come, of the encoder that it is made from."""
        if (root := self.store.adopt(())) is not None:
            return root.original_layers
        from paperlib.nodes import compute  # takes seconds to import, and is needed now

        return compute.bench_of(self.params).layers

    def _still_wanted(self, paths: dict[str, list], total: int) -> list[int]:
        """Return the layers of every model that could still be asked for, were no two walks to meet again."""
        left = []
        for name, path in paths.items():
            deepest = strategies.depth(name, total, self.params)
            for step in range(len(path), deepest + 1):
                gone = 0 if name == "Equal-Training" else deepest if name.startswith("One-Shot") else step
                left.append(total - gone)
        return left


def _by_depth(node: Node) -> tuple[int, str]:
    return len(node.removed), label(node.removed)


def _child(node: Node, choice: Choice) -> Removed:
    return (*node.removed, choice.layer)


def _compute(params: Params, removed: Removed, parts: frozenset[str], keep_weights: bool) -> Node:
    from paperlib.nodes import compute  # takes seconds to import, so only where something is computed

    return compute.compute_node(params, removed, parts, keep_weights)
