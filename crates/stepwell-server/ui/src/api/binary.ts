// Reads answers of `POST /api/stepwell/plots`: a header of JSON, then little-endian columns. docs/server.md has the form.

/** Bits of a point's kind. */
export const LAST = 8;

export interface Curve {
  x: Float64Array;
  y: Float64Array;
  kinds: Uint8Array;
  /** Whether each point is there. */
  exact: boolean;
  /** Points of the whole series, and how many are NaN. */
  points: number;
  nan: number;
  withoutX: number;
}

export interface Band {
  group: string | null;
  runs: number;
  x: Float64Array;
  least: Float64Array;
  low: Float64Array;
  median: Float64Array;
  high: Float64Array;
  greatest: Float64Array;
  count: Float64Array;
}

export interface Plots {
  cursor: string;
  runs: string[];
  keys: string[];
  missing: number[];
  leftOut: string[];
  /** By key, then run. `null`: as in the answer before. */
  curves: Map<string, Map<string, Curve | null>>;
  bands: Map<string, Band[]>;
}

export function decode(bytes: ArrayBuffer): Plots {
  const view = new DataView(bytes);
  const magic = String.fromCharCode(...new Uint8Array(bytes, 0, 4));
  if (magic !== 'SWP1') throw new Error(`an answer begins with ${JSON.stringify(magic)}, not SWP1`);
  const length = view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  const start = 8 + length;
  const floats = (at: number, n: number) => new Float64Array(bytes, start + at, n);
  const curves = new Map<string, Map<string, Curve | null>>();
  for (const key of header.keys) curves.set(key, new Map());
  for (const c of header.curves) {
    const curve = c.same ? null : {
      x: floats(c.x, c.n),
      y: floats(c.y, c.n),
      kinds: new Uint8Array(bytes, start + c.kind, c.n),
      exact: c.exact,
      points: c.points,
      nan: c.nan,
      withoutX: c.without_x ?? 0,
    };
    curves.get(header.keys[c.key])?.set(header.runs[c.run], curve);
  }
  const bands = new Map<string, Band[]>();
  for (const b of header.bands) {
    const of = bands.get(header.keys[b.key]) ?? [];
    of.push({
      group: b.group,
      runs: b.runs,
      x: floats(b.x, b.n),
      least: floats(b.least, b.n),
      low: floats(b.low, b.n),
      median: floats(b.median, b.n),
      high: floats(b.high, b.n),
      greatest: floats(b.greatest, b.n),
      count: floats(b.count, b.n),
    });
    bands.set(header.keys[b.key], of);
  }
  return {
    cursor: header.cursor,
    runs: header.runs,
    keys: header.keys,
    missing: header.missing,
    leftOut: header.left_out,
    curves,
    bands,
  };
}
