// Measures the page on large workspaces: `node test/measure.mjs DATA`, of `cargo run --example page_data DATA/w …`.
import { readFileSync } from 'node:fs';
import { close, drawn, launch, picture, Server } from './world.mjs';

const server = await Server.start(process.argv[2]);
const { experiments } = await server.call('GET', '/api/stepwell/overview');
const of = Object.fromEntries(experiments.map((one) => [one.name, one]));
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const say = (what, value, bar) => console.log(`${what.padEnd(62)} ${String(Math.round(value)).padStart(7)} ms   bar ${bar}`);

async function fresh(viewport = { width: 1360, height: 860 }) {
  const context = await (await launch()).newContext({ viewport });
  const page = await context.newPage();
  page.on('pageerror', (error) => console.log('error', error));
  return page;
}

/** The time of an act until something holds in the page, by the page's own clock. */
async function until(page, act, condition, argument) {
  const begin = await page.evaluate(() => performance.now());
  await act();
  await page.waitForFunction(condition, argument, { polling: 'raf', timeout: 60_000 });
  return (await page.evaluate(() => performance.now())) - begin;
}

/** Milliseconds of processor time that the server used so far. */
function cpu() {
  const fields = readFileSync(`/proc/${server.process.pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const FIRST = () => document.querySelectorAll('.rows .row .cell.name a').length > 10;

if (of.many) {
  const hash = `/#/experiments/${of.many.experiment_id}`;
  // The first request of a server reads the index; then it is as for everybody after.
  for (const kind of ['first of the server', 'afterwards']) {
    const page = await fresh();
    const begin = Date.now();
    await page.goto(server.url + hash);
    await page.waitForFunction(FIRST, null, { polling: 'raf', timeout: 120_000 });
    say(`${of.many.runs.toLocaleString('en')} runs: rows are there, ${kind}`, Date.now() - begin, '500');
    await page.waitForTimeout(1500);
    if (kind === 'afterwards') {
      const box = page.getByRole('combobox', { name: 'Filter runs' });
      const times = [];
      for (const [filter, name] of [["params.seed = '77'", 'run-'], ['metrics.loss < 0.02', 'run-'], ['run_name = \'run-123456\'', 'run-123456'], ['metrics.accuracy > 0.99 AND params.lr = \'0.1\'', 'run-']]) {
        await box.fill('');
        await page.waitForTimeout(1200);
        const before = await page.locator('.filter-total').textContent();
        times.push(await until(page, () => box.fill(filter), ([before, name]) => {
          const total = document.querySelector('.filter-total')?.textContent;
          return total !== undefined && total !== before && document.querySelector('.rows .row .cell.name a')?.textContent.startsWith(name);
        }, [before, name]));
      }
      say(`filter as typed (with 120 ms that typing rests): ${times.map(Math.round)}`, median(times), '100 + 120');
      await box.fill('');
      await page.waitForTimeout(1200);
      const end = await until(page, () => page.locator('.table').focus().then(() => page.keyboard.press('End')), () => document.querySelector('.rows .row:last-child .cell.name a') && document.querySelector('.table').scrollTop > 1000);
      say('to the last row', end, '-');
      await picture(page, 'million');
    }
    await page.context().close();
  }
}

if (of.long) {
  const page = await fresh();
  const begin = Date.now();
  await page.goto(`${server.url}/#/experiments/${of.long.experiment_id}?tab=charts`);
  await page.waitForFunction(() => document.querySelector('.panel')?.dataset.state === 'drawn', null, { polling: 'raf', timeout: 60_000 });
  say('one run of very many points: first curve', Date.now() - begin, '300');
  const { runs } = await server.call('POST', '/api/stepwell/runs', { experiment_ids: [of.long.experiment_id] });
  const { metrics } = await server.call('GET', `/api/stepwell/run?run_id=${runs.run_id[0]}`);
  const points = metrics.loss.count;
  const spike = Math.floor(points / 3);
  const times = [];
  let seen = true;
  for (let span = points; span > 100; span /= 10) {
    const [from, to] = [Math.max(0, Math.floor(spike - span / 2)), Math.floor(spike + span / 2)];
    const start = performance.now();
    const response = await fetch(`${server.url}/api/stepwell/plots`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ run_ids: runs.run_id, keys: ['loss'], from, to, width: 1300 }) });
    const bytes = new Uint8Array(await response.arrayBuffer());
    times.push(performance.now() - start);
    const view = new DataView(bytes.buffer);
    const length = view.getUint32(4, true);
    const { curves: [curve] } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    seen &&= new Float64Array(bytes.buffer, 8 + length + curve.y, curve.n).includes(25);
  }
  say(`${points.toLocaleString('en')} points: a step of zoom (${times.length} steps, ${times.map((t) => Math.round(t))})`, median(times), '50');
  console.log(`a spike of one point at every zoom: ${seen}`);
  await picture(page, 'billion');
  await page.context().close();
}

if (of.wide) {
  const page = await fresh({ width: 1900, height: 1250 });
  const begin = Date.now();
  await page.goto(`${server.url}/#/experiments/${of.wide.experiment_id}?tab=charts&n=100&size=s`);
  await page.waitForSelector('.panel');
  await drawn(page);
  const panels = await page.locator('.panel[data-state=drawn]').count();
  say(`100 runs × ${panels} panels, cold`, Date.now() - begin, '1500');
  await picture(page, 'hundred');
  const { runs } = await server.call('POST', '/api/stepwell/runs', { experiment_ids: [of.wide.experiment_id], max_results: 100 });
  const keys = Array.from({ length: 20 }, (_, at) => `train/metric-${String(at).padStart(2, '0')}`);
  const ask = async (since) => fetch(`${server.url}/api/stepwell/plots`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ run_ids: runs.run_id, keys, width: 200, since }) });
  const first = await ask('');
  const bytes = new Uint8Array(await first.arrayBuffer());
  const { cursor } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + new DataView(bytes.buffer).getUint32(4, true))));
  const before = cpu();
  for (let round = 0; round < 20; round++) if ((await ask(cursor)).status !== 304) throw new Error('nothing changed, so 304 is due');
  say('processor time of a refresh of 100 × 20 curves without news', (cpu() - before) / 20, '30');
  const idle = cpu();
  await page.waitForTimeout(5000);
  say('processor time of the server for an open page, 1 s', (cpu() - idle) / 5, '-');
  await page.context().close();
}
await close();
server.process.kill('SIGTERM');
process.exit(0);
