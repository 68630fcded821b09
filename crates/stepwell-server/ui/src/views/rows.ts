// Rows of the table of runs: windows of it are fetched as they come into view and kept while the question stays.
import { useEffect, useMemo, useReducer, useRef } from 'preact/hooks';
import { table } from '../api/client';
import type { CellValue, Selection } from '../api/client';
import { follow } from '../api/live';

export interface RunRow {
  id: string;
  name: string;
  experiment: string;
  status: string;
  start: number | null;
  end: number | null;
  user: string;
  deleted: boolean;
  cells: CellValue[];
}

const PAGE = 100;
/** Windows that are kept; beyond this those that were needed longest ago go. */
const KEPT = 40;

/** A filter that is none. */
export class Mistake extends Error {}

class Windows {
  /** Whether the total is of this question, not of the one before. */
  known = false;
  total: number | null = null;
  error: Error | null = null;
  leftOut = 0;
  /** How long the last window took; what takes long is fetched anew less often. */
  took = 0;
  private pages = new Map<number, RunRow[]>();
  private asked = new Map<number, AbortController>();
  private stale: Map<number, RunRow[]> = new Map();

  constructor(readonly selection: Selection, private readonly columns: string[], private readonly tell: () => void, before: Windows | null) {
    // What was there stays on the screen until the new rows are.
    if (before) {
      this.total = before.total;
      this.stale = before.pages.size > 0 ? before.pages : before.stale;
    }
  }

  row(at: number): RunRow | null {
    const page = Math.floor(at / PAGE);
    return this.pages.get(page)?.[at - page * PAGE] ?? this.stale.get(page)?.[at - page * PAGE] ?? null;
  }

  ensure(from: number, to: number): void {
    const [first, last] = [Math.floor(from / PAGE), Math.floor(Math.max(from, to - 1) / PAGE)];
    for (let page = first; page <= last; page++) if (!this.pages.has(page) && !this.asked.has(page)) void this.load(page);
    // Windows that were scrolled past are not waited for.
    for (const [page, abort] of this.asked) if (page < first - 1 || page > last + 1) { abort.abort(); this.asked.delete(page); }
  }

  /** Fetches anew what is known. */
  refresh(): void {
    const known = [...this.pages.keys()];
    this.stale = this.pages;
    this.pages = new Map();
    for (const page of known.slice(-3)) if (!this.asked.has(page)) void this.load(page);
  }

  close(): void {
    for (const abort of this.asked.values()) abort.abort();
  }

  private async load(page: number): Promise<void> {
    const abort = new AbortController();
    this.asked.set(page, abort);
    const begun = performance.now();
    try {
      const answer = await table({ ...this.selection, offset: page * PAGE, max_results: PAGE, columns: this.columns, explain: true }, abort.signal);
      if (abort.signal.aborted) return;
      if (answer.mistake !== undefined) throw new Mistake(answer.mistake);
      const { runs, columns = [] } = answer;
      this.known = true;
      this.total = answer.total;
      this.leftOut = answer.left_out;
      this.took = performance.now() - begun;
      this.error = null;
      this.pages.set(page, (runs?.run_id ?? []).map((id, at) => ({
        id,
        name: runs!.name[at] || id.slice(0, 8),
        experiment: runs!.experiment_id[at]!,
        status: runs!.status[at]!,
        start: runs!.start_ms[at] ?? null,
        end: runs!.end_ms[at] ?? null,
        user: runs!.user[at] ?? '',
        deleted: runs!.deleted[at] ?? false,
        cells: columns.map((column) => column[at] ?? null),
      })));
      const oldest = this.pages.keys().next().value;
      if (this.pages.size > KEPT && oldest !== undefined) this.pages.delete(oldest);
      this.stale.delete(page);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.error = error as Error;
    } finally {
      if (this.asked.get(page) === abort) this.asked.delete(page);
    }
    this.tell();
  }
}

/** The rows of a selection, and those of the last one until they are there. */
export function useRows(selection: Selection, columns: string[]): Windows {
  const [, tell] = useReducer<number, void>((n) => n + 1, 0);
  const before = useRef<Windows | null>(null);
  const name = JSON.stringify([selection, columns]);
  const windows = useMemo(() => {
    before.current?.close();
    before.current = new Windows(selection, columns, () => tell(), before.current);
    return before.current;
  }, [name]);
  useEffect(() => {
    windows.ensure(0, PAGE);
    let timer: ReturnType<typeof setTimeout> | null = null;
    const stop = follow((news) => {
      const matters = news === 'reset' || news.experiments.length > 0 || news.runs.length > 0;
      if (matters) timer ??= setTimeout(() => { timer = null; windows.refresh(); }, Math.max(1000, windows.took * 10));
    });
    return () => {
      stop();
      if (timer) clearTimeout(timer);
    };
  }, [windows]);
  return windows;
}

export type Rows = Windows;
