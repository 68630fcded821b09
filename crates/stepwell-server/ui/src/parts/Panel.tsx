// One chart: curves of a metric over many runs, with a crosshair that all charts share, and a drag that zooms them.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useCurves } from '../api/curves';
import type { Ask, Curves } from '../api/curves';
import { assign, ink } from '../draw/colors';
import { duration, moment, number, tick } from '../draw/numbers';
import { FONT, leftOf, paint } from '../draw/paint';
import type { Theme } from '../draw/paint';
import { extentX, extentY, RIGHT, scales, smooth, TOP, valueAt } from '../draw/shape';
import type { AxisKind, Frame, Line, Range, Ribbon } from '../draw/shape';
import { useSize } from '../hooks';
import { useDark } from '../state';
import { Icon } from './Controls';

export interface RunName {
  id: string;
  name: string;
}

export interface Look {
  x: AxisKind;
  xKey: string;
  smooth: number;
  logX: boolean;
  logY: boolean;
  clip: boolean;
  groupBy: string;
  range: Range | null;
}

/** Where the pointer is, for all charts of a page. */
export class Hover {
  x: number | null = null;
  run: string | null = null;
  /** The chart that the pointer is in. */
  panel = '';
  private listeners = new Set<() => void>();
  set(x: number | null, run: string | null, panel = '') {
    if (x === this.x && run === this.run && panel === this.panel) return;
    this.panel = panel;
    this.x = x;
    this.run = run;
    this.listeners.forEach((listener) => listener());
  }
  watch(listener: () => void) {
    this.listeners.add(listener);
    return () => { this.listeners.delete(listener); };
  }
}

export function themeOf(dark: boolean): Theme {
  return dark
    ? { text: '#e6e8eb', faint: '#9aa3ad', grid: '#2a2f36', ground: '#15181c', font: FONT }
    : { text: '#1b1f24', faint: '#5d6670', grid: '#e9ecef', ground: '#ffffff', font: FONT };
}

/** The lines and bands of a chart, smoothed. */
export function shapesOf(data: Curves, runs: RunName[], look: Look, dark: boolean): { lines: Line[]; ribbons: Ribbon[] } {
  const weight = look.smooth;
  assign(data.bands.map((band) => groupId(band.group)));
  const ribbons = data.bands.map((band): Ribbon => ({
    id: band.group ?? '',
    label: `${band.group ?? 'none'} (${band.runs})`,
    ink: ink(groupId(band.group), dark),
    band,
    smooth: weight > 0 ? smooth(band.x, band.median, null, weight).y : null,
  })).filter(({ band, smooth }) => smooth === null || smooth.length === band.x.length);
  const lines = runs.flatMap(({ id, name }): Line[] => {
    const curve = data.curves.get(id);
    if (!curve || curve.x.length === 0) return [];
    const soft = weight > 0 && curve.x.length > 2 && look.x !== 'metric';
    return [{ id, label: name, ink: ink(id, dark), curve, smooth: soft ? smooth(curve.x, curve.y, curve.kinds, weight) : null }];
  });
  return { lines, ribbons };
}

/** What gives a group its colour. */
export const groupId = (group: string | null) => `group ${group ?? ''}`;

export function frameOf(lines: Line[], ribbons: Ribbon[], look: Look, width: number, height: number): Frame | null {
  const full = extentX(lines, ribbons, look.logX);
  if (!full) return null;
  let x = look.range ?? full;
  if (look.logX && x.lo <= 0) x = { lo: Math.min(1, x.hi / 10), hi: x.hi };
  if (x.lo === x.hi) x = { lo: x.lo - 0.5, hi: x.hi + 0.5 };
  const frame = { width, height, kind: look.x, lines, ribbons, x, logX: look.logX, logY: look.logY, left: 40, bottom: 22 };
  const y = extentY(frame, look.clip) ?? { lo: 0, hi: 1 };
  return { ...frame, y };
}

export function xText(kind: AxisKind, x: number): string {
  if (kind === 'time') return moment(x);
  if (kind === 'relative') return duration(x * 1000);
  return kind === 'step' ? `step ${number(x)}` : number(x);
}

interface PanelProps {
  metric: string;
  runs: RunName[];
  look: Look;
  hover: Hover;
  zoom: (range: Range | null) => void;
  height: number;
  large?: () => void;
  /** Bars where every run has a single value. */
  title?: string;
}

export function Panel(props: PanelProps) {
  const { metric, runs, look, hover, zoom, height } = props;
  const dark = useDark();
  const [box, { width }] = useSize<HTMLDivElement>();
  const [visible, see] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new IntersectionObserver(([entry]) => see(entry!.isIntersecting), { rootMargin: '200px' });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // Widths in steps, so that a window that is resized does not ask anew for every pixel; wider buckets for many runs.
  const buckets = Math.max(100, Math.ceil(Math.max(1, width - 50) / 100) * 100 / (runs.length > 20 ? 2 : 1));
  const ask: Ask = useMemo(() => ({
    runs: runs.map((run) => run.id), x: look.x, xKey: look.xKey, range: look.range, width: buckets, groupBy: look.groupBy,
  }), [runs, look.x, look.xKey, look.range?.lo, look.range?.hi, buckets, look.groupBy]);
  const { data, error, loading } = useCurves(metric, ask, visible && width > 0);
  assign(runs.map((run) => run.id));
  const { lines, ribbons } = useMemo(
    () => (data ? shapesOf(data, runs, look, dark) : { lines: [], ribbons: [] }),
    [data, runs, look.smooth, look.x, dark],
  );
  const bars = ribbons.length > 1 ? ribbons.every(({ band }) => band.x.length === 1)
    : lines.length > 1 && lines.every((line) => line.curve.points === 1);
  const nothing = data !== null && lines.length === 0 && ribbons.length === 0;
  return (
    <section class="panel" aria-label={metric} aria-busy={loading} data-state={error ? 'error' : data ? 'drawn' : 'waiting'}>
      <header class={props.title === '' ? 'bare' : ''}>
        <h3 title={metric}>{props.title ?? metric}</h3>
        {loading && data && <span class="busy" aria-hidden="true" />}
        {data && data.leftOut.length > 0 && (
          <span class="warn" title={data.leftOut.join('\n')}>{data.leftOut.length} parts cannot be read</span>
        )}
        {props.large && (
          <button type="button" class="button plain only" aria-label={`Show ${metric} large`} title="Large" onClick={props.large}>
            <Icon name="large" size={14} />
          </button>
        )}
      </header>
      <div class="plot" ref={box} style={{ height: `${height}px` }}>
        {error && <p class="plot-note" role="alert">{error.message}</p>}
        {!error && nothing && <p class="plot-note">{runs.length === 0 ? 'No run is shown.' : 'No shown run has this metric.'}</p>}
        {!error && !data && <div class="skeleton" />}
        {!error && bars && <Bars of={ribbons.length > 0 ? ribbons.map(barOfGroup) : lines.map(barOfRun)} hover={hover} />}
        {!error && data && !nothing && !bars && visible && width > 0 && (
          <Picture {...{ metric, look, hover, zoom, lines, ribbons, width, height, dark }} />
        )}
      </div>
    </section>
  );
}

/** Single values as bars, the greatest first. */
interface Bar {
  id: string;
  label: string;
  color: string;
  value: number;
  beside: string;
}

const barOfRun = (line: Line): Bar => ({ id: line.id, label: line.label, color: line.ink.color, value: line.curve.y[0]!, beside: '' });
const barOfGroup = ({ id, label, ink, band }: Ribbon): Bar => ({
  id, label, color: ink.color, value: band.median[0]!, beside: band.runs > 1 ? `${number(band.least[0], 3)} – ${number(band.greatest[0], 3)}` : '',
});

function Bars({ of: values, hover }: { of: Bar[]; hover: Hover }) {
  const finite = values.filter(({ value }) => Number.isFinite(value)).sort((a, b) => b.value - a.value);
  const most = Math.max(...finite.map(({ value }) => Math.abs(value)), Number.MIN_VALUE);
  const others = values.length - finite.length;
  return (
    <ol class="bars" tabIndex={0} aria-label="Values">
      {finite.slice(0, 200).map(({ id, label, color, value, beside }) => (
        <li key={id} onPointerEnter={() => hover.set(null, id)} onPointerLeave={() => hover.set(null, null)}>
          <span class="bars-name" title={label}>{label}</span>
          <span class="bars-track"><i style={{ width: `${(Math.abs(value) / most) * 100}%`, background: color }} /></span>
          <span class="number">{number(value)} {beside && <small class="faint">{beside}</small>}</span>
        </li>
      ))}
      {others > 0 && <li class="faint">{others} not finite</li>}
    </ol>
  );
}

interface PictureProps {
  metric: string;
  look: Look;
  hover: Hover;
  zoom: (range: Range | null) => void;
  lines: Line[];
  ribbons: Ribbon[];
  width: number;
  height: number;
  dark: boolean;
}

const REACH = 30;
const HEAVY = 40;

function Picture({ metric, look, hover, zoom, lines, ribbons, width, height, dark }: PictureProps) {
  const main = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const [tip, say] = useState<{ x: number; px: number; py: number } | null>(null);
  const drag = useRef<{ from: number; to: number; pan: boolean; range: Range } | null>(null);
  const [strong, stress] = useState<string | null>(null);
  const theme = themeOf(dark);
  const frame = useMemo(() => {
    const frame = frameOf(lines, ribbons, look, width, height);
    const context = document.createElement('canvas').getContext('2d');
    if (frame && context) {
      context.font = FONT;
      frame.left = leftOf(frame, (text) => context.measureText(text).width);
    }
    return frame;
  }, [lines, ribbons, look, width, height]);
  useLayoutEffect(() => {
    const context = prepare(main.current, width, height);
    if (context && frame) paint(context, frame, theme, strong);
  }, [frame, dark, strong]);
  // Only the crosshair moves with the pointer; the chart below it stays.
  useEffect(() => {
    let asked = 0;
    const draw = () => {
      asked = 0;
      const context = prepare(over.current, width, height);
      if (context && frame) overlay(context, frame, theme, hover, drag.current);
    };
    const stop = hover.watch(() => {
      if (!asked) asked = requestAnimationFrame(draw);
      // Charts of very many runs are not painted anew for a pointer that is elsewhere.
      const near = lines.length <= HEAVY || hover.panel === metric || hover.panel === '';
      stress(near && lines.some((line) => line.id === hover.run) ? hover.run : null);
    });
    draw();
    return () => { stop(); cancelAnimationFrame(asked); };
  }, [frame, dark]);
  if (!frame) return <p class="plot-note">No value has a place on this axis.</p>;
  const { x, y } = scales(frame);
  const sorted = look.x !== 'metric';

  const place = (event: PointerEvent | MouseEvent) => {
    const rect = over.current!.getBoundingClientRect();
    return { px: event.clientX - rect.left, py: event.clientY - rect.top };
  };
  const nearest = (at: number, py: number | null) => {
    const reach = Math.abs(x.back(REACH) - x.back(0)) || Infinity;
    const found = lines.flatMap((line) => {
      const value = valueAt(line, at, look.logX ? Infinity : reach, sorted);
      return value && Number.isFinite(value.y) ? [{ line, value, far: py === null ? 0 : Math.abs(y.at(value.y) - py) }] : [];
    });
    return found.sort((a, b) => a.far - b.far);
  };
  const move = (event: PointerEvent) => {
    const { px, py } = place(event);
    if (drag.current) {
      drag.current.to = px;
      if (drag.current.pan) {
        const by = x.back(drag.current.from) - x.back(px);
        zoom({ lo: drag.current.range.lo + by, hi: drag.current.range.hi + by });
      }
    }
    const at = x.back(px);
    hover.set(at, nearest(at, py)[0]?.line.id ?? null, metric);
    say({ x: at, px, py });
  };
  const leave = () => { hover.set(null, null); say(null); };
  const down = (event: PointerEvent) => {
    if (event.button !== 0) return;
    over.current!.setPointerCapture(event.pointerId);
    const { px } = place(event);
    drag.current = { from: px, to: px, pan: event.shiftKey, range: frame.x };
  };
  const release = () => {
    const done = drag.current;
    drag.current = null;
    if (!done || done.pan || Math.abs(done.to - done.from) < 5) return;
    const [lo, hi] = [x.back(Math.min(done.from, done.to)), x.back(Math.max(done.from, done.to))];
    zoom({ lo, hi });
  };
  const wheel = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const at = x.back(place(event).px);
    const by = Math.exp(event.deltaY * 0.003);
    zoom({ lo: at - (at - frame.x.lo) * by, hi: at + (frame.x.hi - at) * by });
  };
  const keys = (event: KeyboardEvent) => {
    const span = frame.x.hi - frame.x.lo;
    const at = hover.x ?? frame.x.lo + span / 2;
    const acts: Record<string, () => void> = {
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      '+': () => zoom({ lo: at - span / 4, hi: at + span / 4 }),
      '-': () => zoom({ lo: at - span, hi: at + span }),
      '0': () => zoom(null),
      Escape: () => { leave(); },
    };
    const step = (by: number) => {
      const next = Math.min(frame.x.hi, Math.max(frame.x.lo, at + (by * span) / 50));
      const near = nearest(next, null);
      hover.set(next, near[0]?.line.id ?? null, metric);
      say({ x: next, px: x.at(next), py: near[0] ? y.at(near[0].value.y) : height / 2 });
    };
    const act = acts[event.key];
    if (!act) return;
    if (event.key !== 'Escape') event.stopPropagation();
    event.preventDefault();
    act();
  };
  const summary = `${metric}: ${lines.length || ribbons.length} ${ribbons.length ? 'groups' : 'runs'}, ${
    xText(look.x, frame.x.lo)} to ${xText(look.x, frame.x.hi)}, values ${number(frame.y.lo, 3)} to ${number(frame.y.hi, 3)}. ` +
    'Arrow keys move the crosshair, plus and minus zoom, 0 shows all.';
  return (
    <>
      <canvas ref={main} class="picture" aria-hidden="true" />
      <canvas ref={over} class="over" tabIndex={0} role="img" aria-label={summary} onPointerMove={move}
        onPointerLeave={leave} onPointerDown={down} onPointerUp={release} onDblClick={() => zoom(null)}
        onWheel={wheel} onKeyDown={keys} onBlur={leave} />
      {tip && !drag.current && (
        <Tip look={look} frame={frame} tip={tip} near={nearest(tip.x, tip.py)} ribbons={ribbons} width={width} />
      )}
    </>
  );
}

type Near = { line: Line; value: { x: number; y: number }; far: number }[];

function Tip({ look, frame, tip, near, ribbons, width }: {
  look: Look; frame: Frame; tip: { x: number; px: number; py: number }; near: Near; ribbons: Ribbon[]; width: number;
}) {
  const rows = near.slice(0, 8);
  const left = tip.px > width / 2;
  const style = left ? { right: `${width - tip.px + 14}px`, top: `${TOP}px` } : { left: `${tip.px + 14}px`, top: `${TOP}px` };
  const bands = ribbons.map((ribbon) => {
    const { x } = ribbon.band;
    let at = 0;
    for (let k = 1; k < x.length; k++) if (Math.abs(x[k]! - tip.x) < Math.abs(x[at]! - tip.x)) at = k;
    return { ribbon, at };
  }).filter(({ ribbon }) => ribbon.band.x.length > 0).slice(0, 8);
  const span = frame.x.hi - frame.x.lo;
  const shown = rows[0]?.value.x ?? tip.x;
  return (
    <div class="tip" style={style} aria-live="polite">
      <div class="tip-x">{look.x === 'metric' ? `${look.xKey} ${tick(shown, span / 1000)}` : xText(look.x, Math.round(shown))}</div>
      <table>
        <tbody>
          {rows.map(({ line, value }, at) => (
            <tr key={line.id} class={at === 0 ? 'first' : ''}>
              <td><Swatch color={line.ink.color} dash={line.ink.dash} /></td>
              <td class="tip-name">{line.label}</td>
              <td class="number">{number(value.y)}</td>
            </tr>
          ))}
          {bands.map(({ ribbon, at }) => (
            <tr key={ribbon.id}>
              <td><Swatch color={ribbon.ink.color} dash={ribbon.ink.dash} /></td>
              <td class="tip-name">{ribbon.label}</td>
              <td class="number">{number(ribbon.band.median[at]!)}</td>
              <td class="number faint">{number(ribbon.band.least[at]!, 3)} – {number(ribbon.band.greatest[at]!, 3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {near.length > rows.length && <div class="faint">and {near.length - rows.length} more</div>}
    </div>
  );
}

export function Swatch({ color, dash }: { color: string; dash: number[] }) {
  return (
    <svg class="swatch" width="14" height="8" aria-hidden="true">
      <line x1="0" y1="4" x2="14" y2="4" stroke={color} stroke-width="3" stroke-dasharray={dash.map((n) => n / 1.6).join(' ')} />
    </svg>
  );
}

/** A canvas at the screen's resolution, wiped. */
function prepare(canvas: HTMLCanvasElement | null, width: number, height: number): CanvasRenderingContext2D | null {
  if (!canvas) return null;
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext('2d');
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}

function overlay(
  context: CanvasRenderingContext2D, frame: Frame, theme: Theme, hover: Hover, drag: { from: number; to: number; pan: boolean } | null,
) {
  const { x, y } = scales(frame);
  const bottom = frame.height - frame.bottom;
  if (drag && !drag.pan && Math.abs(drag.to - drag.from) > 2) {
    context.globalAlpha = 0.15;
    context.fillStyle = theme.text;
    context.fillRect(Math.min(drag.from, drag.to), TOP, Math.abs(drag.to - drag.from), bottom - TOP);
    context.globalAlpha = 1;
  }
  if (hover.x === null || hover.x < frame.x.lo || hover.x > frame.x.hi) return;
  const px = Math.round(x.at(hover.x)) + 0.5;
  if (px < frame.left || px > frame.width - RIGHT) return;
  context.strokeStyle = theme.faint;
  context.globalAlpha = 0.7;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(px, TOP);
  context.lineTo(px, bottom);
  context.stroke();
  context.globalAlpha = 1;
  if (frame.lines.length > 60) return;
  const reach = Math.abs(x.back(REACH) - x.back(0)) || Infinity;
  for (const line of frame.lines) {
    const value = valueAt(line, hover.x, reach, frame.kind !== 'metric');
    if (!value || !Number.isFinite(value.y)) continue;
    context.beginPath();
    context.arc(x.at(value.x), y.at(value.y), line.id === hover.run ? 4 : 2.5, 0, Math.PI * 2);
    context.fillStyle = line.ink.color;
    context.fill();
    context.strokeStyle = theme.ground;
    context.stroke();
  }
}

