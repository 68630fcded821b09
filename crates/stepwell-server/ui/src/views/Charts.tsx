// All metrics of the shown runs as charts, in sections by what stands before the first slash.
import { useMemo, useState } from 'preact/hooks';
import { address, table } from '../api/client';
import { assign, ink } from '../draw/colors';
import { useCurves } from '../api/curves';
import { count, number } from '../draw/numbers';
import { paint, SvgSurface } from '../draw/paint';
import { Button, Dialog, Empty, Icon } from '../parts/Controls';
import { frameOf, groupId, Hover, Panel, shapesOf, Swatch, themeOf } from '../parts/Panel';
import type { Look, RunName } from '../parts/Panel';
import { leftOf } from '../draw/paint';
import { copy, keep, useLoaded } from '../hooks';
import type { Range } from '../draw/shape';
import { change, joined, list, scopeOf, useDark, usePlace } from '../state';

/** Panels of a section that are there at first; more on demand, so that thousands of metrics stay quick. */
const PANELS_FIRST = 48;

export function lookOf(view: URLSearchParams): Look {
  const [x, ...key] = (view.get('x') ?? 'step').split(':');
  const range = view.get('zoom')?.split('..').map(Number);
  return {
    x: x === 'time' || x === 'relative' || x === 'metric' ? x : 'step',
    xKey: key.join(':'),
    smooth: Math.min(0.999, Math.max(0, Number(view.get('smooth') ?? 0) || 0)),
    logX: view.has('logx'),
    logY: view.has('logy'),
    clip: view.has('clip'),
    groupBy: view.get('bands') === 'off' ? '' : view.get('group') ?? '',
    range: range && range.length === 2 && range.every(Number.isFinite) ? { lo: range[0]!, hi: range[1]! } : null,
  };
}

export function sectionsOf(keys: string[]): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  for (const key of keys) {
    const at = key.indexOf('/');
    const name = at > 0 ? key.slice(0, at) : '';
    const own = sections.get(name);
    if (own) own.push(key); else sections.set(name, [key]);
  }
  // A section of one metric would be a row of one chart.
  const alone = [...sections].filter(([name, own]) => name !== '' && name !== 'system' && own.length === 1);
  for (const [name, own] of alone) {
    sections.delete(name);
    sections.set('', [...(sections.get('') ?? []), ...own]);
  }
  // What has no prefix first, what the machine did last.
  const rank = (name: string) => (name === '' ? 0 : name === 'system' ? 2 : 1);
  return new Map([...sections].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b)));
}

/** Keys that match what was typed: a regular expression if it is one, else words. */
export function matching(keys: string[], typed: string): string[] {
  const text = typed.trim();
  if (text === '') return keys;
  try {
    const pattern = new RegExp(text, 'i');
    return keys.filter((key) => pattern.test(key));
  } catch {
    return keys.filter((key) => key.toLowerCase().includes(text.toLowerCase()));
  }
}

export function Charts({ keys, more, runs, groups }: { keys: string[]; more: number; runs: RunName[]; groups: string[] }) {
  const { view } = usePlace();
  const search = view.get('metrics') ?? '';
  const look = useMemo(() => lookOf(view), [view.toString()]);
  const hover = useMemo(() => new Hover(), []);
  const found = useMemo(() => matching(keys, search), [keys, search]);
  const sections = useMemo(() => sectionsOf(found), [found]);
  const closed = new Set(list(view.get('closed') ?? (keys.length > 60 && search === '' ? 'system' : null)));
  const large = view.get('panel');
  const size = view.get('size') ?? 'm';
  const zoom = useMemo(() => slowly((range: Range | null) => change({ zoom: range ? `${trim(range.lo)}..${trim(range.hi)}` : null })), []);
  if (keys.length === 0) {
    return (
      <Empty title="No metrics yet">
        <p>Charts appear as soon as a run logs a number:</p>
        <pre class="command"><code>{'with stepwell.open("runs").run() as run:\n    run.log({"loss": 0.5}, step=0)'}</code></pre>
      </Empty>
    );
  }
  return (
    <div class={`charts size-${size}`}>
      <Controls look={look} keys={keys} groups={groups} search={search} found={found.length} size={size} />
      {look.groupBy && <Legend name={look.groupBy} runs={runs} />}
      {more > 0 && <p class="warn">{count(more)} more metrics are not listed; type a part of a name to the filter of runs to see fewer.</p>}
      {found.length === 0 && <Empty title="No metric has such a name"><p>{count(keys.length)} metrics are there; the search takes words and regular expressions.</p></Empty>}
      {[...sections].map(([name, keys]) => (
        <Section key={name} name={name} keys={keys} open={!closed.has(name || 'charts')} runs={runs} look={look} hover={hover} zoom={zoom} size={size}
          toggle={() => {
            const next = new Set(closed);
            if (!next.delete(name || 'charts')) next.add(name || 'charts');
            change({ closed: next.size > 0 ? joined([...next]) : '-' });
          }} />
      ))}
      {large !== null && <Large metric={large} runs={runs} look={look} hover={hover} zoom={zoom} />}
    </div>
  );
}

/** Which colour is which group. */
function Legend({ name, runs }: { name: string; runs: RunName[] }) {
  const dark = useDark();
  const ids = runs.map((run) => run.id);
  const { value } = useLoaded((signal) => table({ view: 'all', run_ids: ids, experiment_ids: scopeOf(), max_results: 0, profiles: [name] }, signal), [name, ids.join()]);
  const profile = value?.profiles?.[0];
  if (!profile) return null;
  const groups: (string | null)[] = profile.texts.map(([text]) => text).sort();
  if (profile.count < (value?.total ?? 0)) groups.unshift(null);
  assign(groups.map(groupId));
  return (
    <ul class="legend" aria-label="Groups">
      {groups.slice(0, 40).map((group) => {
        const own = ink(groupId(group), dark);
        return <li key={group ?? ''}><Swatch color={own.color} dash={own.dash} /> {group ?? 'none'}</li>;
      })}
      {groups.length > 40 && <li class="faint">and {count(groups.length - 40)} more</li>}
    </ul>
  );
}

/** At once, then at most ten times a second, and the last in any case: browsers refuse addresses that change faster. */
function slowly<T>(act: (value: T) => void): (value: T) => void {
  let timer: ReturnType<typeof setTimeout> | null = null;
  let next: { value: T } | null = null;
  const turn = () => {
    timer = null;
    if (!next) return;
    act(next.value);
    next = null;
    timer = setTimeout(turn, 100);
  };
  return (value) => {
    next = { value };
    if (!timer) turn();
  };
}

const trim = (value: number) => String(Number(value.toPrecision(14)));

const HEIGHTS: Record<string, number> = { s: 150, m: 210, l: 320 };

function Section({ name, keys, open, toggle, runs, look, hover, zoom, size }: {
  name: string; keys: string[]; open: boolean; toggle: () => void; runs: RunName[]; look: Look; hover: Hover;
  zoom: (range: Range | null) => void; size: string;
}) {
  const [most, more] = useState(PANELS_FIRST);
  return (
    <section class="section" aria-label={name || 'Charts'}>
      <h2>
        <button type="button" class="section-title" aria-expanded={open} onClick={toggle}>
          <Icon name={open ? 'down' : 'right'} size={13} />{name || 'charts'} <span class="faint">{keys.length}</span>
        </button>
      </h2>
      {open && (
        <div class="panels">
          {keys.slice(0, most).map((key) => (
            <Panel key={key} metric={key} title={name ? key.slice(name.length + 1) : key} runs={runs} look={look} hover={hover} zoom={zoom}
              height={HEIGHTS[size] ?? 210} large={() => change({ panel: key }, true)} />
          ))}
        </div>
      )}
      {open && keys.length > most && <Button label={`Show ${Math.min(200, keys.length - most)} more of ${count(keys.length)}`} text onClick={() => more(most + 200)} />}
    </section>
  );
}

function Controls({ look, keys, groups, search, found, size }: {
  look: Look; keys: string[]; groups: string[]; search: string; found: number; size: string;
}) {
  const axis = look.x === 'metric' ? `metric:${look.xKey}` : look.x;
  return (
    <div class="controls" role="toolbar" aria-label="Charts">
      <label class="search">
        <Icon name="search" />
        <input type="search" value={search} placeholder={`Find among ${count(keys.length)} metrics`} aria-label="Find metrics"
          spellcheck={false} onInput={(event) => change({ metrics: event.currentTarget.value })} />
        {search && <span class="faint">{count(found)}</span>}
      </label>
      <label>x
        <select value={axis} aria-label="x axis" onChange={(event) => change({ x: event.currentTarget.value === 'step' ? null : event.currentTarget.value, zoom: null })}>
          <option value="step">Step</option>
          <option value="relative">Time since start</option>
          <option value="time">Wall clock</option>
          <optgroup label="Metric">{keys.slice(0, 500).map((key) => <option key={key} value={`metric:${key}`}>{key}</option>)}</optgroup>
        </select>
      </label>
      <label title="How much of what came before counts; the raw curve stays behind">Smooth
        <input type="range" min="0" max="0.99" step="0.01" value={look.smooth} onInput={(event) => change({ smooth: Number(event.currentTarget.value) > 0 ? event.currentTarget.value : null })} />
        <output class="number">{look.smooth.toFixed(2)}</output>
      </label>
      <label>Group
        <select value={look.groupBy} aria-label="Group" onChange={(event) => change({ group: event.currentTarget.value || null })}>
          <option value="">no groups</option>
          {groups.map((group) => <option key={group} value={group}>{group.replace(/[`"]/g, '')}</option>)}
        </select>
      </label>
      <Toggle name="logx" label="log x" on={look.logX} />
      <Toggle name="logy" label="log y" on={look.logY} />
      <Toggle name="clip" label="no outliers" on={look.clip} />
      <span class="segments" role="group" aria-label="Size">
        {(['s', 'm', 'l'] as const).map((each) => (
          <button key={each} type="button" aria-pressed={size === each} onClick={() => change({ size: each === 'm' ? null : each })}>{each.toUpperCase()}</button>
        ))}
      </span>
      {look.range && <Button icon="close" label="Zoomed: show all" text kind="main" onClick={() => change({ zoom: null })} />}
    </div>
  );
}

function Toggle({ name, label, on }: { name: string; label: string; on: boolean }) {
  return <button type="button" class="toggle" aria-pressed={on} onClick={() => change({ [name]: on ? null : '1' })}>{label}</button>;
}

/** A chart over the whole window: the values of every run beneath it, and ways to take it along. */
function Large({ metric, runs, look, hover, zoom }: { metric: string; runs: RunName[]; look: Look; hover: Hover; zoom: (range: Range | null) => void }) {
  const dark = useDark();
  const ask = useMemo(() => ({ runs: runs.map((run) => run.id), x: look.x, xKey: look.xKey, range: look.range, width: 1200, groupBy: look.groupBy }), [runs, look]);
  const { data } = useCurves(metric, ask, true);
  const { lines, ribbons } = useMemo(() => data ? shapesOf(data, runs, look, dark) : { lines: [], ribbons: [] }, [data, runs, look, dark]);
  const height = Math.max(240, Math.min(640, window.innerHeight - 330));
  const [told, tell] = useState('');
  const picture = () => {
    const frame = frameOf(lines, ribbons, look, 1200, 560);
    if (frame) frame.left = leftOf(frame, (text) => text.length * 6.2);
    return frame;
  };
  const svg = () => {
    const frame = picture();
    if (!frame) return;
    const to = new SvgSurface(frame.width, frame.height);
    paint(to, frame, themeOf(dark));
    keep(`${metric}.svg`, new Blob([to.text(themeOf(dark).ground)], { type: 'image/svg+xml' }));
  };
  const png = () => {
    const frame = picture();
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d');
    if (!frame || !context) return;
    canvas.width = frame.width * 2;
    canvas.height = frame.height * 2;
    context.scale(2, 2);
    context.fillStyle = themeOf(dark).ground;
    context.fillRect(0, 0, frame.width, frame.height);
    paint(context, frame, themeOf(dark));
    canvas.toBlob((blob) => { if (blob) keep(`${metric}.png`, blob); });
  };
  const points = lines.reduce((sum, line) => sum + line.curve.points, 0);
  const csv = new URLSearchParams([...lines.slice(0, 100).map((line) => ['run', line.id]), ['key', metric], ...(points > 1e6 ? [['points', '4000']] : [])]);
  return (
    <Dialog title={metric} wide onClose={() => change({ panel: null })}>
      <div class="large-acts">
        <Button label="PNG" text onClick={png} />
        <Button label="SVG" text onClick={svg} />
        <a class="button plain" href={address(`api/stepwell/series.csv?${csv}`)} download={`${metric.replace(/[^\w.-]+/g, '_')}.csv`}>CSV</a>
        <Button icon="link" label={told || 'Copy link'} text onClick={() => { void copy(location.href).then((done) => tell(done ? 'Copied' : 'Copy the address above')); }} />
      </div>
      <Panel metric={metric} runs={runs} look={look} hover={hover} zoom={zoom} height={height} title="" />
      <div class="large-table" tabIndex={0} role="region" aria-label="Values">
        <table class="plain-table">
          <thead><tr><th>Run</th><th class="right">Last shown</th><th class="right">Least</th><th class="right">Greatest</th><th class="right">Points</th><th class="right">NaN</th></tr></thead>
          <tbody>
            {lines.map((line) => {
              const finite = Array.from(line.curve.y).filter(Number.isFinite);
              return (
                <tr key={line.id} onPointerEnter={() => hover.set(null, line.id)} onPointerLeave={() => hover.set(null, null)}>
                  <td><Swatch color={line.ink.color} dash={line.ink.dash} /> {line.label}</td>
                  <td class="number">{number(line.curve.y.at(-1))}</td>
                  <td class="number">{finite.length ? number(finite.reduce((a, b) => Math.min(a, b))) : ''}</td>
                  <td class="number">{finite.length ? number(finite.reduce((a, b) => Math.max(a, b))) : ''}</td>
                  <td class="number">{count(line.curve.points)}</td>
                  <td class="number">{line.curve.nan > 0 ? count(line.curve.nan) : ''}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Dialog>
  );
}
