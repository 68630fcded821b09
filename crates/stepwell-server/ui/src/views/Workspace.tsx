// Runs of one, some or all experiments: the filter above, below it the table or the charts of what it finds.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { mlflow, named, table } from '../api/client';
import type { Experiment, Keys, Profile, Selection } from '../api/client';
import { follow } from '../api/live';
import { assign, choose, inks, ink } from '../draw/colors';
import { count } from '../draw/numbers';
import { copy, useLoaded } from '../hooks';
import { Button, Command, Dialog, Empty, Icon, Menu, Trouble } from '../parts/Controls';
import { Filter, filterOf } from '../parts/Filter';
import { Swatch } from '../parts/Panel';
import { change, go, joined, link, list, setScope, useDark, usePlace } from '../state';
import { Charts } from './Charts';
import { attributes, byWeight, parse, titleOf, usual, write, nameOf } from './columns';
import type { Column } from './columns';
import { useRows } from './rows';
import type { Rows } from './rows';
import { Table } from './Table';

const SHOWN = 20;

export function Workspace({ experiments, ids }: { experiments: Experiment[]; ids: string[] }) {
  const { view } = usePlace();
  const typed = view.get('q') ?? '';
  const [error, fail] = useState<Error | null>(null);
  const [total, setTotal] = useState<number | null>(null);
  const tab = view.get('tab') === 'charts' ? 'charts' : 'table';
  const state = view.get('view') ?? 'active';
  const group = view.get('group') ?? '';
  const order = list(view.get('sort'));
  const [selected, setSelected] = useState<Set<string>>(new Set(list(view.get('sel'))));
  const [colouring, colour] = useState<string | null>(null);
  const [, turn] = useState(0);
  const filter = filterOf(typed);
  // The last filter without a mistake, by which keys and ranges are asked for once its rows are there.
  const [good, setGood] = useState('');
  const idsName = ids.join();
  setScope(ids);
  const scope = useMemo(() => ({ experiment_ids: ids, view: state }), [idsName, state]);

  const selection: Selection = useMemo(() => ({ ...scope, filter, order_by: order }), [scope, filter, joined(order)]);
  // A filter with a mistake changes nothing but the line that explains it.
  const told = (rows: Rows) => {
    setTotal(rows.total);
    fail(rows.error);
    if (rows.known && !rows.error) setGood(rows.selection.filter);
  };

  // Keys of all runs, whatever is filtered now: completions and columns are of what there is.
  const meta = useLoaded((signal) => table({ ...scope, max_results: 0, keys: true }, signal), [scope]);
  const keys: Keys | null = meta.value?.keys ?? null;
  // New metrics and params are looked for when something new is told.
  useEffect(() => {
    const known = new Set(keys?.metrics.keys);
    let timer: ReturnType<typeof setTimeout> | null = null;
    const stop = follow((news) => {
      const fresh = news === 'reset' || news.runs.some((run) => run.event || run.metadata || run.keys.some((key) => !known.has(key)));
      if (fresh) timer ??= setTimeout(() => { timer = null; meta.again(); }, 2500);
    });
    return () => { stop(); if (timer) clearTimeout(timer); };
  }, [keys]);
  const given = view.get('cols');
  const telling = useLoaded((signal) => given === null && keys ? tellingKeys(keys, scope, signal) : Promise.resolve(null), [keys, scope, given === null]);
  const columns = useMemo(
    () => given === null ? usual(telling.value, ids.length !== 1 && experiments.filter((one) => one.runs > 0).length > 1) : list(given).map(parse).filter((column) => column !== null),
    [given, telling.value, ids.length, experiments.length],
  );
  const profiles = useProfiles({ ...selection, filter: good }, columns);
  const hidden = useMemo(() => new Set(list(view.get('hide'))), [view.get('hide')]);
  const pinned = list(view.get('pin'));
  const names = new Map(experiments.map((experiment) => [experiment.experiment_id, experiment.name]));
  const setSel = (next: Set<string>) => {
    setSelected(next);
    change({ sel: joined([...next].slice(0, 100)) });
  };
  const select = (which: string[], on: boolean) => {
    const next = new Set(selected);
    which.forEach((id) => (on ? next.add(id) : next.delete(id)));
    setSel(next);
  };
  const hide = (id: string) => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    change({ hide: joined([...next]) });
  };
  const pin = (id: string) => change({ pin: joined(pinned.includes(id) ? pinned.filter((other) => other !== id) : [...pinned, id]) });
  const groups = useMemo(() => [
    ...(keys?.params.keys ?? []).map((key) => named('params', key)),
    ...(keys?.tags.keys ?? []).filter((key) => !key.startsWith('mlflow.') || key === 'mlflow.user').map((key) => named('tags', key)),
    'status', 'user_id',
  ].slice(0, 500), [keys]);
  const empty = total === 0 && typed === '' && state === 'active';
  return (
    <div class="workspace">
      <div class="bar">
        <div class="tabs" role="tablist">
          {(['table', 'charts'] as const).map((each) => (
            <a key={each} role="tab" aria-selected={tab === each} href={link(['experiments', ids.join(',') || 'all'], withTab(view, each))}>
              {each === 'table' ? 'Table' : 'Charts'}
            </a>
          ))}
        </div>
        <Filter value={typed} onChange={(q) => change({ q })} keys={keys} scope={scope} error={error} total={total} />
        {tab === 'table' && <ColumnMenu columns={columns} keys={keys} />}
        {tab === 'table' && <GroupMenu group={group} groups={groups} />}
        <Views ids={ids} experiments={experiments} />
        <Menu label="More" icon="more" text={false} align="right">
          {(close) => (
            <>
              {[['active', 'Runs that are not deleted'], ['deleted', 'Deleted runs'], ['all', 'All runs']].map(([value, label]) => (
                <button key={value} type="button" aria-pressed={state === value} onClick={() => { change({ view: value === 'active' ? null : value! }); close(); }}>{label}</button>
              ))}
              <button type="button" onClick={() => { void copy(location.href); close(); }}>Copy a link to this view</button>
              <button type="button" onClick={() => { go(['experiments', ids.join(',') || 'all'], { tab }); setSelected(new Set()); close(); }}>Begin a new view</button>
            </>
          )}
        </Menu>
      </div>
      {selected.size > 0 && <Selected selected={selected} clear={() => setSel(new Set())} deleted={state === 'deleted'} done={() => { setSel(new Set()); meta.again(); }} tab={tab} />}
      {error && typed.trim() === '' && <Trouble error={error} again={meta.again} />}
      {empty ? <NoRuns one={ids.length === 1 ? names.get(ids[0]!) : undefined} />
        : tab === 'table' ? (
          <>
            {total === 0 && !error && <Empty title="No run matches"><p>Clear the filter, or look at deleted runs under More.</p></Empty>}
            <Table selection={selection} columns={columns} profiles={profiles} order={order} group={group}
              setColumns={(next) => change({ cols: joined(next.map(write)) })} setOrder={(next) => change({ sort: joined(next) }, true)}
              setGroup={(next) => change({ group: next }, true)} selected={selected} select={select} hidden={hidden} hide={hide}
              pinned={pinned} pin={pin} charted={shownOf(view)} experiments={names} paint={colour}
              told={told} />
          </>
        ) : (
          <ChartsPane {...{ selection, keys, selected, hidden, hide, pinned, groups, told, paint: colour }} />
        )}
      {colouring && <Colours id={colouring} close={() => { colour(null); turn((n) => n + 1); }} />}
      {meta.error && !error && <Trouble error={meta.error} again={meta.again} />}
    </div>
  );
}

/** Params with more than one value, and metrics that many runs have: of these a new view shows some. */
async function tellingKeys(keys: Keys, scope: object, signal: AbortSignal): Promise<{ params: string[]; metrics: string[] }> {
  const params = keys.params.keys.slice(0, 24);
  const metrics = byWeight(keys.metrics.keys).slice(0, 24);
  if (params.length + metrics.length === 0) return { params, metrics };
  const profiles = [...params.map((key) => named('params', key)), ...metrics.map((key) => named('metrics', key))];
  const answer = await table({ ...scope, max_results: 0, profiles }, signal);
  const of = (at: number) => answer.profiles?.[at];
  const share = (at: number) => (of(params.length + at)?.count ?? 0) / Math.max(1, answer.total);
  const ranked = metrics.map((key, at) => ({ key, rank: Math.round(share(at) * 4) * 10 - at / metrics.length }));
  return {
    params: params.filter((_, at) => (of(at)?.distinct ?? 0) > 1),
    metrics: ranked.sort((a, b) => b.rank - a.rank).map(({ key }) => key),
  };
}

function withTab(view: URLSearchParams, tab: string): URLSearchParams {
  const next = new URLSearchParams(view);
  if (tab === 'table') next.delete('tab'); else next.set('tab', tab);
  return next;
}

/** Ranges and frequent values of the columns that are seen. */
function useProfiles(selection: Selection, columns: Column[]): Map<string, Profile> {
  const wanted = columns.filter((column) => column.kind !== 'spark' && column.kind !== 'attribute').slice(0, 40);
  const names = wanted.map((column) => nameOf(column)!);
  const loaded = useLoaded(
    (signal) => names.length === 0 ? Promise.resolve(null) : table({ ...selection, order_by: [], max_results: 0, profiles: names }, signal),
    [selection.filter, selection.view, selection.experiment_ids.join(), names.join('\n')],
    30,
  );
  return useMemo(() => new Map((loaded.value?.profiles ?? []).flatMap((profile, at): [string, Profile][] => wanted[at] ? [[write(wanted[at]!), profile]] : [])), [loaded.value]);
}

/** How many letters of all names are the same at their beginning, up to a break in them, if that is worth leaving out. */
function commonLead(names: string[]): number {
  const [first = '', ...others] = names;
  if (others.length === 0) return 0;
  let at = 0;
  while (at < first.length && others.every((other) => other[at] === first[at])) at++;
  const lead = first.slice(0, at).replace(/[^/_\-. ]*$/, '').length;
  return lead >= 8 ? lead : 0;
}

/** How many runs charts show. */
const shownOf = (view: URLSearchParams) => Math.min(1000, Math.max(1, Number(view.get('n') ?? SHOWN) || SHOWN));

function ChartsPane({ selection, keys, selected, hidden, hide, pinned, groups, told, paint }: {
  selection: Selection; keys: Keys | null; selected: Set<string>; hidden: Set<string>; hide: (id: string) => void;
  pinned: string[]; groups: string[]; told: (rows: Rows) => void; paint: (id: string) => void;
}) {
  const { view } = usePlace();
  const dark = useDark();
  const rows = useRows(selection, []);
  const most = shownOf(view);
  useEffect(() => told(rows), [rows, rows.total, rows.error, rows.known]);
  const wanted = Math.min(most, rows.total ?? 0);
  useEffect(() => { if (wanted > 0) rows.ensure(0, wanted); }, [rows, wanted]);
  const listed = Array.from({ length: wanted }, (_, at) => rows.row(at)).filter((row) => row !== null);
  const only = view.has('only') && selected.size > 0;
  const shown = listed.filter((row) => !hidden.has(row.id) && (!only || selected.has(row.id)));
  // The same list as long as it has the same runs, so that charts do not ask anew.
  const name = shown.map((row) => row.id + row.name).join();
  const lead = commonLead(listed.map((row) => row.name));
  const short = (text: string) => (lead > 0 ? `…${text.slice(lead)}` : text);
  const runs = useMemo(() => shown.map((row) => ({ id: row.id, name: short(row.name) })), [name, lead]);
  assign(runs.map((run) => run.id));
  // Charts are of what these runs have.
  const ids = runs.map((run) => run.id);
  const own = useLoaded(
    (signal) => ids.length === 0 ? Promise.resolve(keys) : table({ experiment_ids: selection.experiment_ids, view: 'all', run_ids: ids, max_results: 0, keys: true }, signal).then((answer) => answer.keys ?? null),
    [name, keys],
  );
  const complete = rows.total !== null && listed.length === wanted;
  return (
    <div class="charts-pane">
      <aside class="run-list" aria-label="Shown runs">
        <div class="run-list-head">
          <label>First
            <select value={String(most)} aria-label="How many runs" onChange={(event) => change({ n: event.currentTarget.value === String(SHOWN) ? null : event.currentTarget.value })}>
              {[...new Set([10, 20, 50, 100, 200, 500, 1000, most])].sort((a, b) => a - b).map((n) => <option key={n} value={n}>{n}</option>)}
            </select>
          </label>
          <span class="faint">of {count(rows.total ?? 0)}</span>
          {selected.size > 0 && <button type="button" class="toggle" aria-pressed={only} onClick={() => change({ only: only ? null : '1' })}>selected only</button>}
        </div>
        <ol>
          {listed.map((row) => {
            const own = ink(row.id, dark);
            const off = hidden.has(row.id);
            return (
              <li key={row.id} class={`${off ? 'dim' : ''} ${pinned.includes(row.id) ? 'pinned' : ''}`}>
                <Button icon={off ? 'hidden' : 'eye'} label={off ? `Show ${row.name}` : `Hide ${row.name}`} pressed={off} onClick={() => hide(row.id)} />
                <button type="button" class="ink" aria-label={`Colour of ${row.name}`} onClick={() => paint(row.id)}><Swatch color={own.color} dash={own.dash} /></button>
                <a href={link(['experiments', row.experiment, 'runs', row.id])} title={row.name}>{short(row.name)}</a>
                {row.status === 'RUNNING' && <i class="dot running" title="Running" />}
              </li>
            );
          })}
        </ol>
      </aside>
      <div class="charts-scroll">
        {complete && own.value ? <Charts keys={own.value.metrics.keys} more={own.value.metrics.more} runs={runs} groups={groups} />
          : rows.error ? <Trouble error={rows.error} /> : <div class="skeleton tall" />}
      </div>
    </div>
  );
}

function ColumnMenu({ columns, keys }: { columns: Column[]; keys: Keys | null }) {
  const [search, find] = useState('');
  const known = new Set(columns.map(write));
  const set = (next: Column[]) => change({ cols: joined(next.map(write)) });
  const all: Column[] = [
    ...attributes().map((key): Column => ({ kind: 'attribute', key, statistic: '' })),
    ...(keys?.metrics.keys ?? []).map((key): Column => ({ kind: 'metrics', key, statistic: 'last' })),
    ...(keys?.params.keys ?? []).map((key): Column => ({ kind: 'params', key, statistic: '' })),
    ...(keys?.tags.keys ?? []).map((key): Column => ({ kind: 'tags', key, statistic: '' })),
  ];
  const matching = all.filter((column) => titleOf(column).toLowerCase().includes(search.toLowerCase()));
  const words = { attribute: 'Run', metrics: 'Metrics', params: 'Params', tags: 'Tags', spark: 'Sparklines' };
  return (
    <Menu label="Columns" icon="columns" align="right" onOpen={() => find('')}>
      {() => (
        <div class="picker">
          <input type="search" placeholder="Find a column" aria-label="Find a column" value={search} onInput={(event) => find(event.currentTarget.value)} />
          <div class="picker-list">
            {(['attribute', 'metrics', 'params', 'tags'] as const).map((kind) => {
              const own = matching.filter((column) => column.kind === kind);
              return own.length > 0 && (
                <fieldset key={kind}><legend>{words[kind]} <span class="faint">{count(own.length)}</span></legend>
                  {own.slice(0, 300).map((column) => {
                    const text = write(column);
                    const there = columns.find((other) => other.kind === column.kind && other.key === column.key);
                    return (
                      <label key={text}>
                        <input type="checkbox" checked={known.has(text) || there !== undefined}
                          onChange={(event) => set(event.currentTarget.checked ? [...columns, column] : columns.filter((other) => other !== there))} />
                        <span>{titleOf(column)}</span>
                      </label>
                    );
                  })}
                  {own.length > 300 && <span class="faint">{count(own.length - 300)} more: type a part of the name</span>}
                </fieldset>
              );
            })}
          </div>
          <Button label="The usual columns" text onClick={() => change({ cols: null })} />
        </div>
      )}
    </Menu>
  );
}

function GroupMenu({ group, groups }: { group: string; groups: string[] }) {
  const [search, find] = useState('');
  return (
    <Menu label={group ? `By ${group.replace(/[`"]/g, '')}` : 'Group'} icon="group" align="right" onOpen={() => find('')}>
      {(close) => (
        <div class="picker">
          <input type="search" placeholder="Group by…" aria-label="Group by" value={search} onInput={(event) => find(event.currentTarget.value)} />
          <div class="picker-list">
            {group && <button type="button" onClick={() => { change({ group: null }, true); close(); }}>No groups</button>}
            {groups.filter((name) => name.toLowerCase().includes(search.toLowerCase())).slice(0, 200).map((name) => (
              <button key={name} type="button" aria-pressed={name === group} onClick={() => { change({ group: name }, true); close(); }}>{name.replace(/[`"]/g, '')}</button>
            ))}
          </div>
        </div>
      )}
    </Menu>
  );
}

const VIEW_TAG = 'stepwell.view.';

/** Views that were saved with an experiment, for everybody who opens it. */
function Views({ ids, experiments }: { ids: string[]; experiments: Experiment[] }) {
  const experiment = ids.length === 1 ? experiments.find((other) => other.experiment_id === ids[0]) : undefined;
  const [name, type] = useState('');
  const [mine, set] = useState<Record<string, string>>({});
  const [error, fail] = useState('');
  const { view } = usePlace();
  if (!experiment) return null;
  const tags: Record<string, string> = { ...experiment.tags, ...mine };
  const saved = Object.entries(tags).filter(([key, value]) => key.startsWith(VIEW_TAG) && value !== '');
  const save = async () => {
    try {
      await mlflow.post('experiments/set-experiment-tag', { experiment_id: experiment.experiment_id, key: VIEW_TAG + name, value: view.toString() || 'tab=table' });
      set({ ...mine, [VIEW_TAG + name]: view.toString() || 'tab=table' });
      type('');
      fail('');
    } catch (error) {
      fail((error as Error).message);
    }
  };
  const remove = async (key: string) => {
    try {
      await mlflow.post('experiments/delete-experiment-tag', { experiment_id: experiment.experiment_id, key });
      set({ ...mine, [key]: '' });
    } catch (error) {
      fail((error as Error).message);
    }
  };
  return (
    <Menu label="Views" icon="link" align="right">
      {(close) => (
        <div class="picker">
          {saved.map(([key, value]) => (
            <div key={key} class="view-row">
              <a href={link(['experiments', experiment.experiment_id], new URLSearchParams(value))} onClick={close}>{key.slice(VIEW_TAG.length)}</a>
              <Button icon="bin" label={`Remove the view ${key.slice(VIEW_TAG.length)}`} onClick={() => void remove(key)} />
            </div>
          ))}
          {saved.length === 0 && <p class="faint">A view is what you see now: filter, columns, order, zoom. Everybody who opens this experiment finds it here.</p>}
          <form class="view-row" onSubmit={(event) => { event.preventDefault(); if (name) void save(); }}>
            <input value={name} placeholder="Name this view" aria-label="Name of the view" onInput={(event) => type(event.currentTarget.value)} />
            <Button label="Save" text kind="main" disabled={name === ''} onClick={() => void save()} />
          </form>
          {error && <p class="mistake" role="alert">{error}</p>}
        </div>
      )}
    </Menu>
  );
}

function Selected({ selected, clear, deleted, done, tab }: { selected: Set<string>; clear: () => void; deleted: boolean; done: () => void; tab: string }) {
  const ids = [...selected];
  const [asking, ask] = useState(false);
  const [error, fail] = useState<Error | null>(null);
  const act = async () => {
    try {
      for (const id of ids) await mlflow.post(deleted ? 'runs/restore' : 'runs/delete', { run_id: id });
      ask(false);
      done();
    } catch (error) {
      fail(error as Error);
    }
  };
  return (
    <div class="selected" role="status">
      <strong>{count(ids.length)} selected</strong>
      <a class={`button main ${ids.length < 2 ? 'off' : ''}`} aria-disabled={ids.length < 2} href={link(['compare'], { runs: joined(ids.slice(0, 20)) })}>Compare</a>
      {tab === 'table' && <Button label="Chart only these" text onClick={() => change({ tab: 'charts', only: '1' }, true)} />}
      <Button label={deleted ? 'Restore' : 'Delete'} icon={deleted ? undefined : 'bin'} text kind={deleted ? 'plain' : 'danger'} onClick={() => (deleted ? void act() : ask(true))} />
      <Button label="Clear" text onClick={clear} />
      {error && <Trouble error={error} />}
      {asking && (
        <Dialog title={`Delete ${count(ids.length)} ${ids.length === 1 ? 'run' : 'runs'}?`} onClose={() => ask(false)}>
          <p>They can be restored (More → Deleted runs) until `stepwell gc` removes them for good.</p>
          <div class="dialog-acts"><Button label="Keep" text onClick={() => ask(false)} /><Button label="Delete" text kind="danger" onClick={() => void act()} /></div>
        </Dialog>
      )}
    </div>
  );
}

function Colours({ id, close }: { id: string; close: () => void }) {
  const dark = useDark();
  return (
    <Dialog title="Colour of this run" onClose={close}>
      <div class="colours">
        {inks(dark).map((each, slot) => (
          <button key={slot} type="button" aria-label={`Colour ${slot + 1}`} onClick={() => { choose(id, slot); close(); }}><Swatch color={each.color} dash={each.dash} /></button>
        ))}
      </div>
    </Dialog>
  );
}

export function NoRuns({ one }: { one?: string | undefined }) {
  return (
    <Empty title={one ? `No runs in ${one} yet` : 'No runs yet'}>
      <p>Log from Python, into this folder or through this server:</p>
      <Command>{`import mlflow\nmlflow.set_tracking_uri("${location.origin}")\nwith mlflow.start_run():\n    mlflow.log_metric("loss", 0.5)`}</Command>
      <p>Or take in what other trackers wrote:</p>
      <Command>{'stepwell import ~/tensorboard-logs ~/project/mlruns'}</Command>
      <p class="faint"><Icon name="check" size={13} /> This page fills by itself as soon as something is there.</p>
    </Empty>
  );
}

