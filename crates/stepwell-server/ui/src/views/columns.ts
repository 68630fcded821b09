// Columns of the table of runs: their names in addresses and on the screen, and which a new view begins with.
import { named } from '../api/client';
import type { Profile } from '../api/client';

export type Kind = 'metrics' | 'params' | 'tags' | 'spark' | 'attribute';

/** A column by what it shows. Its text form is `m:KEY:STATISTIC`, `p:KEY`, `t:KEY`, `s:KEY` or an attribute's name. */
export interface Column {
  kind: Kind;
  key: string;
  statistic: string;
}

export const STATISTICS = ['last', 'min', 'max', 'mean', 'first', 'count', 'step'];
const LETTERS = { m: 'metrics', p: 'params', t: 'tags', s: 'spark' } as const;
const ATTRIBUTES: Record<string, { title: string; order: string | null }> = {
  status: { title: 'Status', order: 'status' },
  start: { title: 'Started', order: 'start_time' },
  duration: { title: 'Duration', order: null },
  user: { title: 'User', order: 'user_id' },
  experiment: { title: 'Experiment', order: null },
};

export function parse(text: string): Column | null {
  if (text in ATTRIBUTES) return { kind: 'attribute', key: text, statistic: '' };
  const kind = LETTERS[text[0] as keyof typeof LETTERS];
  if (!kind || text[1] !== ':') return null;
  const rest = text.slice(2);
  if (kind !== 'metrics') return { kind, key: rest, statistic: '' };
  const at = rest.lastIndexOf(':');
  return at < 0 ? { kind, key: rest, statistic: 'last' } : { kind, key: rest.slice(0, at), statistic: rest.slice(at + 1) };
}

export function write(column: Column): string {
  if (column.kind === 'attribute') return column.key;
  const letter = column.kind[0]!;
  return column.kind === 'metrics' ? `m:${column.key}:${column.statistic}` : `${letter}:${column.key}`;
}

/** The column as filters and orders name it; `null` where nothing is ordered by it. */
export function nameOf(column: Column): string | null {
  if (column.kind === 'attribute') return ATTRIBUTES[column.key]?.order ?? null;
  if (column.kind === 'spark') return null;
  return named(column.kind, column.key, column.statistic);
}

export function titleOf(column: Column): string {
  if (column.kind === 'attribute') return ATTRIBUTES[column.key]?.title ?? column.key;
  return column.key;
}

export const attributes = () => Object.keys(ATTRIBUTES);

/** Whether cells are numbers, which stand at the right. */
export function isNumeric(column: Column, profile: Profile | undefined): boolean {
  return column.kind === 'metrics' || ((column.kind === 'params' || column.kind === 'tags') && profile?.range != null);
}

/** What a new view shows: params that differ and metrics that many runs have, those that people look at first. */
export function usual(telling: { params: string[]; metrics: string[] } | null, many: boolean): Column[] {
  const columns: Column[] = [
    { kind: 'attribute', key: 'status', statistic: '' },
    { kind: 'attribute', key: 'start', statistic: '' },
    { kind: 'attribute', key: 'duration', statistic: '' },
  ];
  if (many) columns.push({ kind: 'attribute', key: 'experiment', statistic: '' });
  if (!telling) return columns;
  columns.push(...telling.params.slice(0, 4).map((key): Column => ({ kind: 'params', key, statistic: '' })));
  if (telling.metrics[0]) columns.push({ kind: 'spark', key: telling.metrics[0], statistic: '' });
  columns.push(...telling.metrics.slice(0, 4).map((key): Column => ({ kind: 'metrics', key, statistic: 'last' })));
  return columns;
}

/** Metrics, those that people look at first before the others; none of the system. */
export function byWeight(keys: string[]): string[] {
  const own = keys.filter((key) => !key.startsWith('system/'));
  return own.sort((a, b) => weight(b) - weight(a) || a.localeCompare(b));
}

/** What people look at first. */
function weight(key: string): number {
  const word = key.toLowerCase();
  if (/(val|eval|test).*(loss|acc|f1|auc|reward)/.test(word)) return 3;
  if (/loss|acc|reward|score|return/.test(word)) return 2;
  return /epoch|step|time|lr|_norm/.test(word) ? 0 : 1;
}
