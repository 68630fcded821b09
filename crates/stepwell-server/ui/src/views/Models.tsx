// Registered models: versions, aliases, stages, and the run behind each.
import { useState } from 'preact/hooks';
import { get, mlflow } from '../api/client';
import { ago, count, moment } from '../draw/numbers';
import { useLoaded } from '../hooks';
import { Button, Command, Editable, Empty, Trouble } from '../parts/Controls';
import { link } from '../state';

interface Tag { key: string; value: string }

interface Version {
  name: string;
  version: string;
  creation_timestamp?: number | string;
  current_stage?: string;
  description?: string;
  source?: string;
  run_id?: string;
  aliases?: string[];
  tags?: Tag[];
  user_id?: string;
}

interface Model {
  name: string;
  creation_timestamp?: number | string;
  last_updated_timestamp?: number | string;
  description?: string;
  latest_versions?: Version[];
  aliases?: { alias: string; version: string }[];
  tags?: Tag[];
}

const PROMPT = 'mlflow.prompt.is_prompt';
const TEXT = 'mlflow.prompt.text';
const STAGES = ['None', 'Staging', 'Production', 'Archived'];

export function Models({ name, version }: { name: string; version: string }) {
  return name ? <One key={name} name={name} wanted={version} /> : <All />;
}

function All() {
  const [search, find] = useState('');
  const loaded = useLoaded(async (signal) => {
    const all: Model[] = [];
    let token = '';
    do {
      const page = await get<{ registered_models?: Model[]; next_page_token?: string }>('ajax-api/2.0/mlflow/registered-models/search', { max_results: '200', ...(token ? { page_token: token } : {}) }, signal);
      all.push(...(page.registered_models ?? []));
      token = page.next_page_token ?? '';
    } while (token && all.length < 5000);
    return { all, more: token !== '' };
  }, []);
  if (loaded.error) return <div class="page"><Trouble error={loaded.error} again={loaded.again} /></div>;
  if (!loaded.value) return <div class="skeleton tall" />;
  const models = loaded.value.all.filter((model) => model.name.toLowerCase().includes(search.toLowerCase()));
  if (loaded.value.all.length === 0) {
    return (
      <Empty title="No models are registered yet">
        <p>Register one from the run that made it:</p>
        <Command>{'mlflow.register_model("runs:/RUN_ID/model", "my-model")'}</Command>
      </Empty>
    );
  }
  return (
    <div class="page">
      <div class="page-head"><h1>Models</h1><input type="search" placeholder="Find a model" aria-label="Find a model" value={search} onInput={(event) => find(event.currentTarget.value)} /></div>
      <div class="scroll-x">
        <table class="plain-table wide">
          <thead><tr><th>Name</th><th class="right">Newest</th><th>Aliases</th><th>Stages</th><th>Changed</th><th>Description</th></tr></thead>
          <tbody>
            {models.map((model) => (
              <tr key={model.name}>
                <td class="strong"><a href={link(['models', model.name])}>{model.name}</a> {isPrompt(model) && <span class="badge">prompt</span>}</td>
                <td class="number">{Math.max(0, ...(model.latest_versions ?? []).map((version) => Number(version.version))) || ''}</td>
                <td>{(model.aliases ?? []).map(({ alias, version }) => <span class="badge" key={alias}>@{alias} → {version}</span>)}</td>
                <td>{(model.latest_versions ?? []).filter((version) => (version.current_stage ?? 'None') !== 'None').map((version) => <span class="badge" key={version.version}>{version.current_stage} {version.version}</span>)}</td>
                <td title={moment(Number(model.last_updated_timestamp ?? 0))}>{ago(Number(model.last_updated_timestamp ?? 0))}</td>
                <td class="clip">{model.description}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {loaded.value.more && <p class="warn">There are more than {count(loaded.value.all.length)} models; these are the first.</p>}
    </div>
  );
}

const isPrompt = (model: { tags?: Tag[] }) => model.tags?.some((tag) => tag.key === PROMPT) ?? false;

function One({ name, wanted }: { name: string; wanted: string }) {
  const loaded = useLoaded(async (signal) => {
    const [model, found] = await Promise.all([
      get<{ registered_model: Model }>('ajax-api/2.0/mlflow/registered-models/get', { name }, signal),
      get<{ model_versions?: Version[] }>('ajax-api/2.0/mlflow/model-versions/search', { filter: `name=${name.includes("'") ? `"${name}"` : `'${name}'`}`, max_results: '1000' }, signal),
    ]);
    const versions = [...(found.model_versions ?? [])].sort((a, b) => Number(b.version) - Number(a.version));
    return { model: model.registered_model, versions };
  }, [name]);
  const [error, fail] = useState<Error | null>(null);
  const act = async (what: () => Promise<unknown>) => {
    try {
      await what();
      fail(null);
      loaded.again();
    } catch (error) {
      fail(error as Error);
    }
  };
  if (loaded.error) return <div class="page"><Trouble error={loaded.error} again={loaded.again} /></div>;
  if (!loaded.value) return <div class="skeleton tall" />;
  const { model, versions } = loaded.value;
  const aliases = model.aliases ?? [];
  return (
    <div class="page">
      <nav class="crumbs" aria-label="Where"><a href={link(['models'])}>Models</a></nav>
      <div class="page-head"><h1>{model.name}</h1>{isPrompt(model) && <span class="badge">prompt</span>}</div>
      <section class="note" aria-label="Description"><Editable value={model.description ?? ''} label="description" many empty="Add a description" save={(description) => act(() => mlflow.patch('registered-models/update', { name, description }))} /></section>
      {error && <Trouble error={error} />}
      {versions.length === 0 ? <Empty title="It has no versions" /> : (
        <div class="scroll-x">
          <table class="plain-table wide">
            <thead><tr><th class="right">Version</th><th>Aliases</th><th>Stage</th><th>Created</th><th>Run</th><th>Description</th><th>Source</th></tr></thead>
            <tbody>
              {versions.map((version) => (
                <tr key={version.version} class={version.version === wanted ? 'picked' : ''}>
                  <td class="number strong">{version.version}</td>
                  <td>
                    {aliases.filter((alias) => alias.version === version.version).map(({ alias }) => (
                      <span class="badge" key={alias}>@{alias} <button type="button" class="tiny" aria-label={`Take the alias ${alias} away`} onClick={() => void act(() => mlflow.delete('registered-models/alias', { name, alias }))}>×</button></span>
                    ))}
                    <NewAlias add={(alias) => act(() => mlflow.post('registered-models/alias', { name, alias, version: version.version }))} version={version.version} />
                  </td>
                  <td>
                    <select value={version.current_stage ?? 'None'} aria-label={`Stage of version ${version.version}`}
                      onChange={(event) => void act(() => mlflow.post('model-versions/transition-stage', { name, version: version.version, stage: event.currentTarget.value, archive_existing_versions: false }))}>
                      {STAGES.map((stage) => <option key={stage}>{stage}</option>)}
                    </select>
                  </td>
                  <td title={moment(Number(version.creation_timestamp ?? 0))}>{ago(Number(version.creation_timestamp ?? 0))}</td>
                  <td class="mono">{version.run_id ? <a href={link(['experiments', '-', 'runs', version.run_id])}>{version.run_id.slice(0, 10)}</a> : ''}</td>
                  <td><Editable value={version.description ?? ''} label={`description of version ${version.version}`} empty="Describe" save={(description) => act(() => mlflow.patch('model-versions/update', { name, version: version.version, description }))} /></td>
                  <td class="mono clip" title={version.source}>{version.source}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {isPrompt(model) && <Prompts versions={versions} />}
    </div>
  );
}

function NewAlias({ add, version }: { add: (alias: string) => void; version: string }) {
  const [alias, type] = useState<string | null>(null);
  if (alias === null) return <Button icon="plus" label={`Give version ${version} an alias`} onClick={() => type('')} />;
  return (
    <form class="inline" onSubmit={(event) => { event.preventDefault(); if (alias) add(alias); type(null); }}>
      <input value={alias} placeholder="alias" aria-label="Alias" ref={(element) => element?.focus()} onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={(event) => { if (event.key === 'Escape') type(null); }} />
    </form>
  );
}

const textOf = (version: Version | undefined) => version?.tags?.find((tag) => tag.key === TEXT)?.value ?? '';

/** The texts of a prompt, each against the version before. */
function Prompts({ versions }: { versions: Version[] }) {
  const [at, choose] = useState(0);
  const [now, before] = [versions[at], versions[at + 1]];
  return (
    <section class="card" aria-label="Text">
      <h2>Text of version
        <select value={String(at)} aria-label="Version" onChange={(event) => choose(Number(event.currentTarget.value))}>{versions.map((version, at) => <option key={version.version} value={at}>{version.version}</option>)}</select>
        {before && <span class="faint">against version {before.version}</span>}
      </h2>
      <pre class="text">{lines(textOf(before), textOf(now)).map(([kind, line], at) => <div key={at} class={`line ${kind}`}>{kind === 'new' ? '+ ' : kind === 'gone' ? '− ' : '  '}{line}</div>)}</pre>
    </section>
  );
}

/** Lines of two texts: those that stay, came and went, by their longest common sequence. */
function lines(old: string, now: string): [string, string][] {
  const [a, b] = [old === '' ? [] : old.split('\n').slice(0, 1000), now.split('\n').slice(0, 1000)];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) {
    longest[i]![j] = a[i] === b[j] ? longest[i + 1]![j + 1]! + 1 : Math.max(longest[i + 1]![j]!, longest[i]![j + 1]!);
  }
  const out: [string, string][] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { out.push(['same', a[i]!]); i++; j++; }
    else if (j < b.length && (i === a.length || longest[i]![j + 1]! >= longest[i + 1]![j]!)) out.push(['new', b[j++]!]);
    else out.push(['gone', a[i++]!]);
  }
  return out;
}
