// A sparkline: a metric of one run, small, within a cell.
import { useEffect, useRef, useState } from 'preact/hooks';
import { once } from '../api/curves';
import type { Curve } from '../api/binary';
import { ink } from '../draw/colors';
import { useDark } from '../state';

const known = new Map<string, Curve | null>();

export function Spark({ run, metric, stamp = '' }: { run: string; metric: string; stamp?: string }) {
  const name = `${run} ${metric} ${stamp}`;
  const [, turn] = useState(0);
  const canvas = useRef<HTMLCanvasElement>(null);
  const dark = useDark();
  useEffect(() => {
    if (known.has(name)) return;
    const abort = new AbortController();
    gather(metric, run, abort.signal).then((curve) => {
      if (known.size > 5000) known.clear();
      known.set(name, curve);
      if (!abort.signal.aborted) turn((n) => n + 1);
    }, () => { /* An empty cell; the chart tells why. */ });
    return () => abort.abort();
  }, [name]);
  const curve = known.get(name);
  useEffect(() => { if (canvas.current) draw(canvas.current, curve ?? null, ink(run, dark).color); }, [curve, dark]);
  return <canvas ref={canvas} class="spark" width={192} height={48} aria-hidden="true" />;
}

const waiting = new Map<string, Map<string, { done: (curve: Curve | null) => void; failed: (error: Error) => void }[]>>();
let timer: ReturnType<typeof setTimeout> | null = null;

/** Cells that come into view together are asked for together. */
function gather(metric: string, run: string, signal: AbortSignal): Promise<Curve | null> {
  return new Promise((done, failed) => {
    const runs = waiting.get(metric) ?? new Map();
    waiting.set(metric, runs);
    runs.set(run, [...(runs.get(run) ?? []), { done, failed }]);
    signal.addEventListener('abort', () => failed(new Error('no longer needed')));
    timer ??= setTimeout(() => {
      timer = null;
      for (const [metric, runs] of waiting) {
        once(metric, [...runs.keys()], 48, new AbortController().signal).then(
          (curves) => runs.forEach((all, id) => all.forEach(({ done }) => done(curves.get(id) ?? null))),
          (error) => runs.forEach((all) => all.forEach(({ failed }) => failed(error))),
        );
      }
      waiting.clear();
    }, 60);
  });
}

function draw(canvas: HTMLCanvasElement, curve: Curve | null, color: string): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!curve || curve.x.length === 0) return;
  const finite = Array.from(curve.y).filter(Number.isFinite);
  if (finite.length === 0) return;
  const [lo, hi] = [Math.min(...finite), Math.max(...finite)];
  const [from, to] = [curve.x[0]!, curve.x[curve.x.length - 1]!];
  const x = (value: number) => 4 + (to > from ? (value - from) / (to - from) : 0.5) * (canvas.width - 8);
  const y = (value: number) => canvas.height - 5 - (hi > lo ? (value - lo) / (hi - lo) : 0.5) * (canvas.height - 10);
  context.strokeStyle = color;
  context.fillStyle = color;
  context.lineWidth = 2;
  context.lineJoin = 'round';
  context.beginPath();
  let begun = false;
  for (let at = 0; at < curve.x.length; at++) {
    if (!Number.isFinite(curve.y[at]!)) { begun = false; continue; }
    if (begun) context.lineTo(x(curve.x[at]!), y(curve.y[at]!)); else context.moveTo(x(curve.x[at]!), y(curve.y[at]!));
    begun = true;
  }
  context.stroke();
  if (finite.length === 1) {
    context.beginPath();
    context.arc(canvas.width / 2, canvas.height / 2, 4, 0, Math.PI * 2);
    context.fill();
  }
}
