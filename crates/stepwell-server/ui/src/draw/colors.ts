// Colours of runs: eight hues that colour-blind people tell apart, then the same with dashes; a run keeps its own.

const LIGHT = ['#0072b2', '#d55e00', '#009e73', '#c0569b', '#b98100', '#3b9bd9', '#6a4fb3', '#8c564b'];
const DARK = ['#58a6e8', '#ff8f4a', '#35cf9f', '#ee9ac8', '#f0bd3d', '#8fd3ff', '#b39cf0', '#cfa592'];
const DASHES: number[][] = [[], [7, 3], [2, 2.5]];

export interface Ink {
  color: string;
  dash: number[];
}

const SLOTS = LIGHT.length * DASHES.length;
const slots = new Map<string, number>();
const chosen = new Map<string, number>(read());

function read(): [string, number][] {
  try {
    return JSON.parse(localStorage.getItem('stepwell.colors') ?? '[]');
  } catch {
    return [];
  }
}

function hash(text: string): number {
  let value = 2166136261;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  return (value ^ (value >>> 15)) >>> 0;
}

/** Gives runs that are shown together distinct colours as far as there are any; who has one keeps it. */
export function assign(ids: string[]): void {
  const taken = new Set(ids.map((id) => slots.get(id)).filter((slot) => slot !== undefined));
  for (const id of ids) {
    if (slots.has(id)) continue;
    let slot = hash(id) % LIGHT.length;
    // Plain hues first, then dashed ones.
    for (let tried = 0; tried < SLOTS && taken.has(slot); tried++) {
      slot = tried % LIGHT.length === LIGHT.length - 1 ? (slot + LIGHT.length + 1) % SLOTS
        : Math.floor(slot / LIGHT.length) * LIGHT.length + ((slot + 1) % LIGHT.length);
    }
    slots.set(id, slot);
    taken.add(slot);
  }
}

export function ink(id: string, dark: boolean): Ink {
  const slot = chosen.get(id) ?? slots.get(id) ?? hash(id) % LIGHT.length;
  return { color: (dark ? DARK : LIGHT)[slot % LIGHT.length]!, dash: DASHES[Math.floor(slot / LIGHT.length) % 3]! };
}

/** The inks that a run can be given. */
export function inks(dark: boolean): Ink[] {
  return Array.from({ length: SLOTS }, (_, slot) => ({
    color: (dark ? DARK : LIGHT)[slot % LIGHT.length]!,
    dash: DASHES[Math.floor(slot / LIGHT.length)]!,
  }));
}

export function choose(id: string, slot: number): void {
  chosen.set(id, slot);
  try {
    localStorage.setItem('stepwell.colors', JSON.stringify([...chosen].slice(-500)));
  } catch { /* Then it holds until the page is closed. */ }
}
