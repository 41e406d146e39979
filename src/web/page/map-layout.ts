/**
 * Where the boxes of the service map stand: callers left of what they call, in as many columns as the longest chain has,
 * ordered so that lines cross little. A line that passes a column has a place of its own there, so it hides behind no box. Pure, and the same for the same graph: nothing moves because figures change.
 */

export interface Link {
  readonly client: string;
  readonly server: string;
}

export interface Place {
  readonly column: number;
  /** Row within the column, from the top. */
  readonly row: number;
}

export interface Layout {
  readonly places: ReadonlyMap<string, Place>;
  /** The places that a link passes between its ends, from client to server; by linkKey(). */
  readonly passes: ReadonlyMap<string, readonly Place[]>;
  /** How many places each column has. */
  readonly columns: readonly number[];
}

/** Names hold no NUL. */
export function linkKey({ client, server }: Link): string {
  return `${client}\0${server}`;
}

/** Two sweeps there and back are what small graphs need. */
const SWEEPS = 4;

export function layOut(nodes: readonly string[], links: readonly Link[]): Layout {
  const names = [...nodes].sort();
  const known = new Set(names);
  const edges = links.filter(({ client, server }) => client !== server && known.has(client) && known.has(server));
  const forward = withoutCycles(names, edges);
  const columnOf = longestPaths(names, forward);
  const columns: string[][] = [];
  for (const name of names) {
    const column = columnOf.get(name) ?? 0;
    while (columns.length <= column) columns.push([]);
    columns[column]!.push(name);
  }
  const steps: Link[] = [];
  const passing = new Map<string, string[]>();
  for (const edge of forward) {
    const ids: string[] = [];
    for (let column = columnOf.get(edge.client)! + 1; column < columnOf.get(edge.server)!; column++) {
      const id = `${linkKey(edge)}\0${column}`;
      columns[column]!.push(id);
      ids.push(id);
    }
    passing.set(linkKey(edge), ids);
    const path = [edge.client, ...ids, edge.server];
    for (let i = 1; i < path.length; i++) steps.push({ client: path[i - 1]!, server: path[i]! });
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) order(columns, steps, sweep % 2 === 0);
  const all = new Map<string, Place>();
  for (const [column, members] of columns.entries()) {
    for (const [row, id] of members.entries()) all.set(id, { column, row });
  }
  return {
    places: new Map(names.map((name) => [name, all.get(name)!])),
    passes: new Map([...passing].map(([key, ids]) => [key, ids.map((id) => all.get(id)!)])),
    columns: columns.map(({ length }) => length),
  };
}

/** Drops the edges that lead back to where a walk came from. */
function withoutCycles(names: readonly string[], edges: readonly Link[]): Link[] {
  const from = new Map<string, Link[]>();
  for (const edge of edges) from.set(edge.client, [...(from.get(edge.client) ?? []), edge]);
  const called = new Set(edges.map(({ server }) => server));
  const state = new Map<string, 'open' | 'done'>();
  const kept: Link[] = [];
  // Those that nobody calls first: a cycle is then cut where the walk closes it.
  for (const start of [...names.filter((name) => !called.has(name)), ...names]) {
    if (state.has(start)) continue;
    state.set(start, 'open');
    const stack = [{ name: start, next: 0 }];
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const edge = from.get(top.name)?.[top.next++];
      if (edge === undefined) {
        state.set(top.name, 'done');
        stack.pop();
        continue;
      }
      const reached = state.get(edge.server);
      if (reached === 'open') continue;
      kept.push(edge);
      if (reached === undefined) {
        state.set(edge.server, 'open');
        stack.push({ name: edge.server, next: 0 });
      }
    }
  }
  return kept;
}

function longestPaths(names: readonly string[], edges: readonly Link[]): Map<string, number> {
  const column = new Map(names.map((name) => [name, 0]));
  // Without cycles this ends after as many rounds as the longest path has edges.
  for (let round = 0, moved = true; moved && round < names.length; round++) {
    moved = false;
    for (const { client, server } of edges) {
      const wanted = column.get(client)! + 1;
      if (column.get(server)! >= wanted) continue;
      column.set(server, wanted);
      moved = true;
    }
  }
  return column;
}

/** Each name goes to the mean height of its neighbours in the column before (or after). */
function order(columns: string[][], edges: readonly Link[], toRight: boolean): void {
  const height = new Map<string, number>();
  const sequence = toRight ? columns : [...columns].reverse();
  for (const column of sequence) {
    const wish = new Map<string, number>();
    for (const [row, name] of column.entries()) {
      const near = edges
        .filter((edge) => (toRight ? edge.server : edge.client) === name)
        .map((edge) => height.get(toRight ? edge.client : edge.server))
        .filter((value) => value !== undefined);
      wish.set(name, near.length > 0 ? near.reduce((a, b) => a + b, 0) / near.length : row - (column.length - 1) / 2);
    }
    column.sort((a, b) => wish.get(a)! - wish.get(b)! || (a < b ? -1 : 1));
    for (const [row, name] of column.entries()) height.set(name, row - (column.length - 1) / 2);
  }
}
