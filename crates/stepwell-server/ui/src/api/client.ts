// Requests to the server: errors in words, and the shapes of its answers.

/** What the page is served below, so that it works behind a prefix too. */
const BASE = new URL('.', document.baseURI);

export function address(path: string): string {
  return new URL(path, BASE).toString();
}

export class ApiError extends Error {
  constructor(message: string, readonly status: number, readonly code = '') {
    super(message);
  }
}

export async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(path), {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError('The server does not answer. Is `stepwell serve` still running?', 0);
  }
  if (response.ok || response.status === 304) return response;
  let message = `The server answered ${response.status} ${response.statusText}.`;
  let code = '';
  try {
    const json = await response.json();
    message = json.message ?? message;
    code = json.error_code ?? '';
  } catch { /* The status says it. */ }
  throw new ApiError(message, response.status, code);
}

export async function get<T>(path: string, query: Record<string, string> = {}, signal?: AbortSignal): Promise<T> {
  const text = new URLSearchParams(query).toString();
  return (await send('GET', text ? `${path}?${text}` : path, undefined, signal)).json();
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return (await send('POST', path, body, signal)).json();
}

/** A call of MLflow's API, for what that has already. */
export const mlflow = {
  get: <T>(path: string, query: Record<string, string> = {}) => get<T>(`ajax-api/2.0/mlflow/${path}`, query),
  post: <T>(path: string, body: unknown) => post<T>(`ajax-api/2.0/mlflow/${path}`, body),
  patch: async <T>(path: string, body: unknown): Promise<T> =>
    (await send('PATCH', `ajax-api/2.0/mlflow/${path}`, body)).json(),
  delete: async <T>(path: string, body: unknown): Promise<T> =>
    (await send('DELETE', `ajax-api/2.0/mlflow/${path}`, body)).json(),
};

export interface Experiment {
  experiment_id: string;
  name: string;
  deleted: boolean;
  created_ms: number;
  updated_ms: number;
  runs: number;
  tags: Record<string, string>;
}

export interface Overview {
  workspace: string;
  version: string;
  bound: boolean;
  experiments: Experiment[];
  left_out: number;
}

export type CellValue = number | string | null;

export interface Profile {
  count: number;
  nan_count: number;
  range: [number | string, number | string] | null;
  distinct: number;
  texts: [string, number][];
}

export interface Keys {
  metrics: { keys: string[]; more: number };
  params: { keys: string[]; more: number };
  tags: { keys: string[]; more: number };
}

export interface RunColumns {
  run_id: string[];
  name: string[];
  experiment_id: string[];
  status: string[];
  start_ms: (number | null)[];
  end_ms: (number | null)[];
  user: string[];
  deleted: boolean[];
}

export interface TableAnswer {
  total: number;
  runs?: RunColumns;
  columns?: CellValue[][];
  profiles?: Profile[];
  keys?: Keys;
  left_out: number;
  /** Why the filter is none, where that was asked. */
  mistake?: string;
}

export interface Selection {
  experiment_ids: string[];
  filter: string;
  order_by: string[];
  view: string;
}

export interface RunMetric {
  count: number;
  nan: number;
  inf: number;
  first: number | string;
  last: number | string;
  last_step: number;
  last_ms: number | null;
  min: number | string | null;
  min_step: number | null;
  max: number | string | null;
  max_step: number | null;
  mean: number | string | null;
}

export interface Run {
  run_id: string;
  experiment_id: string;
  experiment_name: string;
  name: string;
  user: string;
  status: string;
  live: boolean;
  deleted: boolean;
  start_ms: number | null;
  end_ms: number | null;
  artifact_uri: string;
  params: Record<string, string>;
  tags: Record<string, string>;
  metrics: Record<string, RunMetric>;
  children: number;
  left_out: string[];
}

export const overview = () => get<Overview>('api/stepwell/overview');
export const table = (body: object, signal?: AbortSignal) => post<TableAnswer>('api/stepwell/runs', body, signal);
export const oneRun = (id: string, signal?: AbortSignal) =>
  get<Run>('api/stepwell/run', { run_id: id }, signal);

/** A name as filters write it: in backticks, so that any key can stand there. */
export function named(kind: 'metrics' | 'params' | 'tags', key: string, statistic = ''): string {
  // The language has no way to write a backtick within backticks; double quotes stand in.
  const quote = key.includes('`') ? '"' : '`';
  return `${kind}.${quote}${key}${quote}${statistic && statistic !== 'last' ? `.${statistic}` : ''}`;
}

/** A text as filters write it. */
export function quoted(text: string): string {
  return text.includes("'") ? `"${text}"` : `'${text}'`;
}
