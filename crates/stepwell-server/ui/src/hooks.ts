// Small hooks: things that are loaded, sizes of elements, keys that are pressed.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { RefObject } from 'preact';

export interface Loaded<T> {
  value: T | null;
  error: Error | null;
  loading: boolean;
  again: () => void;
}

/** What `load` gives, anew whenever one of `deps` changes; the last value stays until the next is there. */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, deps: unknown[], delay = 0): Loaded<T> {
  const [state, set] = useState<Omit<Loaded<T>, 'again'>>({ value: null, error: null, loading: true });
  const [round, turn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    set((before) => ({ ...before, loading: true }));
    const timer = setTimeout(() => {
      load(abort.signal).then(
        (value) => abort.signal.aborted || set({ value, error: null, loading: false }),
        (error) => abort.signal.aborted || set((before) => ({ ...before, error, loading: false })),
      );
    }, delay);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [...deps, round]);
  const again = useCallback(() => turn((n) => n + 1), []);
  return { ...state, again };
}

/** The size of an element's inside. */
export function useSize<T extends HTMLElement>(): [RefObject<T | null>, { width: number; height: number }] {
  const ref = useRef<T | null>(null);
  const [size, set] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const read = () => set((old) => {
      const next = { width: element.clientWidth, height: element.clientHeight };
      return old.width === next.width && old.height === next.height ? old : next;
    });
    read();
    const observer = new ResizeObserver(read);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, size];
}

/** Calls `press` for keys that are pressed while nothing is typed into. */
export function useKeys(press: (event: KeyboardEvent) => void): void {
  const latest = useRef(press);
  latest.current = press;
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable;
      if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey) latest.current(event);
    };
    window.addEventListener('keydown', listen);
    return () => window.removeEventListener('keydown', listen);
  }, []);
}

/** Copies text; says whether it did. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS there is no clipboard but this.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'unseen';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** Gives a file to the browser to keep. */
export function keep(name: string, content: Blob): void {
  const anchor = document.createElement('a');
  anchor.href = URL.createObjectURL(content);
  anchor.download = name.replace(/[^\w.-]+/g, '_');
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}
