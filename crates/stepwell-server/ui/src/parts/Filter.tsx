// The filter box: completes keys, operators and values, and explains mistakes at their place.
import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import { table } from '../api/client';
import type { Keys } from '../api/client';
import { count } from '../draw/numbers';
import { Icon } from './Controls';

const ATTRIBUTES = ['status', 'run_name', 'start_time', 'end_time', 'user_id', 'run_id', 'dataset.name'];
const STATISTICS = ['min', 'max', 'mean', 'first', 'count', 'step', 'nan_count', 'argmin_step', 'argmax_step'];
const NUMBERS = ['<', '<=', '>', '>=', '=', '!=', 'BETWEEN', 'IS NULL', 'IS NAN'];
const TEXTS = ['=', '!=', 'LIKE', 'ILIKE', '=~', '!~', 'IN', 'IS NULL'];
const STATUSES = ['RUNNING', 'FINISHED', 'FAILED', 'KILLED', 'SCHEDULED'];

/** Whether a text is one of the filter language; other text is looked for in names. */
export function isFilter(text: string): boolean {
  return /[<>=!~()`]|\b(like|ilike|in|is|between|rlike|not)\b/i.test(text) || /^(metrics?|params?|tags?|attributes?)\./i.test(text.trim());
}

/** What the server is asked for. */
export function filterOf(text: string): string {
  const plain = text.trim();
  if (plain === '' || isFilter(plain)) return plain;
  const like = plain.replace(/'/g, '_').replace(/[%\\]/g, '_');
  // What may be the beginning of an id is looked for there too.
  const id = /^[0-9a-f]{4,32}$/.test(plain) ? ` OR run_id LIKE '${plain}%'` : '';
  return `run_name ILIKE '%${like}%'${id}`;
}

interface Offer {
  text: string;
  hint?: string;
}

interface Context {
  /** Where what is being typed begins. */
  start: number;
  word: string;
  name: string | null;
  operator: string | null;
}

/** What stands before the caret: a name being typed, an operator, or a value. */
function contextOf(text: string, caret: number): Context {
  const before = text.slice(0, caret);
  const joint = /^(?:.*\b(?:and|or|not)\b|.*\()?\s*/is.exec(unquoted(before));
  const clause = before.slice(joint?.[0].length ?? 0);
  const from = caret - clause.length;
  const name = /^((?:metrics|params|tags|attributes?)\.)?(`[^`]*`|"[^"]*"|[\w.]+)(\.\w+)?/i.exec(clause);
  if (!name || !/^\s/.test(clause.slice(name[0].length))) return { start: from, word: clause, name: null, operator: null };
  const rest = clause.slice(name[0].length);
  const operator = /^\s+(<=|>=|!=|=~|!~|<|>|=|not\s+like|not\s+ilike|like|ilike|in\s*\(?|is\s+\w+|between)(\s+|(?=['"\d]))/i.exec(rest);
  if (!operator) return { start: from + name[0].length + (/^\s+/.exec(rest)?.[0].length ?? 0), word: rest.trimStart(), name: name[0], operator: null };
  const value = rest.slice(operator[0].length);
  return { start: from + clause.length - value.length, word: value, name: name[0], operator: operator[1]!.toUpperCase() };
}

/** The text with what is in quotes blanked, so that words within are not taken for keywords. */
const unquoted = (text: string) => text.replace(/'[^']*'|"[^"]*"|`[^`]*`/g, (part) => '_'.repeat(part.length));

function quoteKey(key: string): string {
  return /^[A-Za-z_]\w*$/.test(key) ? key : key.includes('`') ? `"${key}"` : `\`${key}\``;
}

function namesOf(keys: Keys | null): Offer[] {
  const all: Offer[] = ATTRIBUTES.map((text) => ({ text }));
  for (const kind of ['metrics', 'params', 'tags'] as const) {
    for (const key of keys?.[kind].keys ?? []) {
      if (kind !== 'tags' || !key.startsWith('mlflow.')) all.push({ text: `${kind}.${quoteKey(key)}` });
    }
  }
  for (const key of keys?.metrics.keys.slice(0, 200) ?? []) {
    for (const statistic of STATISTICS) all.push({ text: `metrics.${quoteKey(key)}.${statistic}` });
  }
  return all;
}

/** How well an offer suits what was typed; the lower the better, `null` for not at all. */
function fit(offer: string, word: string): number | null {
  if (word === '') return 0;
  const [text, typed] = [offer.toLowerCase(), word.toLowerCase().replace(/[`"']/g, '')];
  const at = text.replace(/[`"']/g, '').indexOf(typed);
  if (at < 0) return null;
  return at === 0 ? 0 : /[./_`]/.test(text[at - 1] ?? '') || at === text.indexOf('.') + 1 ? 1 : 2;
}

export function Filter({ value, onChange, keys, scope, error, total }: {
  value: string;
  onChange: (value: string) => void;
  keys: Keys | null;
  scope: { experiment_ids: string[]; view: string };
  error: Error | null;
  total: number | null;
}) {
  const [text, type] = useState(value);
  const [caret, moveTo] = useState(0);
  const [open, show] = useState(false);
  const [chosen, choose] = useState(0);
  const [values, found] = useState<{ name: string; offers: Offer[] }>({ name: '', offers: [] });
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => { if (document.activeElement !== input.current) type(value); }, [value]);
  useEffect(() => {
    const timer = setTimeout(() => { if (text !== value) onChange(text); }, 120);
    return () => clearTimeout(timer);
  }, [text]);
  const context = useMemo(() => contextOf(text, caret), [text, caret]);
  const names = useMemo(() => namesOf(keys), [keys]);
  // Values that runs have, the most frequent first.
  useEffect(() => {
    const name = context.operator ? context.name : null;
    if (!name || !open || /^metrics?\./i.test(name) || name === values.name) return;
    if (name === 'status') {
      found({ name, offers: STATUSES.map((status) => ({ text: `'${status}'` })) });
      return;
    }
    const abort = new AbortController();
    table({ ...scope, max_results: 0, profiles: [name] }, abort.signal).then((answer) => {
      const texts = answer.profiles?.[0]?.texts ?? [];
      found({ name, offers: texts.map(([text, runs]) => ({ text: text.includes("'") ? `"${text}"` : `'${text}'`, hint: count(runs) })) });
    }, () => found({ name, offers: [] }));
    return () => abort.abort();
  }, [context.name, context.operator, open]);

  const offers = useMemo(() => {
    if (!open) return [];
    let all: Offer[];
    if (context.name === null) all = context.word === '' && text !== '' ? names.slice(0, 40) : names;
    else if (context.operator === null) all = (/^metrics?\./i.test(context.name) || /_time$/.test(context.name) ? NUMBERS : TEXTS).map((text) => ({ text }));
    else all = values.name === context.name ? values.offers : [];
    const fitting = all.flatMap((offer) => {
      const rank = fit(offer.text, context.word);
      return rank === null || offer.text === context.word ? [] : [{ offer, rank }];
    });
    return fitting.sort((a, b) => a.rank - b.rank).slice(0, 12).map(({ offer }) => offer);
  }, [open, context, names, values]);
  useEffect(() => choose(-1), [offers.map((offer) => offer.text).join('\n')]);

  const take = (offer: Offer) => {
    const next = `${text.slice(0, context.start)}${offer.text} ${text.slice(caret).trimStart()}`;
    const at = context.start + offer.text.length + 1;
    type(next);
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(at, at);
      moveTo(at);
    });
  };
  const keysOf = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      show(true);
      const by = event.key === 'ArrowDown' ? 1 : -1;
      choose((at) => offers.length === 0 ? -1 : (at + by + offers.length + (at < 0 && by < 0 ? 1 : 0)) % offers.length);
    } else if ((event.key === 'Enter' || event.key === 'Tab') && open && chosen >= 0 && offers[chosen]) {
      event.preventDefault();
      take(offers[chosen]!);
    } else if (event.key === 'Enter') {
      show(false);
      onChange(text);
    } else if (event.key === 'Escape') {
      if (open) show(false); else input.current?.blur();
    }
  };
  const follow = () => moveTo(input.current?.selectionStart ?? text.length);
  const mistake = error && text.trim() !== '' ? mistakeOf(error, text) : null;
  const searching = text.trim() !== '' && !isFilter(text);
  return (
    <div class="filter" onFocusOut={(event) => { if (!event.currentTarget.contains(event.relatedTarget as Node)) show(false); }}>
      <div class={`filter-box ${mistake ? 'wrong' : ''}`}>
        <Icon name="search" />
        <input ref={input} class="filter-input" value={text} spellcheck={false} autocomplete="off" autocapitalize="off"
          placeholder="Name, or a filter: metrics.loss.min < 0.1 AND params.lr = '0.01'" role="combobox"
          aria-label="Filter runs" aria-expanded={open && offers.length > 0} aria-controls={`${id}-list`}
          aria-invalid={mistake !== null} aria-describedby={mistake ? `${id}-error` : undefined}
          aria-activedescendant={chosen >= 0 ? `${id}-${chosen}` : undefined}
          onInput={(event) => { type(event.currentTarget.value); follow(); show(true); }}
          onKeyUp={follow} onClick={() => { follow(); show(true); }} onFocus={() => { follow(); show(true); }} onKeyDown={keysOf} />
        {text !== '' && (
          <button type="button" class="button plain only" aria-label="Clear the filter" onClick={() => { type(''); onChange(''); input.current?.focus(); }}>
            <Icon name="close" size={13} />
          </button>
        )}
        {total !== null && !mistake && <span class="filter-total">{count(total)}</span>}
      </div>
      {open && offers.length > 0 && (
        <ul class="offers" id={`${id}-list`} role="listbox" aria-label="Completions">
          {offers.map((offer, at) => (
            <li key={offer.text} id={`${id}-${at}`} role="option" aria-selected={at === chosen} class={at === chosen ? 'chosen' : ''}
              onPointerDown={(event) => { event.preventDefault(); take(offer); }}>
              <span>{offer.text}</span>{offer.hint && <span class="faint">{offer.hint}</span>}
            </li>
          ))}
        </ul>
      )}
      {mistake && (
        <div class="mistake" id={`${id}-error`} role="alert">
          {mistake.at !== null && (
            <code aria-hidden="true">{text.slice(Math.max(0, mistake.at - 24), mistake.at)}<mark>{text.slice(mistake.at, mistake.at + 12) || '␣'}</mark></code>
          )}
          <span>{mistake.words}</span>
        </div>
      )}
      {searching && !mistake && open && offers.length === 0 && <div class="filter-hint">Looking for names that contain “{text.trim()}”.</div>}
    </div>
  );
}

/** Where a filter is wrong, and why. The server counts columns from 1. */
function mistakeOf(error: Error, text: string): { at: number | null; words: string } {
  const place = /at column (\d+): (.*)/s.exec(error.message);
  if (!place || !isFilter(text)) return { at: null, words: error.message };
  const lead = text.length - text.trimStart().length;
  return { at: Number(place[1]) - 1 + lead, words: `Column ${place[1]}: ${place[2]}` };
}
