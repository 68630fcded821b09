// Files of a run: a tree, and each kind of file as people read it. What a file holds is never run.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { address, get } from '../api/client';
import type { Run } from '../api/client';
import { bytes, count } from '../draw/numbers';
import { useLoaded } from '../hooks';
import { Button, Command, Empty, Icon, Trouble } from '../parts/Controls';
import { change, usePlace } from '../state';

interface FileInfo {
  path: string;
  is_dir?: boolean;
  file_size?: number | string;
}

/** Longest text that is read at first. */
const TEXT_MAX = 256 << 10;

function addressOf(run: string, path: string): string {
  return address(`get-artifact?${new URLSearchParams({ run_uuid: run, path })}`);
}

const list = (run: string, path: string, signal?: AbortSignal) =>
  get<{ files?: FileInfo[] }>('ajax-api/2.0/mlflow/artifacts/list', path ? { run_id: run, path } : { run_id: run }, signal).then((answer) => answer.files ?? []);

export function Artifacts({ run }: { run: Run }) {
  const { view } = usePlace();
  const chosen = view.get('file') ?? '';
  const root = useLoaded((signal) => list(run.run_id, '', signal), [run.run_id]);
  if (root.error) return <Trouble error={root.error} again={root.again} />;
  if (root.value?.length === 0) {
    return <Empty title="No files"><p>Images, tables, models and logs appear here:</p><Command>{'run.log_artifact("figure.png")      # stepwell\nmlflow.log_artifact("figure.png")   # MLflow'}</Command></Empty>;
  }
  return (
    <div class="artifacts">
      <nav class="tree" aria-label="Files"><Folder run={run.run_id} files={root.value ?? []} chosen={chosen} /></nav>
      <div class="viewer">{chosen ? <Viewer key={chosen} run={run} path={chosen} /> : <Empty title="Choose a file"><p class="faint">{run.artifact_uri}</p></Empty>}</div>
    </div>
  );
}

function Folder({ run, files, chosen }: { run: string; files: FileInfo[]; chosen: string }) {
  const sorted = [...files].sort((a, b) => Number(b.is_dir ?? false) - Number(a.is_dir ?? false) || a.path.localeCompare(b.path, undefined, { numeric: true }));
  return (
    <ul>
      {sorted.slice(0, 1000).map((file) => file.is_dir ? <Branch key={file.path} run={run} file={file} chosen={chosen} /> : (
        <li key={file.path}>
          <button type="button" aria-current={file.path === chosen ? 'true' : undefined} title={file.path} onClick={() => change({ file: file.path })}>
            <Icon name="file" size={14} /><span>{nameOf(file.path)}</span><span class="faint number">{bytes(Number(file.file_size ?? 0))}</span>
          </button>
        </li>
      ))}
      {sorted.length > 1000 && <li class="faint">and {count(sorted.length - 1000)} more files</li>}
    </ul>
  );
}

const nameOf = (path: string) => path.split('/').pop() ?? path;

function Branch({ run, file, chosen }: { run: string; file: FileInfo; chosen: string }) {
  const [open, set] = useState(chosen.startsWith(`${file.path}/`));
  const files = useLoaded((signal) => (open ? list(run, file.path, signal) : Promise.resolve([])), [open, file.path]);
  return (
    <li>
      <button type="button" aria-expanded={open} onClick={() => set(!open)}><Icon name={open ? 'down' : 'right'} size={12} /><Icon name="folder" size={14} /><span>{nameOf(file.path)}</span></button>
      {open && files.error && <Trouble error={files.error} />}
      {open && files.value && <Folder run={run} files={files.value} chosen={chosen} />}
    </li>
  );
}

const KINDS: [RegExp, string][] = [
  [/\.(png|jpe?g|gif|webp|bmp|avif|ico)$/i, 'image'],
  [/\.svg$/i, 'svg'],
  [/\.(mp3|wav|ogg|flac|m4a|opus)$/i, 'audio'],
  [/\.(mp4|webm|mov|m4v)$/i, 'video'],
  [/\.(csv|tsv)$/i, 'table'],
  [/\.(html?|xhtml)$/i, 'html'],
  [/\.(json|ipynb)$/i, 'json'],
  [/\.(txt|log|out|err|md|ya?ml|toml|ini|cfg|conf|py|rs|c|h|cpp|js|ts|sh|xml|css|sql|r|jl|jsonl|patch|diff|lock|requirements)$/i, 'text'],
];

function kindOf(path: string): string {
  const known = KINDS.find(([pattern]) => pattern.test(path));
  if (known) return known[1];
  // Models' own files have no ending.
  return /(^|\/)(MLmodel|conda|requirements|Dockerfile|Makefile|README|LICENSE)$/i.test(path) ? 'text' : 'other';
}

function Viewer({ run, path }: { run: Run; path: string }) {
  const kind = kindOf(path);
  const from = addressOf(run.run_id, path);
  const [any, read] = useState(false);
  return (
    <>
      <header class="viewer-head"><h2 title={path}>{path}</h2><a class="button plain" href={from} download={nameOf(path)}>Download</a></header>
      {kind === 'image' && <Picture from={from} path={path} />}
      {kind === 'audio' && <audio controls src={from} />}
      {kind === 'video' && <video controls src={from} />}
      {(kind === 'text' || kind === 'json' || kind === 'table' || kind === 'html' || kind === 'svg' || any) && <TextFile from={from} kind={any ? 'text' : kind} path={path} live={run.status === 'RUNNING'} />}
      {kind === 'other' && !any && <Empty title="This page does not know this kind of file"><p><Button label="Show it as text" text onClick={() => read(true)} /></p></Empty>}
    </>
  );
}

function Picture({ from, path }: { from: string; path: string }) {
  const [bad, fail] = useState(false);
  if (bad) return <Empty title="This is not a picture that the browser can read" />;
  return <img src={from} alt={path} onError={() => fail(true)} />;
}

/** The first part of a text, or its last where it is followed. */
async function readText(from: string, tail: boolean, all: boolean, signal: AbortSignal): Promise<{ text: string; total: number; cut: boolean }> {
  const headers: Record<string, string> = all ? {} : { range: tail ? `bytes=-${TEXT_MAX}` : `bytes=0-${TEXT_MAX - 1}` };
  const response = await fetch(from, { headers, signal });
  if (response.status === 416) return { text: '', total: 0, cut: false };
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw new Error(answer?.message ?? `The server answered ${response.status}.`);
  }
  const content = await response.arrayBuffer();
  const total = Number(/\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1] ?? content.byteLength);
  return { text: new TextDecoder().decode(content), total, cut: content.byteLength < total };
}

function TextFile({ from, kind, path, live }: { from: string; kind: string; path: string; live: boolean }) {
  const log = /\.(log|out|err|txt)$/i.test(path);
  const [following, follow] = useState(live && log);
  const [all, more] = useState(false);
  const [raw, show] = useState(false);
  const loaded = useLoaded((signal) => readText(from, following, all || kind === 'json', signal), [from, following, all]);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!following) return;
    const timer = setInterval(() => { if (!document.hidden) loaded.again(); }, 2000);
    return () => clearInterval(timer);
  }, [following]);
  useEffect(() => { if (following) end.current?.scrollIntoView({ block: 'end' }); }, [loaded.value, following]);
  if (loaded.error) return <Trouble error={loaded.error} again={loaded.again} />;
  const value = loaded.value;
  if (!value) return <div class="skeleton tall" />;
  const rich = kind === 'table' || kind === 'html' || kind === 'json' || kind === 'svg';
  return (
    <>
      <div class="viewer-acts">
        {rich && <button type="button" class="toggle" aria-pressed={raw} onClick={() => show(!raw)}>as text</button>}
        {log && <button type="button" class="toggle" aria-pressed={following} onClick={() => follow(!following)}>follow</button>}
        {value.cut && <span class="warn">{following ? 'The last' : 'The first'} {bytes(TEXT_MAX)} of {bytes(value.total)}. {!following && <Button label="Read all" text onClick={() => more(true)} />}</span>}
      </div>
      {rich && !raw && kind === 'table' ? <Sheet text={value.text} tab={/\.tsv$/i.test(path)} cut={value.cut} />
        : rich && !raw && kind === 'json' ? <Json text={value.text} />
        : rich && !raw && kind === 'html' ? <iframe class="frame" sandbox="" title={path} srcdoc={value.text} />
        : rich && !raw && kind === 'svg' ? <img src={`data:image/svg+xml;charset=utf-8,${encodeURIComponent(value.text)}`} alt={path} />
        : <pre class="text">{value.text || 'The file is empty.'}<div ref={end} /></pre>}
    </>
  );
}

function Sheet({ text, tab, cut }: { text: string; tab: boolean; cut: boolean }) {
  const rows = useMemo(() => {
    const rows = cells(text, tab ? '\t' : ',', 2001);
    // The last row may be half of one.
    return cut ? rows.slice(0, -1) : rows;
  }, [text]);
  const [head = [], ...body] = rows;
  return (
    <div class="scroll-x">
      <table class="plain-table sheet">
        <thead><tr>{head.map((cell, at) => <th key={at}>{cell}</th>)}</tr></thead>
        <tbody>{body.slice(0, 2000).map((row, at) => <tr key={at}>{row.map((cell, at) => <td key={at} class={cell !== '' && Number.isFinite(Number(cell)) ? 'number' : ''}>{cell}</td>)}</tr>)}</tbody>
      </table>
      {body.length >= 2000 && <p class="faint">The first 2,000 rows.</p>}
    </div>
  );
}

function cells(text: string, separator: string, most: number): string[][] {
  const rows: string[][] = [];
  let [row, cell, quoted] = [[] as string[], '', false];
  for (let at = 0; at < text.length && rows.length < most; at++) {
    const c = text[at]!;
    if (quoted) {
      if (c === '"' && text[at + 1] === '"') { cell += '"'; at++; } else if (c === '"') quoted = false; else cell += c;
    } else if (c === '"' && cell === '') quoted = true;
    else if (c === separator) { row.push(cell); cell = ''; }
    else if (c === '\n') { row.push(cell.replace(/\r$/, '')); rows.push(row); [row, cell] = [[], '']; }
    else cell += c;
  }
  if (cell !== '' || row.length > 0) rows.push([...row, cell]);
  return rows;
}

function Json({ text }: { text: string }) {
  const parsed = useMemo(() => {
    try {
      return { value: JSON.parse(text) as unknown };
    } catch {
      return null;
    }
  }, [text]);
  if (!parsed) return <pre class="text">{text}</pre>;
  return <div class="json"><Branches value={parsed.value} depth={0} /></div>;
}

function Branches({ value, depth }: { value: unknown; depth: number }) {
  if (value === null || typeof value !== 'object') return <span class={`json-${value === null ? 'null' : typeof value}`}>{JSON.stringify(value)}</span>;
  const entries = Object.entries(value);
  const [left, right] = Array.isArray(value) ? '[]' : '{}';
  if (entries.length === 0) return <span>{left}{right}</span>;
  return (
    <details open={depth < 2 && entries.length <= 200}>
      <summary>{left}<span class="faint"> {count(entries.length)} </span>{right}</summary>
      <ul>{entries.slice(0, 1000).map(([key, inner]) => <li key={key}><span class="json-key">{key}</span>: <Branches value={inner} depth={depth + 1} /></li>)}</ul>
      {entries.length > 1000 && <span class="faint">and {count(entries.length - 1000)} more</span>}
    </details>
  );
}

