// Numbers, times and durations as people read them, and ticks of axes.

/** A number in few characters, with as many digits as tell it from others. */
export function number(value: number | string | null | undefined, digits = 5): string {
  if (value === null || value === undefined) return '';
  const v = typeof value === 'string' ? Number(value) : value;
  if (Number.isNaN(v)) return 'NaN';
  if (!Number.isFinite(v)) return v > 0 ? '∞' : '−∞';
  if (Number.isInteger(v) && Math.abs(v) < 1e7) return v.toLocaleString('en', { useGrouping: Math.abs(v) >= 1e4 });
  const size = Math.abs(v);
  const text = size !== 0 && (size < 1e-4 || size >= 1e7) ? v.toExponential(digits - 2) : v.toPrecision(digits);
  const [mantissa, exponent] = text.split('e');
  const short = mantissa!.includes('.') ? mantissa!.replace(/\.?0+$/, '') : mantissa!;
  return exponent ? `${short}e${exponent.replace('+', '')}` : short;
}

/** A count, with thousands apart. */
export const count = (value: number) => value.toLocaleString('en');

const SI: [number, string][] = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];

/** The decimals that steps of this size need. */
function places(step: number): number {
  for (let count = 0; count < 8; count++) {
    const whole = step * 10 ** count;
    if (Math.abs(whole - Math.round(whole)) < 1e-6 * Math.max(1, whole) && whole > 0.5) return count;
  }
  return 8;
}

/** A tick's label, where ticks are `step` apart. */
export function tick(value: number, step: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  for (const [unit, letter] of SI) {
    if (size >= unit * (unit === 1e3 ? 10 : 1)) {
      return `${(value / unit).toFixed(places(step / unit))}${letter}`;
    }
  }
  if (size < 1e-3) return number(value, 3);
  return value.toFixed(places(step));
}

/** Round numbers within a range, about `wanted` of them. */
export function ticks(lo: number, hi: number, wanted: number): { at: number[]; step: number } {
  const rough = (hi - lo) / Math.max(1, wanted);
  if (!(rough > 0) || !Number.isFinite(rough)) return { at: [lo], step: 1 };
  const power = 10 ** Math.floor(Math.log10(rough));
  const factors = power >= 10 ? [1, 2, 2.5, 5, 10] : [1, 2, 5, 10];
  const step = power * (factors.find((factor) => factor * power >= rough) ?? 10);
  const at: number[] = [];
  for (let k = Math.ceil(lo / step); k * step <= hi && at.length < 100; k++) at.push(k * step);
  return { at, step };
}

/** Powers of ten within a range, and between them where there are few. */
export function logTicks(lo: number, hi: number): number[] {
  const [from, to] = [Math.floor(Math.log10(lo)), Math.ceil(Math.log10(hi))];
  const factors = to - from <= 2 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((to - from) / 8));
  const at: number[] = [];
  for (let power = from; power <= to; power += every) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= lo && value <= hi) at.push(value);
    }
  }
  return at;
}

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [
  1, 5, 10, 50, 100, 500, SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 91 * DAY, 365 * DAY,
];

/** Times within a range of milliseconds. */
export function timeTicks(lo: number, hi: number, wanted: number): { at: number[]; step: number } {
  const rough = (hi - lo) / Math.max(1, wanted);
  const step = STEPS.find((step) => step >= rough) ?? 365 * DAY * Math.ceil(rough / (365 * DAY));
  const zone = new Date(lo).getTimezoneOffset() * MINUTE;
  const at: number[] = [];
  for (let k = Math.ceil((lo - zone) / step); k * step + zone <= hi && at.length < 50; k++) at.push(k * step + zone);
  return { at, step };
}

export function timeTick(ms: number, step: number): string {
  const date = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  if (step >= DAY) return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (step >= MINUTE) return clock;
  if (step >= SECOND) return `${clock}:${two(date.getSeconds())}`;
  return `${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** A length of time in its two largest units. */
export function duration(ms: number | null): string {
  if (ms === null || Number.isNaN(ms)) return '';
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.round(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} m ${Math.floor((ms % MINUTE) / SECOND)} s`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ${Math.floor((ms % HOUR) / MINUTE)} m`;
  return `${Math.floor(ms / DAY)} d ${Math.floor((ms % DAY) / HOUR)} h`;
}

/** How long ago a time is. */
export function ago(ms: number | null, now = Date.now()): string {
  if (ms === null) return '';
  const past = now - ms;
  if (past < 0) return moment(ms);
  if (past < MINUTE) return 'just now';
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min ago`;
  if (past < DAY) return `${Math.floor(past / HOUR)} h ago`;
  if (past < 30 * DAY) return `${Math.floor(past / DAY)} d ago`;
  return moment(ms).slice(0, 10);
}

/** A time as a date and a clock, in the zone of who looks. */
export function moment(ms: number | null): string {
  if (ms === null) return '';
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return String(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${
    two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function bytes(size: number): string {
  for (const [unit, name] of [[1 << 30, 'GiB'], [1 << 20, 'MiB'], [1 << 10, 'KiB']] as [number, string][]) {
    if (size >= unit) return `${(size / unit).toFixed(size / unit < 10 ? 1 : 0)} ${name}`;
  }
  return `${size} B`;
}
