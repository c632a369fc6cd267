/**
 * Tries of path templates, in which literals go before `*` before `**`, packed into a few arrays of numbers. What a lookup touches is
 * small and lies close together, so that a path costs the same among ten routes and among ten thousand, all of them in use: as
 * objects and Maps, ten thousand routes are more than the processor's caches hold.
 */

/** A node of a trie, while it is built. Numbers of leaves are those of the routes; -1 is none. */
interface Building {
  readonly literals: Map<string, Building>;
  star: Building | undefined;
  end: number;
  rest: number;
}

/**
 * A node takes four numbers: what is behind `*`, its two leaves, and where the text of the literal that leads to it begins. Behind `*`
 * is a node, or, where only one template goes on and ends there, its leaf: `-2 - leaf`.
 */
const STAR = 0;
const END = 1;
const REST = 2;
const TEXT = 3;
const NODE = 4;
/** In TEXT, a bit for nodes that have literals below them. */
const HAS_LITERALS = 1;

/** An edge takes two numbers: the hash of its literal, and the node it leads to. */
const TO = 1;
const EDGE = 2;

/** No leaf, no node. */
export const NONE = -1;
const SLASH = 0x2f;

/** Collects templates under roots. Of two for the same paths under one root, the first stays. */
export class TrieBuilder {
  private readonly roots: Building[] = [];

  /** The number of a new, empty trie: with the order of their creation, roots are 0, 1, 2 ... */
  root(): number {
    return this.roots.push(createBuilding()) - 1;
  }

  /** `segments`: `*`, `**`, or literals. */
  insert(root: number, segments: readonly string[], leaf: number): void {
    let node = this.roots[root] as Building;
    for (const segment of segments) {
      if (segment === '**') {
        if (node.rest === NONE) node.rest = leaf;
        return;
      }
      node = segment === '*' ? starOf(node) : literalOf(node, segment);
    }
    if (node.end === NONE) node.end = leaf;
  }

  /** `ranks`, by leaf: where the order of declaration decides, the lowest goes first; without them the most specific does. */
  build(ranks?: Int32Array): Tries {
    const order: Building[] = [];
    // What hangs on one node follows it, so that a way through the trie is mostly a way forward through the array.
    const number = (node: Building): void => {
      order.push(node);
      if (node.star && !isLeaf(node.star)) number(node.star);
      for (const next of node.literals.values()) number(next);
    };
    const roots = this.roots.map((root) => {
      const first = order.length;
      number(root);
      return first;
    });
    return new Tries(roots, pack(order), ranks);
  }
}

function createBuilding(): Building {
  return { literals: new Map(), star: undefined, end: NONE, rest: NONE };
}

function starOf(node: Building): Building {
  node.star ??= createBuilding();
  return node.star;
}

function literalOf(node: Building, text: string): Building {
  const known = node.literals.get(text);
  if (known) return known;
  const made = createBuilding();
  node.literals.set(text, made);
  return made;
}

/** Nothing but the end of one template. */
function isLeaf({ literals, star, rest, end }: Building): boolean {
  return literals.size === 0 && star === undefined && rest === NONE && end !== NONE;
}

interface Packed {
  readonly nodes: Int32Array;
  /** An open-addressed hash table of all edges, at most two thirds full. */
  readonly edges: Int32Array;
  /** Of the edges' slots, whose number is a power of two. */
  readonly mask: number;
  /** ASCII, each with a slash behind it. */
  readonly texts: Uint8Array;
}

function pack(order: readonly Building[]): Packed {
  const numbers = new Map(order.map((node, index) => [node, index]));
  const literals = order.flatMap((node, from) =>
    [...node.literals].map(([text, next]) => ({ from, text, to: numbers.get(next) as number })),
  );
  let slots = 2;
  while (slots < literals.length * 1.5) slots *= 2;
  const mask = slots - 1;
  const edges = new Int32Array(slots * EDGE).fill(NONE);
  const places = new Map<string, number>();
  let texts = '';
  const nodes = new Int32Array(order.length * NODE);
  for (const [index, node] of order.entries()) {
    nodes.set([behindStar(node, numbers), node.end, node.rest, 0], index * NODE);
  }
  for (const { from, text, to } of literals) {
    let hash = seedOf(from);
    for (let index = 0; index < text.length; index++) hash = mix(hash, text.charCodeAt(index));
    let slot = slotOf(hash) & mask;
    while (edges[slot * EDGE + TO] !== NONE) slot = (slot + 1) & mask;
    edges.set([hash, to], slot * EDGE);
    const place = places.get(text) ?? texts.length;
    if (place === texts.length) texts += `${text}/`;
    places.set(text, place);
    nodes[to * NODE + TEXT] = place << 1;
  }
  for (const { from } of literals) (nodes[from * NODE + TEXT] as number) |= HAS_LITERALS;
  return { nodes, edges, mask, texts: Buffer.from(texts, 'latin1') };
}

function behindStar({ star }: Building, numbers: ReadonlyMap<Building, number>): number {
  if (star === undefined) return NONE;
  return isLeaf(star) ? -2 - star.end : (numbers.get(star) as number);
}

/**
 * FNV-1a over the node and the characters. Each step maps no two numbers to one, so literals with one hash and one text lead from one
 * node; those with one hash and two texts are told apart by the text.
 */
function seedOf(node: number): number {
  return Math.imul(node ^ 0x811c9dc5, 0x01000193);
}

function mix(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193);
}

function slotOf(hash: number): number {
  return hash ^ (hash >>> 15);
}

/** Several tries. Immutable. */
export class Tries {
  private readonly nodes: Int32Array;
  private readonly edges: Int32Array;
  private readonly mask: number;
  private readonly texts: Uint8Array;

  constructor(
    private readonly roots: readonly number[],
    { nodes, edges, mask, texts }: Packed,
    private readonly ranks: Int32Array | undefined,
  ) {
    this.nodes = nodes;
    this.edges = edges;
    this.mask = mask;
    this.texts = texts;
  }

  /**
   * The leaf for the segments of `path`, which is ASCII, from index `start` to `end`, -1 for none; `start` lies behind `end` when there
   * are no segments. A node is visited at most once for a path, so that backtracking is bounded by the trie.
   */
  find(root: number, path: string, start: number, end: number): number {
    const node = this.roots[root] as number;
    return this.ranks === undefined
      ? this.best(node, path, start, end)
      : this.lowest(node, path, start, end, this.ranks);
  }

  /** The most specific leaf at `node`, a node or `-2 - leaf`, and below it. */
  private best(node: number, path: string, start: number, end: number): number {
    if (node < 0) return start > end ? -2 - node : NONE;
    const { nodes } = this;
    const at = node * NODE;
    const rest = nodes[at + REST] as number;
    if (start > end) {
      const leaf = nodes[at + END] as number;
      return leaf === NONE ? rest : leaf;
    }
    let stop = start;
    if (((nodes[at + TEXT] as number) & HAS_LITERALS) === 0) {
      stop = stopOf(path, start, end);
    } else {
      let hash = seedOf(node);
      for (; stop < end; stop++) {
        const code = path.charCodeAt(stop);
        if (code === SLASH) break;
        hash = mix(hash, code);
      }
      const next = this.follow(hash, path, start, stop);
      const leaf = next === NONE ? NONE : this.best(next, path, stop + 1, end);
      if (leaf !== NONE) return leaf;
    }
    const star = nodes[at + STAR] as number;
    const leaf = star === NONE ? NONE : this.best(star, path, stop + 1, end);
    return leaf === NONE ? rest : leaf;
  }

  /** The leaf with the lowest rank of all at `node` and below it that match. */
  private lowest(node: number, path: string, start: number, end: number, ranks: Int32Array): number {
    if (node < 0) return start > end ? -2 - node : NONE;
    const { nodes } = this;
    const at = node * NODE;
    const rest = nodes[at + REST] as number;
    if (start > end) return lower(nodes[at + END] as number, rest, ranks);
    const stop = stopOf(path, start, end);
    let found = rest;
    if (((nodes[at + TEXT] as number) & HAS_LITERALS) !== 0) {
      let hash = seedOf(node);
      for (let index = start; index < stop; index++) hash = mix(hash, path.charCodeAt(index));
      const next = this.follow(hash, path, start, stop);
      if (next !== NONE) found = lower(found, this.lowest(next, path, stop + 1, end, ranks), ranks);
    }
    const star = nodes[at + STAR] as number;
    return star === NONE ? found : lower(found, this.lowest(star, path, stop + 1, end, ranks), ranks);
  }

  /** The node that the literal with this hash leads to. */
  private follow(hash: number, path: string, start: number, stop: number): number {
    const { edges, mask } = this;
    for (let slot = slotOf(hash) & mask; ; slot = (slot + 1) & mask) {
      const to = edges[slot * EDGE + TO] as number;
      if (to === NONE) return NONE;
      if (edges[slot * EDGE] === hash && this.isText(to, path, start, stop)) return to;
    }
  }

  private isText(node: number, path: string, start: number, stop: number): boolean {
    const { texts } = this;
    let at = (this.nodes[node * NODE + TEXT] as number) >> 1;
    for (let index = start; index < stop; index++, at++) {
      if (texts[at] !== path.charCodeAt(index)) return false;
    }
    return texts[at] === SLASH;
  }
}

/** Where the segment from `start` on ends. */
function stopOf(path: string, start: number, end: number): number {
  const slash = path.indexOf('/', start);
  return slash === -1 || slash > end ? end : slash;
}

function lower(a: number, b: number, ranks: Int32Array): number {
  if (a === NONE || b === NONE) return a === NONE ? b : a;
  return (ranks[a] as number) <= (ranks[b] as number) ? a : b;
}
