// One run: what, when, where and by whom; its numbers, its charts, its files, what it came from and what came of it.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { get, mlflow, named, oneRun, table } from '../api/client';
import type { Run, RunMetric } from '../api/client';
import { follow } from '../api/live';
import { assign } from '../draw/colors';
import { ago, count, duration, moment, number } from '../draw/numbers';
import { copy, useLoaded } from '../hooks';
import { Button, Dialog, Editable, Icon, Status, Trouble } from '../parts/Controls';
import { change, joined, link, usePlace } from '../state';
import { Artifacts } from './Artifacts';
import { Charts } from './Charts';
import { Spark } from './Spark';

const TABS = ['overview', 'charts', 'system', 'artifacts'] as const;

export function RunPage({ id }: { id: string }) {
  const loaded = useLoaded((signal) => oneRun(id, signal), [id]);
  const { parts, view } = usePlace();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const stop = follow((news) => {
      if (news !== 'reset' && !news.runs.some((run) => run.id === id)) return;
      timer ??= setTimeout(() => { timer = null; loaded.again(); }, 1500);
    });
    return () => { stop(); if (timer) clearTimeout(timer); };
  }, [id]);
  const run = loaded.value;
  const runs = useMemo(() => (run ? [{ id: run.run_id, name: run.name }] : []), [run?.run_id, run?.name]);
  if (loaded.error && !run) return <div class="page"><Trouble error={loaded.error} again={loaded.again} /></div>;
  if (!run) return <div class="skeleton tall" />;
  assign([run.run_id]);
  const keys = Object.keys(run.metrics).sort();
  const system = keys.filter((key) => key.startsWith('system/'));
  const own = keys.filter((key) => !key.startsWith('system/'));
  const named = view.get('tab') as (typeof TABS)[number] | null;
  const tab = named && TABS.includes(named) ? named : parts[4] === 'artifacts' ? 'artifacts' : 'overview';
  const words = { overview: 'Overview', charts: `Charts ${own.length}`, system: `System ${system.length}`, artifacts: 'Artifacts' };
  const to = (tab: string) => link(['experiments', run.experiment_id, 'runs', id], tab === 'overview' ? {} : { tab });
  return (
    <div class="run">
      <Heading run={run} again={loaded.again} />
      <div class="tabs" role="tablist">
        {TABS.filter((each) => each !== 'system' || system.length > 0).map((each) => <a key={each} role="tab" aria-selected={tab === each} href={to(each)}>{words[each]}</a>)}
      </div>
      {run.left_out.length > 0 && <p class="warn">{run.left_out.join('; ')}</p>}
      {tab === 'overview' && <Overview run={run} again={loaded.again} />}
      {tab === 'charts' && <div class="charts-scroll"><Charts keys={own} more={0} runs={runs} groups={[]} /></div>}
      {tab === 'system' && <div class="charts-scroll"><Charts keys={system} more={0} runs={runs} groups={[]} /></div>}
      {tab === 'artifacts' && <Artifacts run={run} />}
    </div>
  );
}

function Heading({ run, again }: { run: Run; again: () => void }) {
  const [told, tell] = useState('');
  const [asking, ask] = useState(false);
  const [error, fail] = useState<Error | null>(null);
  const act = async (path: string) => {
    try {
      await mlflow.post(path, { run_id: run.run_id });
      ask(false);
      again();
    } catch (error) {
      fail(error as Error);
    }
  };
  const end = run.end_ms ?? (run.status === 'RUNNING' ? Date.now() : null);
  const rename = async (name: string) => { await mlflow.post('runs/update', { run_id: run.run_id, run_name: name }); again(); };
  return (
    <div class="run-head">
      <nav class="crumbs" aria-label="Where"><a href={link(['experiments', run.experiment_id])}>{run.experiment_name}</a> <Icon name="right" size={11} /></nav>
      <div class="run-title">
        <h1><Editable value={run.name} label="name of the run" empty="unnamed" save={rename} /></h1>
        <Status of={run.status} />
        {run.status === 'RUNNING' && !run.live && <span class="faint" title="No process has this run open for writing: it may have been killed">nobody writes</span>}
        {run.deleted && <span class="status failed"><i />Deleted</span>}
        <span class="space" />
        <a class="button plain" href={link(['compare'], { runs: run.run_id })} onClick={(event) => { event.preventDefault(); ask(false); change({ against: '1' }, true); }}>Compare with…</a>
        {run.deleted ? <Button label="Restore" text onClick={() => void act('runs/restore')} /> : <Button icon="bin" label="Delete" onClick={() => ask(true)} />}
      </div>
      <dl class="facts">
        <div><dt>Started</dt><dd title={moment(run.start_ms)}>{ago(run.start_ms) || 'unknown'}</dd></div>
        <div><dt>Duration</dt><dd>{run.start_ms !== null && end !== null ? duration(end - run.start_ms) : 'unknown'}</dd></div>
        {(run.user || run.tags['mlflow.user']) && <div><dt>By</dt><dd>{run.user || run.tags['mlflow.user']}</dd></div>}
        {run.tags['mlflow.source.name'] && <div><dt>Source</dt><dd title={run.tags['mlflow.source.name']}>{run.tags['mlflow.source.name'].split('/').pop()}</dd></div>}
        {run.tags['mlflow.source.git.commit'] && <div><dt>Commit</dt><dd class="mono">{run.tags['mlflow.source.git.commit'].slice(0, 10)}</dd></div>}
        <div><dt>Id</dt><dd class="mono">
          <button type="button" class="editable" title="Copy the id" onClick={() => void copy(run.run_id).then((done) => tell(done ? 'copied' : run.run_id))}>{told || run.run_id.slice(0, 12)}<Icon name="link" size={12} /></button>
        </dd></div>
      </dl>
      {error && <Trouble error={error} />}
      {asking && (
        <Dialog title={`Delete ${run.name}?`} onClose={() => ask(false)}>
          <p>It can be restored until `stepwell gc` removes it for good.</p>
          <div class="dialog-acts"><Button label="Keep" text onClick={() => ask(false)} /><Button label="Delete" text kind="danger" onClick={() => void act('runs/delete')} /></div>
        </Dialog>
      )}
      <Against run={run} />
    </div>
  );
}

/** Chooses a run to compare with. */
function Against({ run }: { run: Run }) {
  const { view } = usePlace();
  const [search, find] = useState('');
  const open = view.has('against');
  const filter = search.trim() === '' ? '' : `run_name ILIKE '%${search.replace(/['%]/g, '_')}%'`;
  const found = useLoaded((signal) => open ? table({ experiment_ids: [run.experiment_id], filter, max_results: 50 }, signal) : Promise.resolve(null), [open, filter], 100);
  if (!open) return null;
  const runs = found.value?.runs;
  return (
    <Dialog title={`Compare ${run.name} with…`} onClose={() => change({ against: null })}>
      <input type="search" value={search} placeholder="A part of a name" aria-label="Find a run" onInput={(event) => find(event.currentTarget.value)} />
      <ul class="choices">
        {runs?.run_id.map((id, at) => id !== run.run_id && (
          <li key={id}><a href={link(['compare'], { runs: joined([run.run_id, id]) })}><span>{runs.name[at] || id.slice(0, 8)}</span><span class="faint">{ago(runs.start_ms[at] ?? null)}</span></a></li>
        ))}
      </ul>
      {found.error && <Trouble error={found.error} />}
    </Dialog>
  );
}

const NOTE = 'mlflow.note.content';

function Overview({ run, again }: { run: Run; again: () => void }) {
  const tag = async (key: string, value: string) => {
    if (value === '') await mlflow.post('runs/delete-tag', { run_id: run.run_id, key });
    else await mlflow.post('runs/set-tag', { run_id: run.run_id, key, value });
    again();
  };
  const tags = Object.entries(run.tags).filter(([key]) => !key.startsWith('mlflow.'));
  const technical = Object.entries(run.tags).filter(([key]) => key.startsWith('mlflow.') && key !== NOTE);
  const params = Object.entries(run.params);
  const [search, find] = useState('');
  const fits = (text: string) => text.toLowerCase().includes(search.toLowerCase());
  const metrics = Object.entries(run.metrics).filter(([key]) => fits(key));
  const shown = params.filter(([key, value]) => fits(key) || fits(value));
  return (
    <div class="overview">
      <section class="note" aria-label="Notes"><Editable value={run.tags[NOTE] ?? ''} label="notes" many empty="Add notes" save={(text) => tag(NOTE, text)} /></section>
      {(params.length > 12 || Object.keys(run.metrics).length > 12) && (
        <input class="overview-search" type="search" placeholder="Find a metric or a param" aria-label="Find a metric or a param" value={search} onInput={(event) => find(event.currentTarget.value)} />
      )}
      <div class="overview-columns">
        <section aria-label="Metrics" class="card wide-card">
          <h2>Metrics <span class="faint">{count(metrics.length)}</span></h2>
          {Object.keys(run.metrics).length === 0 ? <p class="faint">None yet. They appear here as they are logged.</p> : <Metrics run={run} metrics={metrics} />}
        </section>
        <section aria-label="Params" class="card">
          <h2>Params <span class="faint">{count(shown.length)}</span></h2>
          {params.length === 0 ? <p class="faint">None.</p> : (
            <table class="plain-table pairs"><tbody>{shown.slice(0, 500).map(([key, value]) => <tr key={key}><th scope="row">{key}</th><td title={value}>{value}</td></tr>)}</tbody></table>
          )}
          <h2>Tags <span class="faint">{count(tags.length)}</span></h2>
          <table class="plain-table pairs">
            <tbody>{tags.map(([key, value]) => <tr key={key}><th scope="row">{key}</th><td><Editable value={value} label={`tag ${key}`} empty="empty" save={(text) => tag(key, text)} /></td></tr>)}</tbody>
          </table>
          <NewTag add={tag} />
          <Lineage run={run} />
          {technical.length > 0 && (
            <details><summary>Technical tags <span class="faint">{technical.length}</span></summary>
              <table class="plain-table pairs"><tbody>{technical.map(([key, value]) => <tr key={key}><th scope="row">{key}</th><td title={value}>{value}</td></tr>)}</tbody></table>
            </details>
          )}
        </section>
      </div>
    </div>
  );
}

function Metrics({ run, metrics }: { run: Run; metrics: [string, RunMetric][] }) {
  const [most, more] = useState(100);
  return (
    <>
      <div class="scroll-x">
        <table class="plain-table metrics">
          <thead><tr><th>Metric</th><th><span class="unseen">Curve</span></th><th class="right">Last</th><th class="right">Least</th><th class="right">Greatest</th><th class="right">Points</th></tr></thead>
          <tbody>
            {metrics.slice(0, most).map(([key, of]) => (
              <tr key={key}>
                <td class="strong"><a href={link(['experiments', run.experiment_id, 'runs', run.run_id], { tab: key.startsWith('system/') ? 'system' : 'charts', panel: key })}>{key}</a>
                  {of.nan > 0 && <span class="bad" title="Values that are NaN"> {count(of.nan)} NaN</span>}{of.inf > 0 && <span class="bad"> {count(of.inf)} ∞</span>}</td>
                <td>{of.count > 1 && <Spark run={run.run_id} metric={key} stamp={String(of.count)} />}</td>
                <td class="number" title={`step ${of.last_step}`}>{number(of.last)}</td>
                <td class="number">{of.min === null ? '' : <>{number(of.min)} <small>@{number(of.min_step)}</small></>}</td>
                <td class="number">{of.max === null ? '' : <>{number(of.max)} <small>@{number(of.max_step)}</small></>}</td>
                <td class="number">{count(of.count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {metrics.length > most && <Button label={`Show more of ${count(metrics.length)}`} text onClick={() => more(most + 500)} />}
    </>
  );
}

function NewTag({ add }: { add: (key: string, value: string) => Promise<void> }) {
  const [key, typeKey] = useState('');
  const [value, typeValue] = useState('');
  const [error, fail] = useState('');
  const save = () => add(key, value).then(() => { typeKey(''); typeValue(''); fail(''); }, (error) => fail((error as Error).message));
  return (
    <form class="inline" onSubmit={(event) => { event.preventDefault(); if (key && value) void save(); }}>
      <input value={key} placeholder="New tag" aria-label="Key of the new tag" onInput={(event) => typeKey(event.currentTarget.value)} />
      <input value={value} placeholder="Value" aria-label="Value of the new tag" onInput={(event) => typeValue(event.currentTarget.value)} />
      <button type="submit" class="button plain" disabled={!key || !value}>Add</button>
      {error && <span class="mistake" role="alert">{error}</span>}
    </form>
  );
}

interface MlflowRun {
  run: {
    inputs?: { dataset_inputs?: { dataset: { name: string; digest: string }; tags?: { key: string; value: string }[] }[]; model_inputs?: { model_id: string }[] };
    outputs?: { model_outputs?: { model_id: string; step?: number }[] };
  };
}

interface VersionJson { name: string; version: string; current_stage?: string; aliases?: string[] }

/** What the run came from, and what came of it. */
function Lineage({ run }: { run: Run }) {
  const parent = run.tags['mlflow.parentRunId'];
  const found = useLoaded(async (signal) => {
    const [more, children, versions] = await Promise.all([
      mlflow.get<MlflowRun>('runs/get', { run_id: run.run_id }),
      run.children > 0 ? table({ experiment_ids: [run.experiment_id], filter: `${named('tags', 'mlflow.parentRunId')} = '${run.run_id}'`, max_results: 50 }, signal) : null,
      get<{ model_versions?: VersionJson[] }>('ajax-api/2.0/mlflow/model-versions/search', { filter: `run_id='${run.run_id}'` }, signal).catch(() => ({ model_versions: [] })),
    ]);
    return { more: more.run, children: children?.runs ?? null, versions: versions.model_versions ?? [] };
  }, [run.run_id, run.children]);
  const { more, children, versions = [] } = found.value ?? { more: null, children: null };
  const datasets = more?.inputs?.dataset_inputs ?? [];
  const models = [...(more?.outputs?.model_outputs ?? [])];
  if (!parent && datasets.length === 0 && !children && versions.length === 0 && models.length === 0) return null;
  return (
    <>
      <h2>Lineage</h2>
      <ul class="lineage">
        {parent && <li><span class="faint">child of</span> <a href={link(['experiments', run.experiment_id, 'runs', parent])}>{parent.slice(0, 12)}</a></li>}
        {datasets.map(({ dataset, tags }) => <li key={dataset.name + dataset.digest}><span class="faint">read</span> {dataset.name} <span class="mono faint">{dataset.digest}</span> {tags?.map((tag) => tag.value).join(', ')}</li>)}
        {models.map((model) => <li key={model.model_id}><span class="faint">made model</span> <span class="mono">{model.model_id}</span></li>)}
        {versions.map((version) => <li key={version.name + version.version}><span class="faint">registered as</span> <a href={link(['models', version.name])}>{version.name} v{version.version}</a> {version.aliases?.map((alias) => `@${alias}`).join(' ')} {version.current_stage !== 'None' && version.current_stage}</li>)}
        {children?.run_id.map((id, at) => <li key={id}><span class="faint">parent of</span> <a href={link(['experiments', run.experiment_id, 'runs', id])}>{children.name[at] || id.slice(0, 12)}</a></li>)}
        {run.children > 50 && <li class="faint">and {count(run.children - 50)} more</li>}
      </ul>
    </>
  );
}

