// Some runs beside each other: what is the same goes, what differs stands out.
import { useMemo, useState } from 'preact/hooks';
import { oneRun } from '../api/client';
import type { Run } from '../api/client';
import { assign, ink } from '../draw/colors';
import { duration, moment, number } from '../draw/numbers';
import { useLoaded } from '../hooks';
import { Empty, Status, Trouble } from '../parts/Controls';
import { Hover, Swatch } from '../parts/Panel';
import { change, link, useDark, usePlace } from '../state';
import { Charts } from './Charts';

interface Line {
  name: string;
  values: string[];
  numbers: (number | null)[];
}

export function Compare({ ids }: { ids: string[] }) {
  const loaded = useLoaded((signal) => Promise.all(ids.map((id) => oneRun(id, signal))), [ids.join()]);
  const { view } = usePlace();
  const all = view.has('same');
  const charts = view.get('tab') === 'charts';
  const dark = useDark();
  assign(ids);
  const [, touch] = useState<Hover | null>(null);
  const runs = loaded.value;
  const names = useMemo(() => (runs ?? []).map((run) => ({ id: run.run_id, name: run.name || run.run_id.slice(0, 8) })), [runs]);
  const keys = useMemo(() => [...new Set((runs ?? []).flatMap((run) => Object.keys(run.metrics)))].sort(), [runs]);
  if (ids.length === 0) return <Empty title="Nothing to compare"><p>Select two runs or more in the table, then press Compare.</p></Empty>;
  if (loaded.error) return <Trouble error={loaded.error} again={loaded.again} />;
  if (!runs) return <div class="skeleton tall" />;
  const parts: [string, Line[]][] = [
    ['Run', [
      line('Status', runs, (run) => run.status), line('Started', runs, (run) => moment(run.start_ms)),
      line('Duration', runs, (run) => run.start_ms !== null && run.end_ms !== null ? duration(run.end_ms - run.start_ms) : ''),
      line('User', runs, (run) => run.user), line('Experiment', runs, (run) => run.experiment_name),
    ]],
    ['Params', linesOf(runs, (run) => run.params)],
    ['Metrics, last', metricLines(runs, 'last')],
    ['Metrics, least', metricLines(runs, 'min')],
    ['Metrics, greatest', metricLines(runs, 'max')],
    ['Tags', linesOf(runs, (run) => Object.fromEntries(Object.entries(run.tags).filter(([key]) => key !== 'mlflow.runName')))],
  ];
  return (
    <div class={charts ? 'compare-charts' : 'page'}>
      <div class="page-head">
        <h1>Compare {runs.length} runs</h1>
        <div class="tabs" role="tablist">
          <a role="tab" aria-selected={!charts} href={link(['compare'], { runs: view.get('runs') ?? '' })}>Differences</a>
          <a role="tab" aria-selected={charts} href={link(['compare'], { runs: view.get('runs') ?? '', tab: 'charts' })}>Charts</a>
        </div>
        {!charts && <button type="button" class="toggle" aria-pressed={all} onClick={() => change({ same: all ? null : '1' })}>what is the same too</button>}
      </div>
      {charts ? <div class="charts-scroll"><Charts keys={keys} more={0} runs={names} groups={[]} /></div> : (
        <div class="scroll-x">
          <table class="plain-table diff">
            <thead>
              <tr><th>​<span class="unseen">What</span></th>{runs.map((run) => {
                const own = ink(run.run_id, dark);
                return <th key={run.run_id} onPointerEnter={() => touch(null)}><Swatch color={own.color} dash={own.dash} /> <a href={link(['experiments', run.experiment_id, 'runs', run.run_id])}>{run.name || run.run_id.slice(0, 8)}</a></th>;
              })}</tr>
            </thead>
            {parts.map(([title, lines]) => {
              const shown = lines.filter((line) => all || differs(line));
              if (shown.length === 0) return null;
              return (
                <tbody key={title}>
                  <tr class="part"><th colSpan={runs.length + 1} scope="rowgroup">{title} <span class="faint">{shown.length === lines.length ? lines.length : `${shown.length} of ${lines.length} differ`}</span></th></tr>
                  {shown.map((line) => (
                    <tr key={line.name} class={differs(line) ? 'differs' : ''}>
                      <th scope="row">{line.name}</th>
                      {line.values.map((value, at) => (
                        <td key={at} class={`${line.numbers[at] !== null ? 'number' : ''} ${best(line, at)}`} title={value}>
                          {title === 'Run' && line.name === 'Status' ? <Status of={value} /> : value === '' ? <span class="absent">·</span> : value}
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              );
            })}
          </table>
        </div>
      )}
    </div>
  );
}

function line(name: string, runs: Run[], value: (run: Run) => string): Line {
  return { name, values: runs.map(value), numbers: runs.map(() => null) };
}

function linesOf(runs: Run[], of: (run: Run) => Record<string, string>): Line[] {
  const keys = [...new Set(runs.flatMap((run) => Object.keys(of(run))))].sort();
  return keys.map((name) => {
    const values = runs.map((run) => of(run)[name] ?? '');
    return { name, values, numbers: values.map((value) => (value !== '' && Number.isFinite(Number(value)) ? Number(value) : null)) };
  });
}

function metricLines(runs: Run[], statistic: 'last' | 'min' | 'max'): Line[] {
  const keys = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))].sort();
  return keys.map((name) => {
    const numbers = runs.map((run) => {
      const value = run.metrics[name]?.[statistic];
      return value === undefined || value === null ? null : Number(value);
    });
    return { name, numbers, values: numbers.map((value) => (value === null ? '' : number(value, 6))) };
  });
}

const differs = (line: Line) => line.values.some((value) => value !== line.values[0]);

/** The least and greatest of a line are marked, where there is something to compare. */
function best(line: Line, at: number): string {
  const numbers = line.numbers.filter((value): value is number => value !== null && !Number.isNaN(value));
  if (numbers.length < 2) return '';
  const own = line.numbers[at];
  const [lo, hi] = [Math.min(...numbers), Math.max(...numbers)];
  return lo === hi ? '' : own === lo ? 'least' : own === hi ? 'greatest' : '';
}
