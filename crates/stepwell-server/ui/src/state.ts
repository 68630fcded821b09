// What the page shows, as it stands in its address: a place, and a view of it. A link is a view.
import { useEffect, useState } from 'preact/hooks';

export interface Place {
  /** `experiments/1/runs/abc` as its parts, each decoded. */
  parts: string[];
  view: URLSearchParams;
}

function read(): Place {
  const hash = location.hash.replace(/^#\/?/, '');
  const [path = '', query = ''] = hash.split(/\?(.*)/s);
  const decode = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return { parts: path.split('/').filter((part) => part !== '').map(decode), view: new URLSearchParams(query) };
}

let place = read();
const watchers = new Set<() => void>();

window.addEventListener('hashchange', () => {
  place = read();
  watchers.forEach((watcher) => watcher());
});

export function link(parts: string[], view: Record<string, string> | URLSearchParams = {}): string {
  const query = new URLSearchParams(view).toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${query ? `?${query}` : ''}`;
}

export function go(parts: string[], view: Record<string, string> | URLSearchParams = {}): void {
  location.hash = link(parts, view);
}

/** Changes the view; `null` and empty take a name out. What people do often does not fill the browser's history. */
export function change(changes: Record<string, string | null>, keep = false): void {
  const view = new URLSearchParams(place.view);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') view.delete(name); else view.set(name, value);
  }
  if (view.toString() === place.view.toString()) return;
  const to = link(place.parts, view);
  if (keep) history.pushState(null, '', to); else history.replaceState(null, '', to);
  place = read();
  watchers.forEach((watcher) => watcher());
}

export function usePlace(): Place {
  const [, turn] = useState(0);
  useEffect(() => {
    const watcher = () => turn((n) => n + 1);
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
    };
  }, []);
  return place;
}

let scope: string[] = [];

/** The experiments that the view is about; a token for some of them must name them. */
export const scopeOf = () => scope;

export function setScope(ids: string[]): void {
  scope = ids;
}

/** Lists within one name of a view. */
export const list = (text: string | null) => (text ? text.split('\u001f') : []);
export const joined = (items: string[]) => items.join('\u001f');

const DARK = matchMedia('(prefers-color-scheme: dark)');

export function isDark(): boolean {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : DARK.matches;
}

const themed = new Set<() => void>();
DARK.addEventListener('change', () => themed.forEach((watcher) => watcher()));

export function turnTheme(): void {
  const theme = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('stepwell.theme', theme);
  } catch { /* Then it holds until the page is closed. */ }
  themed.forEach((watcher) => watcher());
}

export function useDark(): boolean {
  const [dark, turn] = useState(isDark());
  useEffect(() => {
    const watcher = () => turn(isDark());
    themed.add(watcher);
    return () => {
      themed.delete(watcher);
    };
  }, []);
  return dark;
}
