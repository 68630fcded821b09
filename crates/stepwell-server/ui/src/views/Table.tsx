// The table of runs: only what is seen exists, however many runs there are; groups fold; columns sort, move and go.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { quoted, table } from '../api/client';
import type { CellValue, Profile, Selection } from '../api/client';
import { assign, ink } from '../draw/colors';
import { ago, count, duration, moment, number } from '../draw/numbers';
import { Button, Icon, Menu, Status } from '../parts/Controls';
import { Swatch } from '../parts/Panel';
import { link, useDark } from '../state';
import { isNumeric, nameOf, STATISTICS, titleOf, write } from './columns';
import type { Column } from './columns';
import { useRows } from './rows';
import type { Rows, RunRow } from './rows';
import { Spark } from './Spark';

const ROW = 33;
/** Browsers give up on elements that are higher than some 16 million pixels. */
const HEIGHT_MAX = 12_000_000;

export interface TableProps {
  selection: Selection;
  columns: Column[];
  profiles: Map<string, Profile>;
  setColumns: (columns: Column[]) => void;
  order: string[];
  setOrder: (order: string[]) => void;
  group: string;
  setGroup: (group: string) => void;
  selected: Set<string>;
  select: (ids: string[], on: boolean) => void;
  hidden: Set<string>;
  hide: (id: string) => void;
  pinned: string[];
  pin: (id: string) => void;
  experiments: Map<string, string>;
  paint: (id: string) => void;
  /** Called with what became of the question. */
  told: (rows: Rows) => void;
  /** How many runs charts show. */
  charted: number;
}

type Item = { kind: 'run'; row: RunRow } | { kind: 'wait' } | { kind: 'group'; value: string | null; runs: number; open: boolean };

interface Group {
  value: string | null;
  runs: number;
}

/** The most frequent groups, and how many there are beyond them. */
interface Groups {
  of: string;
  list: Group[];
  more: number;
}

export function Table(props: TableProps) {
  const { selection, columns, group } = props;
  const names = useMemo(() => columns.filter((column) => column.kind !== 'spark' && column.kind !== 'attribute').map((column) => nameOf(column)!), [columns]);
  const rows = useRows(selection, names);
  const grouped = useGroups(selection, group, rows.total);
  const groups = grouped?.list ?? null;
  const [open, fold] = useState<Set<string>>(new Set());
  useEffect(() => fold(new Set()), [group]);
  useEffect(() => props.told(rows), [rows, rows.total, rows.error, rows.known]);
  const total = groups ? groups.length : rows.total ?? 0;
  const scroller = useScroller(groups && open.size > 0 ? groups.length : total);
  const [from, to] = scroller.seen;
  useEffect(() => { if (!groups && total > 0) rows.ensure(from, to); }, [rows, from, to, groups === null, total]);
  const cellAt = useMemo(() => placesOf(columns), [columns]);
  // The runs that charts show have their colours here too; the others are grey.
  if (!groups) assign(Array.from({ length: Math.min(props.charted, total) }, (_, at) => rows.row(at)?.id).filter((id) => id !== undefined));

  const items: [number, Item][] = [];
  for (let at = from; at < to; at++) {
    if (groups) {
      const of = groups[at];
      if (of) items.push([at, { kind: 'group', value: of.value, runs: of.runs, open: open.has(of.value ?? '\0') }]);
    } else {
      const row = rows.row(at);
      items.push([at, row ? { kind: 'run', row } : { kind: 'wait' }]);
    }
  }
  const toggle = (value: string | null) => fold((before) => {
    const next = new Set(before);
    const key = value ?? '\0';
    if (!next.delete(key)) next.add(key);
    return next;
  });
  const shared = { ...props, cellAt };
  const width = columns.reduce((sum, column) => sum + widthOf(column), 300);
  return (
    <div class="table-wrap">
      <div class="table" ref={scroller.ref} onScroll={scroller.onScroll} tabIndex={0} role="region" aria-label="Runs" onKeyDown={scroller.onKey}>
        <div class="table-inner" role="table" aria-rowcount={total + 1} style={{ minWidth: `${width}px` }}>
          <Head {...shared} />
          {props.pinned.length > 0 && <Pinned {...shared} names={names} />}
          <div class="rows" role="rowgroup" style={{ height: `${scroller.height}px` }}>
            <div class="rows-window" style={{ transform: `translateY(${scroller.top}px)` }}>
              {items.map(([at, item]) => item.kind === 'group'
                ? <GroupRow key={`g${at}`} {...shared} group={group} item={item} names={names} toggle={() => toggle(item.value)} />
                : item.kind === 'run' ? <Row key={item.row.id} row={item.row} at={at} {...shared} /> : <div key={`w${at}`} class="row wait" role="row" />)}
            </div>
          </div>
        </div>
      </div>
      {grouped && grouped.more > 0 && <p class="warn">These are the {count(grouped.list.length)} largest groups; {count(grouped.more)} more are not listed. A filter shows them.</p>}
      {rows.leftOut > 0 && <p class="warn">{rows.leftOut} files cannot be read and are left out; `stepwell verify` says what it costs.</p>}
    </div>
  );
}

/** Where each column's cell is among those that the server gives. */
function placesOf(columns: Column[]): Map<Column, number> {
  const asked = columns.filter((column) => column.kind !== 'spark' && column.kind !== 'attribute');
  return new Map(asked.map((column, at) => [column, at]));
}

function useGroups(selection: Selection, group: string, total: number | null): Groups | null {
  const [groups, set] = useState<Groups | null>(null);
  const of = JSON.stringify([selection, group]);
  useEffect(() => {
    if (!group) return;
    const abort = new AbortController();
    table({ ...selection, order_by: [], max_results: 0, profiles: [group] }, abort.signal).then((answer) => {
      const profile = answer.profiles?.[0];
      const groups: Group[] = (profile?.texts ?? []).map(([value, runs]) => ({ value, runs }));
      const without = answer.total - (profile?.count ?? 0);
      if (without > 0) groups.push({ value: null, runs: without });
      set({ of, list: groups, more: Math.max(0, (profile?.distinct ?? 0) - (profile?.texts.length ?? 0)) });
    }, () => { /* The rows tell the error. */ });
    return () => abort.abort();
  }, [of, total]);
  return group ? groups : null;
}

/** Which rows are seen. With very many, the bar moves by shares of the whole, and the wheel by rows. */
function useScroller(total: number) {
  const ref = useRef<HTMLDivElement>(null);
  const [state, set] = useState({ offset: 0, rows: 40 });
  const height = Math.min(total * ROW, HEIGHT_MAX);
  const scaled = total * ROW > HEIGHT_MAX;
  const own = useRef(-1);
  const seenRows = () => Math.ceil((ref.current?.clientHeight ?? 800) / ROW);
  const limit = () => Math.max(0, total - (seenRows() - 2));
  const ofBar = (top: number) => {
    if (!scaled) return top / ROW;
    const room = height - (ref.current?.clientHeight ?? 0) + ROW;
    return Math.min(1, Math.max(0, top / Math.max(1, room))) * limit();
  };
  const onScroll = () => {
    const top = ref.current?.scrollTop ?? 0;
    if (Math.abs(top - own.current) < 1) return;
    own.current = -1;
    set({ offset: ofBar(top), rows: seenRows() });
  };
  const moveTo = (offset: number) => {
    const next = Math.min(limit(), Math.max(0, offset));
    const room = height - (ref.current?.clientHeight ?? 0) + ROW;
    const top = scaled ? (next / Math.max(1, limit())) * room : next * ROW;
    if (ref.current) {
      ref.current.scrollTop = top;
      own.current = ref.current.scrollTop;
    }
    set({ offset: next, rows: seenRows() });
  };
  useLayoutEffect(() => {
    set((before) => ({ ...before, rows: seenRows() }));
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => set((before) => ({ ...before, rows: seenRows() })));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const element = ref.current;
    if (!element || !scaled) return;
    const wheel = (event: WheelEvent) => {
      if (event.deltaY === 0 || event.ctrlKey) return;
      event.preventDefault();
      moveTo(state.offset + (event.deltaMode === 1 ? event.deltaY : event.deltaY / ROW));
    };
    element.addEventListener('wheel', wheel, { passive: false });
    return () => element.removeEventListener('wheel', wheel);
  });
  const onKey = (event: KeyboardEvent) => {
    if (event.target !== ref.current) return;
    const page = state.rows - 3;
    const to: Record<string, number> = {
      ArrowDown: state.offset + 1, ArrowUp: state.offset - 1, PageDown: state.offset + page, PageUp: state.offset - page,
      Home: 0, End: total,
    };
    const next = to[event.key];
    if (next === undefined) return;
    event.preventDefault();
    moveTo(next);
  };
  const offset = Math.min(state.offset, limit());
  const from = Math.max(0, Math.floor(offset) - 6);
  const to = Math.min(total, Math.floor(offset) + state.rows + 8);
  // What is drawn stands so that row `offset` is at the upper edge.
  const top = scaled ? Math.max(0, (ref.current?.scrollTop ?? 0) - (offset - from) * ROW) : from * ROW;
  return { ref, onScroll, onKey, height: Math.max(height, ROW), top, seen: [from, to] as const };
}

type Shared = TableProps & { cellAt: Map<Column, number> };

export function widthOf(column: Column): number {
  if (column.kind === 'spark') return 124;
  if (column.kind === 'attribute') return column.key === 'experiment' || column.key === 'user' ? 130 : 104;
  return 128;
}

function Head(props: Shared) {
  const { columns, order } = props;
  const dragged = useRef<number | null>(null);
  const drop = (to: number) => {
    const from = dragged.current;
    if (from === null || from === to) return;
    const next = [...columns];
    next.splice(to, 0, ...next.splice(from, 1));
    props.setColumns(next);
  };
  return (
    <div class="row head" role="row">
      <div class="cell name" role="columnheader" aria-sort={sortOf(order, 'run_name')}>
        <HeadTitle {...props} title="Run" name="run_name" />
      </div>
      {columns.map((column, at) => {
        const name = nameOf(column);
        return (
          <div key={write(column)} class={`cell ${isNumeric(column, props.profiles.get(write(column))) ? 'right' : ''}`} role="columnheader"
            style={{ width: `${widthOf(column)}px` }} aria-sort={name ? sortOf(order, name) : undefined} draggable
            onDragStart={() => { dragged.current = at; }} onDragOver={(event) => event.preventDefault()} onDrop={() => drop(at)}>
            <HeadTitle {...props} title={titleOf(column)} name={name} column={column} />
          </div>
        );
      })}
    </div>
  );
}

function sortOf(order: string[], name: string): 'ascending' | 'descending' | 'none' {
  if (order[0] === name) return 'ascending';
  return order[0] === `${name} DESC` ? 'descending' : 'none';
}

function HeadTitle(props: Shared & { title: string; name: string | null; column?: Column }) {
  const { title, name, column, order, columns, setColumns, setOrder } = props;
  const state = name ? sortOf(order, name) : 'none';
  const turn = () => {
    if (!name) return;
    const numeric = column?.kind === 'metrics';
    const first = numeric || name === 'start_time' ? `${name} DESC` : name;
    const second = first === name ? `${name} DESC` : name;
    setOrder(order[0] === first ? [second] : order[0] === second ? [] : [first]);
  };
  const at = column ? columns.indexOf(column) : -1;
  const replace = (next: Column[]) => setColumns(next);
  const statistic = column?.kind === 'metrics' && column.statistic !== 'last' ? column.statistic : '';
  return (
    <>
      <button type="button" class="head-title" title={`${title}${statistic ? ` (${statistic})` : ''}${name ? ': sort' : ''}`} onClick={turn} disabled={!name}>
        <span>{title}</span>
        {statistic && <small>{statistic}</small>}
        {state !== 'none' && <Icon name={state === 'ascending' ? 'up' : 'down'} size={12} />}
      </button>
      {column && (
        <Menu label={`Column ${title}`} icon="more" text={false} align="right">
          {(close) => {
            const act = (what: () => void) => () => { what(); close(); };
            return (
              <>
                {name && <button type="button" onClick={act(() => setOrder([name]))}>Sort ascending</button>}
                {name && <button type="button" onClick={act(() => setOrder([`${name} DESC`]))}>Sort descending</button>}
                {column.kind === 'metrics' && (
                  <fieldset><legend>Statistic</legend>{STATISTICS.map((statistic) => (
                    <button key={statistic} type="button" aria-pressed={statistic === column.statistic}
                      onClick={act(() => replace(columns.map((other) => other === column ? { ...column, statistic } : other)))}>{statistic}</button>
                  ))}</fieldset>
                )}
                {column.kind === 'metrics' && (
                  <button type="button" onClick={act(() => replace([...columns.slice(0, at), { kind: 'spark', key: column.key, statistic: '' }, ...columns.slice(at)]))}>Add sparkline</button>
                )}
                {(column.kind === 'params' || column.kind === 'tags') && <button type="button" onClick={act(() => props.setGroup(name!))}>Group by this</button>}
                {at > 0 && <button type="button" onClick={act(() => { const next = [...columns]; next.splice(at - 1, 0, ...next.splice(at, 1)); replace(next); })}>Move left</button>}
                {at < columns.length - 1 && <button type="button" onClick={act(() => { const next = [...columns]; next.splice(at + 1, 0, ...next.splice(at, 1)); replace(next); })}>Move right</button>}
                <button type="button" onClick={act(() => replace(columns.filter((other) => other !== column)))}>Take out</button>
              </>
            );
          }}
        </Menu>
      )}
    </>
  );
}

function Row(props: Shared & { row: RunRow; at: number; pinnedRow?: boolean }) {
  const { row, columns, cellAt, selected, hidden, experiments } = props;
  const dark = useDark();
  const own = ink(row.id, dark);
  const picked = selected.has(row.id);
  const isHidden = hidden.has(row.id);
  const isPinned = props.pinned.includes(row.id);
  return (
    <div class={`row ${picked ? 'picked' : ''} ${isHidden ? 'dim' : ''} ${props.pinnedRow ? 'pinned' : ''}`} role="row" aria-rowindex={props.at + 2}>
      <div class="cell name" role="rowheader">
        <input type="checkbox" checked={picked} aria-label={`Select ${row.name}`} onChange={(event) => props.select([row.id], event.currentTarget.checked)} />
        <button type="button" class={`ink ${props.group || props.at < props.charted || props.pinnedRow ? '' : 'off'}`} title="Colour" aria-label={`Colour of ${row.name}`} onClick={() => props.paint(row.id)}>
          {props.group || props.at < props.charted || props.pinnedRow ? <Swatch color={own.color} dash={own.dash} /> : <Swatch color="currentColor" dash={[]} />}
        </button>
        <a href={link(['experiments', row.experiment, 'runs', row.id])} title={`${row.name}\n${row.id}`}>{row.name}</a>
        <span class="row-acts">
          <Button icon={isHidden ? 'hidden' : 'eye'} label={isHidden ? `Show ${row.name} in charts` : `Hide ${row.name} in charts`} pressed={isHidden} onClick={() => props.hide(row.id)} />
          <Button icon="pin" label={isPinned ? `Unpin ${row.name}` : `Pin ${row.name}`} pressed={isPinned} onClick={() => props.pin(row.id)} />
        </span>
      </div>
      {columns.map((column) => {
        const place = cellAt.get(column);
        const value = place === undefined ? null : row.cells[place] ?? null;
        return (
          <div key={write(column)} role="cell" style={{ width: `${widthOf(column)}px` }}
            class={`cell ${isNumeric(column, props.profiles.get(write(column))) ? 'right' : ''}`}>
            {column.kind === 'attribute' ? attribute(column.key, row, experiments)
              : column.kind === 'spark' ? <Spark run={row.id} metric={column.key} stamp={row.status === 'RUNNING' ? String(Math.floor(Date.now() / 15000)) : ''} />
              : <Cell value={value} column={column} profile={props.profiles.get(write(column))} />}
          </div>
        );
      })}
    </div>
  );
}

function attribute(key: string, row: RunRow, experiments: Map<string, string>) {
  if (key === 'status') return <Status of={row.status} />;
  if (key === 'start') return <span title={moment(row.start)}>{ago(row.start)}</span>;
  if (key === 'duration') {
    const end = row.end ?? (row.status === 'RUNNING' ? Date.now() : null);
    return <span>{row.start !== null && end !== null ? duration(end - row.start) : ''}</span>;
  }
  if (key === 'experiment') return <a class="plain-link" href={link(['experiments', row.experiment])}>{experiments.get(row.experiment) ?? row.experiment}</a>;
  return <span title={row.user}>{row.user}</span>;
}

/** A value, behind it where it stands between the least and the greatest of its column. */
function Cell({ value, column, profile }: { value: CellValue; column: Column; profile: Profile | undefined }) {
  if (value === null) return <span class="absent" aria-label="none">·</span>;
  const numeric = typeof value === 'number' || (column.kind === 'metrics') || (profile?.range != null && value !== '' && Number.isFinite(Number(value)));
  if (!numeric) return <span title={String(value)}>{String(value)}</span>;
  const [lo, hi] = profile?.range?.map(Number) ?? [0, 0];
  const at = Number(value);
  const share = Number.isFinite(at) && Number.isFinite(lo!) && Number.isFinite(hi!) && hi! > lo! ? (at - lo!) / (hi! - lo!) : null;
  const text = column.kind === 'metrics' ? number(value) : String(value);
  return (
    <span class="number ranged" title={String(value)}>
      {share !== null && <i style={{ width: `${Math.round(share * 100)}%` }} aria-hidden="true" />}
      <b>{text}</b>
    </span>
  );
}

function Pinned(props: Shared & { names: string[] }) {
  const filter = `run_id IN (${props.pinned.map(quoted).join(', ')})`;
  const selection = useMemo(() => ({ ...props.selection, filter, view: 'all' }), [filter, props.selection.experiment_ids.join()]);
  const rows = useRows(selection, props.names);
  const all = Array.from({ length: Math.min(rows.total ?? 0, 50) }, (_, at) => rows.row(at));
  return <div class="pins" role="rowgroup">{all.map((row, at) => row && <Row key={row.id} {...props} row={row} at={at} pinnedRow />)}</div>;
}

function GroupRow(props: Shared & { item: Item & { kind: 'group' }; group: string; names: string[]; toggle: () => void }) {
  const { item, group } = props;
  const shown = group.replace(/^(params|tags)\.[`"](.*)[`"]$/s, '$2');
  return (
    <>
      <div class="row group" role="row">
        <button type="button" class="cell group-title" aria-expanded={item.open} onClick={props.toggle}>
          <Icon name={item.open ? 'down' : 'right'} size={12} />
          <span class="faint">{shown}</span> <strong>{item.value ?? 'none'}</strong> <span class="faint">{count(item.runs)}</span>
        </button>
      </div>
      {item.open && <Members {...props} value={item.value} runs={item.runs} />}
    </>
  );
}

/** The first runs of a group. */
function Members(props: Shared & { group: string; value: string | null; runs: number; names: string[] }) {
  const [most, more] = useState(50);
  const own = props.value === null ? `${props.group} IS NULL` : `${props.group} = ${quoted(props.value)}`;
  const filter = props.selection.filter ? `(${props.selection.filter}) AND ${own}` : own;
  const selection = useMemo(() => ({ ...props.selection, filter }), [props.selection, filter]);
  const rows = useRows(selection, props.names);
  const shown = Math.min(most, props.runs);
  useEffect(() => rows.ensure(0, shown), [rows, shown]);
  return (
    <>
      {Array.from({ length: shown }, (_, at) => rows.row(at)).map((row, at) => row ? <Row key={row.id} {...props} row={row} at={at} /> : <div key={at} class="row wait" role="row" />)}
      {props.runs > shown && <div class="row more"><Button label={`Show more of ${count(props.runs)}`} text onClick={() => more(most + 200)} /></div>}
    </>
  );
}

