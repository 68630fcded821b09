// Curves for panels: requests of many panels go together, few at once, and what changed while a page is open comes alone.
import { useEffect, useRef, useState } from 'preact/hooks';
import { send } from './client';
import { decode } from './binary';
import type { Band, Curve } from './binary';
import { follow } from './live';
import type { AxisKind, Range } from '../draw/shape';

/** What curves are wanted of. */
export interface Ask {
  runs: string[];
  x: AxisKind;
  xKey: string;
  range: Range | null;
  width: number;
  groupBy: string;
}

export interface Curves {
  curves: Map<string, Curve>;
  bands: Band[];
  leftOut: string[];
}

interface Waiting {
  key: string;
  since: string;
  done: (part: Part) => void;
  failed: (error: Error) => void;
  signal: AbortSignal;
}

interface Part {
  cursor: string;
  /** `null`: nothing is new. */
  curves: Map<string, Curve | null> | null;
  bands: Band[];
  leftOut: string[];
}

/** Most requests at once; the rest wait, so that what is asked last is not behind all that was asked before. */
const AT_ONCE = 3;
const queue: { ask: Ask; waiting: Waiting[] }[] = [];
const gathered = new Map<string, { ask: Ask; waiting: Waiting[] }>();
let running = 0;
let timer: ReturnType<typeof setTimeout> | null = null;

function flush(): void {
  timer = null;
  for (const { ask, waiting } of gathered.values()) {
    const each = Math.max(1, Math.min(12, Math.floor(300 / Math.max(1, ask.runs.length))));
    for (let at = 0; at < waiting.length; at += each) queue.push({ ask, waiting: waiting.slice(at, at + each) });
  }
  gathered.clear();
  pump();
}

function pump(): void {
  while (running < AT_ONCE && queue.length > 0) {
    const { ask, waiting } = queue.shift()!;
    const wanted = waiting.filter(({ signal }) => !signal.aborted);
    if (wanted.length === 0) continue;
    running += 1;
    void request(ask, wanted).finally(() => {
      running -= 1;
      pump();
    });
  }
}

async function request(ask: Ask, waiting: Waiting[]): Promise<void> {
  const since = waiting.length === 1 ? waiting[0]!.since : '';
  try {
    const response = await send('POST', 'api/stepwell/plots', {
      run_ids: ask.runs,
      keys: waiting.map(({ key }) => key),
      x: ask.x,
      x_key: ask.xKey,
      ...(ask.range && ask.x !== 'metric' ? { from: ask.range.lo, to: ask.range.hi } : {}),
      width: ask.width,
      group_by: ask.groupBy,
      since,
    });
    if (response.status === 304) {
      waiting.forEach(({ done }) => done({ cursor: since, curves: null, bands: [], leftOut: [] }));
      return;
    }
    const plots = decode(await response.arrayBuffer());
    for (const { key, done } of waiting) {
      const curves = plots.curves.get(key) ?? new Map();
      done({ cursor: plots.cursor, curves, bands: plots.bands.get(key) ?? [], leftOut: plots.leftOut });
    }
  } catch (error) {
    waiting.forEach(({ failed }) => failed(error as Error));
  }
}

function load(ask: Ask, key: string, since: string, signal: AbortSignal): Promise<Part> {
  return new Promise((done, failed) => {
    const name = JSON.stringify(ask) + (since ? key : '');
    const known = gathered.get(name) ?? { ask, waiting: [] };
    known.waiting.push({ key, since, done, failed, signal });
    gathered.set(name, known);
    timer ??= setTimeout(flush, 8);
  });
}

export interface Shown {
  data: Curves | null;
  error: Error | null;
  loading: boolean;
}

/** How often a panel of growing runs asks, at most. */
const PACE = 1000;

/** A metric's curves, while `visible`; what is known stays until what was asked for is there. */
export function useCurves(key: string, ask: Ask, visible: boolean): Shown {
  const [shown, set] = useState<Shown>({ data: null, error: null, loading: true });
  const cursor = useRef('');
  const name = `${key} ${JSON.stringify(ask)}`;
  const loaded = useRef('');
  useEffect(() => {
    if (!visible || loaded.current === name) return;
    if (ask.runs.length === 0) {
      loaded.current = name;
      set({ data: { curves: new Map(), bands: [], leftOut: [] }, error: null, loading: false });
      return;
    }
    const abort = new AbortController();
    set((before) => ({ ...before, loading: true }));
    load(ask, key, '', abort.signal).then(
      (part) => {
        if (abort.signal.aborted) return;
        loaded.current = name;
        cursor.current = part.cursor;
        set({ data: merged(null, part, ask), error: null, loading: false });
      },
      (error) => abort.signal.aborted || set((before) => ({ ...before, error, loading: false })),
    );
    return () => abort.abort();
  }, [name, visible]);

  useEffect(() => {
    if (!visible) return;
    const own = new Set(ask.runs);
    const abort = new AbortController();
    let changed = new Set<string>();
    let all = false;
    let timer: ReturnType<typeof setTimeout> | null = null;
    const refresh = () => {
      timer = null;
      const runs = all || ask.groupBy ? ask.runs : [...changed];
      const since = all || ask.groupBy ? cursor.current : '';
      changed = new Set();
      all = false;
      load({ ...ask, runs }, key, since, abort.signal).then((part) => {
        if (abort.signal.aborted || part.curves === null) return;
        if (since) cursor.current = part.cursor;
        set((before) => ({ data: merged(before.data, part, ask), error: null, loading: false }));
      }, (error) => abort.signal.aborted || set((before) => ({ ...before, error })));
    };
    const stop = follow((news) => {
      if (news === 'reset') {
        all = true;
      } else {
        for (const run of news.runs) if (own.has(run.id) && run.keys.includes(key)) changed.add(run.id);
      }
      if (loaded.current === name && (all || changed.size > 0)) timer ??= setTimeout(refresh, PACE);
    });
    return () => {
      stop();
      abort.abort();
      if (timer) clearTimeout(timer);
    };
  }, [name, visible]);
  return shown;
}

function merged(before: Curves | null, part: Part, ask: Ask): Curves {
  const curves = new Map<string, Curve>();
  for (const id of ask.runs) {
    const curve = part.curves?.get(id) ?? before?.curves.get(id);
    if (curve) curves.set(id, curve);
  }
  return { curves, bands: part.bands.length > 0 ? part.bands : before?.bands ?? [], leftOut: part.leftOut };
}

/** Curves of one metric, once: for sparklines. */
export function once(key: string, runs: string[], width: number, signal: AbortSignal): Promise<Map<string, Curve>> {
  const ask: Ask = { runs, x: 'step', xKey: '', range: null, width, groupBy: '' };
  return load(ask, key, '', signal).then((part) => merged(null, part, ask).curves);
}
