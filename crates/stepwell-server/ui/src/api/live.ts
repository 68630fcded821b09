// What changes in the workspace, as the server tells it while the page is open.
import { address } from './client';

export interface News {
  runs: { id: string; event?: string; metadata: boolean; keys: string[]; points: number }[];
  experiments: string[];
}

type Listener = (news: News | 'reset') => void;

const listeners = new Set<Listener>();
let source: EventSource | null = null;
let state: 'off' | 'live' | 'lost' = 'off';
const watchers = new Set<(state: string) => void>();

function tell(next: 'off' | 'live' | 'lost') {
  if (next === state) return;
  state = next;
  for (const watcher of watchers) watcher(state);
}

function connect() {
  if (source) return;
  source = new EventSource(address('api/stepwell/follow'));
  let known = false;
  source.addEventListener('hello', () => {
    // After a break anything may have changed.
    if (known) for (const listener of listeners) listener('reset');
    known = true;
    tell('live');
  });
  source.addEventListener('reset', () => listeners.forEach((listener) => listener('reset')));
  source.addEventListener('update', (event) => {
    const news = JSON.parse((event as MessageEvent<string>).data) as News;
    for (const listener of listeners) listener(news);
  });
  source.addEventListener('error', () => tell('lost'));
}

/** Calls `listener` with what changes until the returned function is called. */
export function follow(listener: Listener): () => void {
  listeners.add(listener);
  connect();
  return () => {
    listeners.delete(listener);
  };
}

export function watchConnection(watcher: (state: string) => void): () => void {
  watchers.add(watcher);
  watcher(state);
  return () => {
    watchers.delete(watcher);
  };
}

// A page that nobody sees follows nothing; when it is seen again, it catches up.
document.addEventListener('visibilitychange', () => {
  if (document.hidden && source) {
    source.close();
    source = null;
    tell('off');
  } else if (!document.hidden && listeners.size > 0 && !source) {
    for (const listener of listeners) listener('reset');
    connect();
  }
});
