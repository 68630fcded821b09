// Paints a chart: onto a canvas, or as the text of an SVG by the same calls.
import type { Frame, Line, Ribbon } from './shape';
import { lowerBound, RIGHT, scales, TOP } from './shape';
import { logTicks, number, tick, ticks, timeTick, timeTicks } from './numbers';

/** What both a canvas and an SVG can do. */
export interface Surface {
  strokeStyle: string | CanvasGradient | CanvasPattern;
  fillStyle: string | CanvasGradient | CanvasPattern;
  lineWidth: number;
  globalAlpha: number;
  font: string;
  textAlign: CanvasTextAlign;
  textBaseline: CanvasTextBaseline;
  lineJoin: CanvasLineJoin;
  setLineDash(dash: number[]): void;
  beginPath(): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  closePath(): void;
  rect(x: number, y: number, width: number, height: number): void;
  arc(x: number, y: number, radius: number, from: number, to: number): void;
  stroke(): void;
  fill(): void;
  clip(): void;
  save(): void;
  restore(): void;
  fillText(text: string, x: number, y: number): void;
}

export interface Theme {
  text: string;
  faint: string;
  grid: string;
  ground: string;
  font: string;
}

export const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** Ticks of an axis with their labels. */
function labelled(frame: Frame, which: 'x' | 'y'): { at: number; label: string }[] {
  const range = frame[which];
  const log = which === 'x' ? frame.logX : frame.logY;
  if (log) return logTicks(range.lo, range.hi).map((at) => ({ at, label: number(at, 3) }));
  const wanted = which === 'x' ? Math.max(2, Math.floor(frame.width / 75)) : Math.max(2, Math.floor(frame.height / 38));
  if (which === 'x' && frame.kind === 'time') {
    const { at, step } = timeTicks(range.lo, range.hi, wanted);
    return at.map((at) => ({ at, label: timeTick(at, step) }));
  }
  const { at, step } = ticks(range.lo, range.hi, wanted);
  if (which === 'x' && frame.kind === 'relative') return at.map((at) => ({ at, label: clock(at, step) }));
  return at.map((at) => ({ at, label: tick(at, step) }));
}

/** Seconds as a label. */
function clock(seconds: number, step: number): string {
  if (seconds === 0) return '0';
  if (step >= 3600) return `${tick(seconds / 3600, step / 3600)} h`;
  if (step >= 60) return `${tick(seconds / 60, step / 60)} m`;
  return `${tick(seconds, step)} s`;
}

/** The space that a frame's labels need at the left. */
export function leftOf(frame: Frame, measure: (text: string) => number): number {
  return Math.ceil(Math.max(24, ...labelled(frame, 'y').map(({ label }) => measure(label)))) + 10;
}

export function paint(to: Surface, frame: Frame, theme: Theme, strong: string | null = null): void {
  const { x, y } = scales(frame);
  const [right, bottom] = [frame.width - RIGHT, frame.height - frame.bottom];
  to.font = theme.font;
  to.lineJoin = 'round';
  to.lineWidth = 1;
  to.strokeStyle = theme.grid;
  to.fillStyle = theme.faint;
  to.setLineDash([]);
  to.textBaseline = 'middle';
  to.textAlign = 'right';
  to.beginPath();
  for (const { at, label } of labelled(frame, 'y')) {
    const pixel = Math.round(y.at(at)) + 0.5;
    if (pixel < TOP - 1 || pixel > bottom + 1) continue;
    to.moveTo(frame.left, pixel);
    to.lineTo(right, pixel);
    to.fillText(label, frame.left - 6, pixel);
  }
  to.stroke();
  to.textBaseline = 'top';
  let end = -Infinity;
  for (const { at, label } of labelled(frame, 'x')) {
    const pixel = Math.round(x.at(at)) + 0.5;
    if (pixel < frame.left - 1 || pixel > right + 1) continue;
    const half = label.length * 3.2;
    const place = Math.min(Math.max(pixel, frame.left + half - 14), frame.width - half - 1);
    if (place - half < end + 8) continue;
    end = place + half;
    to.textAlign = 'center';
    to.fillText(label, place, bottom + 6);
  }
  to.save();
  to.beginPath();
  to.rect(frame.left, TOP - 4, right - frame.left + 4, bottom - TOP + 8);
  to.clip();
  const many = frame.lines.length;
  for (const ribbon of frame.ribbons) paintRibbon(to, frame, ribbon, x.at, y.at);
  for (const line of frame.lines) if (line.id !== strong) paintLine(to, frame, line, x.at, y.at, strong ? 0.25 : 1, many);
  const own = frame.lines.find((line) => line.id === strong);
  if (own) paintLine(to, frame, own, x.at, y.at, 1, 0);
  to.restore();
  to.globalAlpha = 1;
}

type At = (value: number) => number;

function paintLine(to: Surface, frame: Frame, line: Line, x: At, y: At, alpha: number, many: number): void {
  to.strokeStyle = line.ink.color;
  to.fillStyle = line.ink.color;
  const width = many === 0 ? 2.2 : many > 60 ? 1 : 1.5;
  if (line.smooth) {
    to.globalAlpha = alpha * (many > 30 ? 0.1 : 0.22);
    to.lineWidth = 1;
    to.setLineDash([]);
    path(to, frame, line.curve.x, line.curve.y, x, y);
    to.stroke();
  }
  const { x: xs, y: ys } = line.smooth ?? line.curve;
  to.globalAlpha = alpha * (many > 100 ? 0.7 : 1);
  to.lineWidth = width;
  to.setLineDash(line.ink.dash);
  const alone = path(to, frame, xs, ys, x, y);
  to.stroke();
  to.setLineDash([]);
  // Points with no neighbour would not show as a line; few points are shown each.
  const dots = line.curve.exact && xs.length <= 24 && many <= 40;
  if (alone.length > 0 || dots) {
    to.beginPath();
    const all = dots ? Array.from(xs.keys()).filter((at) => Number.isFinite(ys[at]!)) : alone;
    for (const at of all) {
      const [px, py] = [x(xs[at]!), y(ys[at]!)];
      to.moveTo(px + 2.4, py);
      to.arc(px, py, dots && alone.length === 0 ? 2 : 2.6, 0, Math.PI * 2);
    }
    to.fill();
  }
  if (line.curve.nan > 0 || frame.logY) paintAbsent(to, frame, line, x);
}

/** Marks values that have no place on the axis: NaN and infinities, at the edge where they would be. */
function paintAbsent(to: Surface, frame: Frame, line: Line, x: At): void {
  const { x: xs, y: ys } = line.curve;
  const bottom = frame.height - frame.bottom;
  let shown = 0;
  to.lineWidth = 1.5;
  to.beginPath();
  for (let at = 0; at < xs.length && shown < 60; at++) {
    const value = ys[at]!;
    if (Number.isFinite(value) || xs[at]! < frame.x.lo || xs[at]! > frame.x.hi) continue;
    const px = x(xs[at]!);
    shown += 1;
    if (Number.isNaN(value)) {
      to.moveTo(px - 3, bottom - 7);
      to.lineTo(px + 3, bottom - 1);
      to.moveTo(px - 3, bottom - 1);
      to.lineTo(px + 3, bottom - 7);
    } else {
      const [tip, base] = value > 0 ? [TOP, TOP + 6] : [bottom, bottom - 6];
      to.moveTo(px - 3, base);
      to.lineTo(px, tip);
      to.lineTo(px + 3, base);
    }
  }
  to.stroke();
}

/** Begins the path of a line; returns the places of points without a neighbour. */
function path(to: Surface, frame: Frame, xs: Float64Array, ys: Float64Array, x: At, y: At): number[] {
  to.beginPath();
  const sorted = frame.kind !== 'metric';
  const first = sorted ? Math.max(0, lowerBound(xs, frame.x.lo) - 1) : 0;
  const last = sorted ? Math.min(xs.length - 1, lowerBound(xs, frame.x.hi) + 1) : xs.length - 1;
  let run = 0;
  const alone: number[] = [];
  for (let at = first; at <= last; at++) {
    const value = ys[at]!;
    const absent = !Number.isFinite(value) || (frame.logY && value <= 0) || (frame.logX && xs[at]! <= 0);
    if (absent) {
      if (run === 1) alone.push(at - 1);
      run = 0;
      continue;
    }
    const [px, py] = [x(xs[at]!), y(value)];
    if (run === 0) to.moveTo(px, py); else to.lineTo(px, py);
    run += 1;
  }
  if (run === 1) alone.push(last);
  return alone;
}

function paintRibbon(to: Surface, frame: Frame, ribbon: Ribbon, x: At, y: At): void {
  const { band, ink } = ribbon;
  to.fillStyle = ink.color;
  to.strokeStyle = ink.color;
  const floor = frame.logY ? frame.y.lo : -Infinity;
  const area = (low: Float64Array, high: Float64Array, alpha: number) => {
    to.globalAlpha = alpha;
    to.beginPath();
    for (let at = 0; at < band.x.length; at++) {
      const py = y(Math.max(high[at]!, floor));
      if (at === 0) to.moveTo(x(band.x[at]!), py); else to.lineTo(x(band.x[at]!), py);
    }
    for (let at = band.x.length - 1; at >= 0; at--) to.lineTo(x(band.x[at]!), y(Math.max(low[at]!, floor)));
    to.closePath();
    to.fill();
  };
  if (band.runs > 1) {
    area(band.least, band.greatest, 0.1);
    area(band.low, band.high, 0.2);
  }
  to.globalAlpha = 1;
  to.lineWidth = 1.8;
  to.setLineDash(ink.dash);
  const alone = path(to, frame, band.x, ribbon.smooth ?? band.median, x, y);
  to.stroke();
  to.setLineDash([]);
  if (alone.length > 0) {
    to.beginPath();
    for (const at of alone) to.arc(x(band.x[at]!), y(band.median[at]!), 2.6, 0, Math.PI * 2);
    to.fill();
  }
}

const escape = (text: string) =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);

/** A surface whose result is the text of an SVG. */
export class SvgSurface implements Surface {
  strokeStyle: string | CanvasGradient | CanvasPattern = '#000';
  fillStyle: string | CanvasGradient | CanvasPattern = '#000';
  lineWidth = 1;
  globalAlpha = 1;
  font = FONT;
  textAlign: CanvasTextAlign = 'left';
  textBaseline: CanvasTextBaseline = 'alphabetic';
  lineJoin: CanvasLineJoin = 'round';
  private dash: number[] = [];
  private d = '';
  private out: string[] = [];
  private clips = 0;
  private open = 0;

  constructor(private readonly width: number, private readonly height: number) {}

  setLineDash(dash: number[]) { this.dash = dash; }
  beginPath() { this.d = ''; }
  moveTo(x: number, y: number) { this.d += `M${round(x)} ${round(y)}`; }
  lineTo(x: number, y: number) { this.d += `L${round(x)} ${round(y)}`; }
  closePath() { this.d += 'Z'; }
  rect(x: number, y: number, w: number, h: number) { this.d += `M${round(x)} ${round(y)}h${round(w)}v${round(h)}h${round(-w)}Z`; }
  arc(x: number, y: number, r: number) {
    this.d += `M${round(x - r)} ${round(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
  }
  stroke() {
    if (this.d === '') return;
    const dash = this.dash.length > 0 ? ` stroke-dasharray="${this.dash.join(' ')}"` : '';
    this.out.push(`<path d="${this.d}" fill="none" stroke="${this.strokeStyle}" stroke-width="${this.lineWidth}"${dash}${
      this.alpha('stroke')} stroke-linejoin="round"/>`);
  }
  fill() {
    if (this.d !== '') this.out.push(`<path d="${this.d}" fill="${this.fillStyle}"${this.alpha('fill')}/>`);
  }
  clip() {
    const id = `c${this.clips++}`;
    this.out.push(`<clipPath id="${id}"><path d="${this.d}"/></clipPath><g clip-path="url(#${id})">`);
    this.open += 1;
  }
  save() { /* Only a clip is undone. */ }
  restore() {
    if (this.open > 0) {
      this.out.push('</g>');
      this.open -= 1;
    }
  }
  fillText(text: string, x: number, y: number) {
    const anchor = { right: 'end', end: 'end', center: 'middle', left: 'start', start: 'start' }[this.textAlign];
    const down = { top: 9, middle: 4, hanging: 9, alphabetic: 0, ideographic: 0, bottom: 0 }[this.textBaseline];
    this.out.push(`<text x="${round(x)}" y="${round(y + down)}" text-anchor="${anchor}" fill="${this.fillStyle}">${
      escape(text)}</text>`);
  }
  text(ground: string): string {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}" viewBox="0 0 ${
      this.width} ${this.height}" font-family="system-ui, sans-serif" font-size="11">` +
      `<rect width="100%" height="100%" fill="${ground}"/>${this.out.join('')}</svg>`;
  }
  private alpha(of: string) {
    return this.globalAlpha === 1 ? '' : ` ${of}-opacity="${this.globalAlpha}"`;
  }
}

const round = (value: number) => Math.round(value * 100) / 100;
