// Experiments: what there is, with create, rename, delete and restore.
import { useState } from 'preact/hooks';
import { mlflow } from '../api/client';
import type { Experiment } from '../api/client';
import { ago, count, moment } from '../draw/numbers';
import { Button, Editable, Empty, Trouble } from '../parts/Controls';
import { link } from '../state';

export function Experiments({ experiments, again }: { experiments: Experiment[]; again: () => void }) {
  const [search, find] = useState('');
  const [deleted, show] = useState(false);
  const [name, type] = useState('');
  const [error, fail] = useState<Error | null>(null);
  const [picked, pick] = useState<Set<string>>(new Set());
  const act = async (what: () => Promise<unknown>) => {
    try {
      await what();
      fail(null);
      again();
    } catch (error) {
      fail(error as Error);
    }
  };
  const gone = experiments.filter((one) => one.deleted).length;
  const rows = experiments.filter((one) => one.deleted === deleted && one.name.toLowerCase().includes(search.toLowerCase()))
    .sort((a, b) => b.updated_ms - a.updated_ms);
  return (
    <div class="page">
      <div class="page-head">
        <h1>Experiments</h1>
        <input type="search" placeholder="Find an experiment" aria-label="Find an experiment" value={search} onInput={(event) => find(event.currentTarget.value)} />
        <button type="button" class="toggle" aria-pressed={deleted} onClick={() => show(!deleted)}>deleted ({count(gone)})</button>
        {picked.size > 1 && <a class="button main" href={link(['experiments', [...picked].join(',')])}>Open {picked.size} together</a>}
        <span class="space" />
        <form class="inline" onSubmit={(event) => { event.preventDefault(); if (name) void act(async () => { await mlflow.post('experiments/create', { name }); type(''); }); }}>
          <input value={name} placeholder="New experiment" aria-label="Name of the new experiment" onInput={(event) => type(event.currentTarget.value)} />
          <button type="submit" class="button main" disabled={name === ''}>Create</button>
        </form>
      </div>
      {error && <Trouble error={error} />}
      {rows.length === 0 ? <Empty title={deleted ? 'No experiment is deleted' : 'No experiment has such a name'} /> : (
        <div class="scroll-x">
          <table class="plain-table wide">
            <thead><tr><th><span class="unseen">Pick</span></th><th>Name</th><th class="right">Runs</th><th>Created</th><th>Changed</th><th>Id</th><th><span class="unseen">Acts</span></th></tr></thead>
            <tbody>
              {rows.map((one) => (
                <tr key={one.experiment_id}>
                  <td><input type="checkbox" aria-label={`Pick ${one.name}`} checked={picked.has(one.experiment_id)}
                    onChange={(event) => { const next = new Set(picked); if (event.currentTarget.checked) next.add(one.experiment_id); else next.delete(one.experiment_id); pick(next); }} /></td>
                  <td class="strong"><a href={link(['experiments', one.experiment_id], one.deleted ? { view: 'deleted' } : {})}>{one.name}</a></td>
                  <td class="number">{count(one.runs)}</td>
                  <td title={moment(one.created_ms)}>{ago(one.created_ms)}</td>
                  <td title={moment(one.updated_ms)}>{ago(one.updated_ms)}</td>
                  <td class="mono faint">{one.experiment_id}</td>
                  <td class="acts">
                    {!one.deleted && <Editable value="" label={`name of ${one.name}`} empty="Rename" save={(next) => act(() => mlflow.post('experiments/update', { experiment_id: one.experiment_id, new_name: next }))} />}
                    {one.deleted
                      ? <Button label="Restore" text onClick={() => void act(() => mlflow.post('experiments/restore', { experiment_id: one.experiment_id }))} />
                      : one.experiment_id !== '0' && <Button icon="bin" label={`Delete ${one.name}`} onClick={() => void act(() => mlflow.post('experiments/delete', { experiment_id: one.experiment_id }))} />}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

