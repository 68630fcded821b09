// The page's frame: where one is, where one can go, and the view of the address.
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { address, overview } from './api/client';
import type { Experiment } from './api/client';
import { follow, watchConnection } from './api/live';
import { count } from './draw/numbers';
import { useKeys, useLoaded } from './hooks';
import { Button, Dialog, Menu, Trouble } from './parts/Controls';
import { go, link, turnTheme, useDark, usePlace } from './state';
import { Compare } from './views/Compare';
import { Experiments } from './views/Experiments';
import { Models } from './views/Models';
import { RunPage } from './views/Run';
import { Workspace } from './views/Workspace';
import './style/base.css';
import './style/frame.css';
import './style/table.css';
import './style/charts.css';
import './style/run.css';

function Page() {
  const { parts, view } = usePlace();
  const known = useLoaded(() => overview(), []);
  const dark = useDark();
  const [help, explain] = useState(false);
  useEffect(() => follow((news) => { if (news === 'reset' || news.experiments.length > 0 || news.runs.some((run) => run.event)) known.again(); }), []);
  useKeys((event) => {
    const acts: Record<string, () => void> = {
      '/': () => document.querySelector<HTMLInputElement>('.filter-input, input[type=search]')?.focus(),
      '?': () => explain(true),
      t: turnTheme,
      e: () => go(['experiments']),
      m: () => go(['models']),
      r: () => go(['experiments', 'all']),
      c: () => document.querySelector<HTMLAnchorElement>('.tabs a:not([aria-selected=true])')?.click(),
    };
    const act = acts[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  const experiments = known.value?.experiments ?? [];
  const [first = '', id = '', third = '', fourth = ''] = parts;
  const withRuns = experiments.filter((experiment) => !experiment.deleted && experiment.runs > 0);
  // The usual workspace has one experiment: its runs are what one wants to see.
  const home = first === '' || first === 'runs';
  const ids = id === 'all' || home ? [] : id.split(',');
  const title = first === 'models' ? id || 'Models' : experiments.find((one) => one.experiment_id === id)?.name ?? 'Stepwell';
  useEffect(() => { document.title = title === 'Stepwell' ? title : `${title} · Stepwell`; }, [title]);
  const wanted = known.value?.bound && ids.length === 0 ? experiments.map((one) => one.experiment_id) : ids;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to the content</a>
      <header class="top">
        <a class="brand" href={link([])}><span class="mark" aria-hidden="true" />Stepwell</a>
        <Picker experiments={experiments} id={first === 'experiments' ? id : home ? 'all' : ''} />
        <nav aria-label="Pages">
          <a href={link(['experiments', 'all'])} aria-current={(first === 'experiments' && id !== '') || home ? 'page' : undefined}>Runs</a>
          <a href={link(['experiments'])} aria-current={first === 'experiments' && id === '' ? 'page' : undefined}>Experiments</a>
          <a href={link(['models'])} aria-current={first === 'models' ? 'page' : undefined}>Models</a>
        </nav>
        <span class="space" />
        <Connection />
        <button type="button" class="button only" aria-label="Keys and hints" title="Keys and hints (?)" onClick={() => explain(true)}>?</button>
        <Button icon={dark ? 'sun' : 'moon'} label={dark ? 'Light' : 'Dark'} onClick={turnTheme} />
      </header>
      <main id="main" tabIndex={-1}>
        {known.error ? <Trouble error={known.error} again={known.again} />
          : !known.value ? <div class="skeleton tall" />
          : first === 'experiments' && third === 'runs' && fourth ? <RunPage key={fourth} id={fourth} />
          : first === 'experiments' && id === '' ? <Experiments experiments={experiments} again={known.again} />
          : first === 'models' || first === 'prompts' ? <Models name={id} version={third === 'versions' ? fourth : ''} />
          : first === 'compare' ? <Compare ids={(view.get('runs') ?? '').split('\u001f').filter((id) => id !== '')} />
          : <Workspace key={ids.join()} experiments={experiments} ids={wanted} />}
      </main>
      {help && <Help close={() => explain(false)} mlflow={address('mlflow')} empty={withRuns.length === 0} version={known.value?.version ?? ''} />}
    </>
  );
}

function Picker({ experiments, id }: { experiments: Experiment[]; id: string }) {
  const [search, find] = useState('');
  const current = experiments.find((one) => one.experiment_id === id);
  const all = experiments.filter((one) => !one.deleted && one.name.toLowerCase().includes(search.toLowerCase()));
  const sorted = [...all].sort((a, b) => b.runs - a.runs || a.name.localeCompare(b.name));
  const label = current?.name ?? (id.includes(',') ? `${id.split(',').length} experiments` : 'All experiments');
  return (
    <Menu label={label} onOpen={() => find('')}>
      {(close) => (
        <div class="picker wide">
          <input type="search" placeholder={`Find among ${count(experiments.length)} experiments`} aria-label="Find an experiment" value={search}
            onInput={(event) => find(event.currentTarget.value)}
            onKeyDown={(event) => { if (event.key === 'Enter' && sorted[0]) { go(['experiments', sorted[0].experiment_id]); close(); } }} />
          <div class="picker-list">
            <a href={link(['experiments', 'all'])} onClick={close}>All experiments</a>
            {sorted.slice(0, 300).map((one) => (
              <a key={one.experiment_id} href={link(['experiments', one.experiment_id])} aria-current={one.experiment_id === id ? 'page' : undefined} onClick={close}>
                <span>{one.name}</span><span class="faint">{count(one.runs)}</span>
              </a>
            ))}
          </div>
        </div>
      )}
    </Menu>
  );
}

function Connection() {
  const [state, set] = useState('off');
  useEffect(() => watchConnection(set), []);
  const words: Record<string, string> = { live: 'Live', lost: 'Reconnecting…', off: '' };
  return <span class={`connection ${state}`} role="status">{words[state]}</span>;
}

function Help({ close, mlflow, empty, version }: { close: () => void; mlflow: string; empty: boolean; version: string }) {
  const keys: [string, string][] = [
    ['/', 'Filter or search'], ['r  e  m', 'Runs, experiments, models'], ['c', 'Table or charts'], ['t', 'Dark or light'],
    ['Tab, arrows', 'In a chart: move the crosshair'], ['+  −  0', 'In a chart: zoom in, out, show all'], ['?', 'This help'],
  ];
  return (
    <Dialog title="Keys and hints" onClose={close}>
      <table class="plain-table keys"><tbody>{keys.map(([key, what]) => <tr key={key}><td><kbd>{key}</kbd></td><td>{what}</td></tr>)}</tbody></table>
      <p>Drag in a chart zooms all charts, a double click shows all again, Shift and drag moves. Everything that you choose stands in the address: copy it to send this view.</p>
      {empty && <p>There are no runs yet: see the page of runs for what to type.</p>}
      <p class="faint"><a href={mlflow}>MLflow's UI</a> · <a href={address('page/licences.txt')}>Licences</a> {version && `· Stepwell ${version}`}</p>
    </Dialog>
  );
}

render(<Page />, document.getElementById('page')!);
