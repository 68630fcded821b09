// A chart as numbers: its lines and bands, what of them is visible, and where things stand on the picture.
import type { Band, Curve } from '../api/binary';
import { LAST } from '../api/binary';
import type { Ink } from './colors';

export type AxisKind = 'step' | 'time' | 'relative' | 'metric';

export interface Line {
  id: string;
  label: string;
  ink: Ink;
  curve: Curve;
  /** The smoothed line; the curve itself then stands faintly behind it. */
  smooth: { x: Float64Array; y: Float64Array } | null;
}

export interface Ribbon {
  id: string;
  label: string;
  ink: Ink;
  band: Band;
  smooth: Float64Array | null;
}

export interface Range {
  lo: number;
  hi: number;
}

export interface Frame {
  width: number;
  height: number;
  kind: AxisKind;
  lines: Line[];
  ribbons: Ribbon[];
  x: Range;
  y: Range;
  logX: boolean;
  logY: boolean;
  /** Space for labels at the left and below. */
  left: number;
  bottom: number;
}

export const TOP = 8;
export const RIGHT = 10;

/** The first place in sorted numbers that is not below `value`. */
export function lowerBound(sorted: Float64Array, value: number): number {
  let lo = 0, hi = sorted.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (sorted[mid]! < value) lo = mid + 1; else hi = mid;
  }
  return lo;
}

/**
 * A moving average that forgets with distance on x, not with the number of points: `weight` over a thousandth of the
 * whole. It runs over each bucket's last point, so that how dense points are changes nothing.
 */
export function smooth(x: Float64Array, y: Float64Array, kinds: Uint8Array | null, weight: number) {
  const keep: number[] = [];
  for (let at = 0; at < x.length; at++) {
    if ((kinds === null || kinds[at]! & LAST) && Number.isFinite(y[at]!)) keep.push(at);
  }
  const [xs, ys] = [new Float64Array(keep.length), new Float64Array(keep.length)];
  const span = keep.length > 1 ? Math.abs(x[keep.at(-1)!]! - x[keep[0]!]!) : 1;
  // What 1,000 evenly spaced points would have between each other.
  const unit = Math.max(span / 1000, Number.MIN_VALUE);
  let sum = 0, mass = 0, before = x[keep[0] ?? 0] ?? 0;
  keep.forEach((from, to) => {
    const left = weight ** Math.max(Math.abs(x[from]! - before) / unit, 1e-9);
    before = x[from]!;
    sum = sum * left + y[from]! * (1 - weight);
    mass = mass * left + (1 - weight);
    xs[to] = x[from]!;
    ys[to] = sum / mass;
  });
  return { x: xs, y: ys };
}

/** All x of a chart. */
export function extentX(lines: Line[], ribbons: Ribbon[], positive: boolean): Range | null {
  let [lo, hi] = [Infinity, -Infinity];
  const add = (value: number) => {
    if (!Number.isFinite(value) || (positive && value <= 0)) return;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  };
  for (const { curve } of lines) curve.x.forEach(add);
  for (const { band } of ribbons) band.x.forEach(add);
  return lo <= hi ? { lo, hi } : null;
}

/** All y that are visible; outliers of either end are left out on request. */
export function extentY(frame: Pick<Frame, 'lines' | 'ribbons' | 'x' | 'logY'>, clip: boolean): Range | null {
  const values: number[] = [];
  let [lo, hi] = [Infinity, -Infinity];
  const add = (value: number) => {
    if (!Number.isFinite(value) || (frame.logY && value <= 0)) return;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
    if (clip) values.push(value);
  };
  const within = (x: number) => x >= frame.x.lo && x <= frame.x.hi;
  for (const { curve, smooth } of frame.lines) {
    const { x, y } = clip && smooth ? smooth : curve;
    for (let at = 0; at < x.length; at++) if (within(x[at]!)) add(y[at]!);
  }
  for (const { band } of frame.ribbons) {
    for (let at = 0; at < band.x.length; at++) {
      if (!within(band.x[at]!)) continue;
      add(clip ? band.low[at]! : band.least[at]!);
      add(clip ? band.high[at]! : band.greatest[at]!);
    }
  }
  if (lo > hi) return null;
  if (clip && values.length > 20) {
    values.sort((a, b) => a - b);
    lo = values[Math.floor(values.length * 0.02)]!;
    hi = values[Math.ceil(values.length * 0.98) - 1]!;
  }
  return padded(lo, hi, frame.logY);
}

function padded(lo: number, hi: number, log: boolean): Range {
  if (log) {
    if (lo === hi) return { lo: lo / 2, hi: hi * 2 };
    const pad = (Math.log10(hi) - Math.log10(lo)) * 0.05;
    return { lo: lo / 10 ** pad, hi: hi * 10 ** pad };
  }
  if (lo === hi) {
    const pad = Math.abs(lo) * 0.1 || 1;
    return { lo: lo - pad, hi: hi + pad };
  }
  const pad = (hi - lo) * 0.05;
  return { lo: lo - pad, hi: hi + pad };
}

/** From values to pixels and back, along one axis. */
export function scale(range: Range, from: number, to: number, log: boolean) {
  const of = log ? (value: number) => Math.log10(value > 0 ? value : Number.MIN_VALUE) : (value: number) => value;
  const [lo, hi] = [of(range.lo), of(range.hi)];
  const factor = hi > lo ? (to - from) / (hi - lo) : 0;
  const at = (value: number) => (factor === 0 ? (from + to) / 2 : from + (of(value) - lo) * factor);
  const back = (pixel: number) => {
    const value = factor === 0 ? lo : lo + (pixel - from) / factor;
    return log ? 10 ** value : value;
  };
  return { at, back };
}

export function scales(frame: Frame) {
  return {
    x: scale(frame.x, frame.left, frame.width - RIGHT, frame.logX),
    y: scale(frame.y, frame.height - frame.bottom, TOP, frame.logY),
  };
}

/** The value of a line at x: that of the nearest point, if one is near. */
export function valueAt(line: Line, x: number, reach: number, sorted: boolean): { x: number; y: number } | null {
  const { x: xs, y: ys } = line.smooth ?? line.curve;
  if (xs.length === 0) return null;
  let best = -1;
  if (sorted) {
    const at = lowerBound(xs, x);
    best = at > 0 && (at === xs.length || x - xs[at - 1]! <= xs[at]! - x) ? at - 1 : at;
  } else {
    let near = Infinity;
    for (let at = 0; at < xs.length; at++) {
      const far = Math.abs(xs[at]! - x);
      if (far < near) [near, best] = [far, at];
    }
  }
  const inside = sorted && x >= xs[0]! && x <= xs[xs.length - 1]!;
  if (!inside && Math.abs(xs[best]! - x) > reach) return null;
  return { x: xs[best]!, y: ys[best]! };
}
