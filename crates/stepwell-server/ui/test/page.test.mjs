// The page in a browser, against the real server: what people do, one test each.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { close, done, drawn, findings, ink, lacking, open, picture, Server } from './world.mjs';

const why = lacking();
if (why) {
  console.error(`\n*** the page's tests FAIL: ${why}\n`);
  process.exit(1);
}

let server, empty, experiment, runs;

const curve = (points, start, end, noise = 0) => Array.from({ length: points }, (_, at) => {
  const share = at / Math.max(1, points - 1);
  return end + (start - end) * Math.exp(-4 * share) + noise * Math.sin(at * 12.9898) * Math.cos(at * 78.233);
});

before(async () => {
  [server, empty] = await Promise.all([Server.start(), Server.start()]);
  experiment = await server.experiment('vision');
  runs = {};
  for (const [at, lr] of [0.1, 0.03, 0.01, 0.003].entries()) {
    for (const seed of [1, 2, 3]) {
      const loss = curve(400, 2.4, 0.2 + at * 0.1 + seed * 0.02, 0.06);
      if (lr === 0.1 && seed === 3) { loss[250] = 41; loss[251] = 'NaN'; loss[252] = 'Infinity'; }
      runs[`lr${lr}-s${seed}`] = await server.run(experiment, `lr${lr}-s${seed}`, {
        params: { lr, seed, optimizer: at % 2 ? 'sgd' : 'adam', batch: 64 },
        tags: { team: at % 2 ? 'nlp' : 'vision' },
        curves: {
          'train/loss': loss, 'train/accuracy': curve(400, 0.1, 0.9 - at * 0.1, 0.01), 'val/loss': curve(20, 2.4, 0.3 + at * 0.1).map((y, k) => [k * 20, y]),
          lr: curve(400, lr, lr / 10), 'final/score': [0.9 - at * 0.1 - seed * 0.01], 'system/cpu_utilization_percentage': curve(50, 20, 60, 4),
        },
      });
    }
  }
});

after(async () => {
  await close();
  await Promise.all([server.stop(), empty.stop()]);
});

const table = () => `#/experiments/${experiment}`;
const names = (page) => page.locator('.rows .row .cell.name a').allTextContents();

test('an empty workspace says what to type', async () => {
  const page = await open(empty);
  await page.getByRole('heading', { name: 'No runs yet' }).waitFor();
  assert.match(await page.locator('.command').first().textContent(), /mlflow\.set_tracking_uri\("http:\/\/127\.0\.0\.1:\d+"\)/);
  await picture(page, 'empty-light');
  assert.deepEqual(await findings(page), []);
  await done(page);
});

test('the table sorts, filters, explains mistakes and lives in the address', async () => {
  const page = await open(server, table());
  await page.locator('.rows .row .cell.name a').nth(11).waitFor();
  await page.locator('.spark').first().waitFor();
  await page.waitForTimeout(600);
  await picture(page, 'table-light');
  assert.deepEqual(await findings(page), []);
  await page.locator('.head-title', { hasText: 'final/score' }).first().click();
  await page.waitForURL(/sort=/);
  await page.waitForFunction(() => document.querySelector('.rows .row .cell.name a')?.textContent === 'lr0.1-s1');
  const box = page.getByRole('combobox', { name: 'Filter runs' });
  await box.fill("params.lr = '0.03'");
  await page.waitForFunction(() => document.querySelectorAll('.rows .row .cell.name a').length === 3);
  assert.ok((await names(page)).every((name) => name.startsWith('lr0.03')));
  await box.fill("params.lr = '0.03' AND");
  const alert = page.locator('.filter .mistake');
  await alert.waitFor();
  assert.match(await alert.textContent(), /Column 23: the text ends/);
  assert.equal((await names(page)).length, 3, 'the rows of the last good filter stay');
  await picture(page, 'filter-mistake');
  await box.fill('lr0.01');
  await page.waitForFunction(() => [...document.querySelectorAll('.rows .row .cell.name a')].every((a) => a.textContent.includes('lr0.01')) && document.querySelectorAll('.rows .row .cell.name a').length === 3);
  const address = page.url();
  await page.goto('about:blank');
  await page.goto(address);
  await page.waitForFunction(() => document.querySelectorAll('.rows .row .cell.name a').length === 3);
  await done(page);
});

test('the filter box completes keys, operators and values', async () => {
  const page = await open(server, table());
  await page.locator('.rows .row .cell.name a').first().waitFor();
  const box = page.getByRole('combobox', { name: 'Filter runs' });
  await box.click();
  await box.pressSequentially('optim');
  await page.getByRole('option', { name: 'params.optimizer' }).waitFor();
  await picture(page, 'completion');
  await box.press('ArrowDown');
  await box.press('Enter');
  assert.equal(await box.inputValue(), 'params.optimizer ');
  await box.pressSequentially('= ');
  await page.getByRole('option', { name: /'adam'/ }).waitFor();
  await box.press('ArrowDown');
  await box.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.rows .row .cell.name a').length === 6);
  await done(page);
});

test('runs are grouped, pinned and hidden', async () => {
  const page = await open(server, table());
  await page.locator('.rows .row .cell.name a').first().waitFor();
  await page.getByRole('button', { name: 'Group' }).click();
  await page.getByRole('button', { name: 'params.optimizer' }).click();
  const groups = page.locator('.group-title');
  await groups.nth(1).waitFor();
  assert.match(await groups.first().textContent(), /optimizer adam 6/);
  await groups.first().click();
  await page.waitForFunction(() => document.querySelectorAll('.rows .row .cell.name a').length === 6);
  await picture(page, 'groups');
  await page.goto(`${server.url}/${table()}?pin=${runs['lr0.003-s2']}`);
  await page.waitForFunction(() => document.querySelector('.pins .row .cell.name a')?.textContent === 'lr0.003-s2');
  const first = page.locator('.rows .row').first();
  await first.hover();
  await first.getByRole('button', { name: /^Hide/ }).click();
  await page.waitForURL(/hide=/);
  await done(page);
});

test('charts zoom together, go back, smooth, group and are found by typing', async () => {
  const page = await open(server, `${table()}?tab=charts`);
  await drawn(page);
  await page.waitForTimeout(300);
  await picture(page, 'charts-light');
  assert.ok(await ink(page, 'train/loss') > 500);
  assert.equal(await page.locator('.panel[aria-label="final/score"] .bars li').count(), 12, 'single values are bars');
  assert.deepEqual(await findings(page), []);
  const over = page.locator('.panel[aria-label="train/accuracy"] canvas.over');
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 60);
  await page.locator('.tip').waitFor();
  assert.match(await page.locator('.tip').textContent(), /step \d+/);
  await picture(page, 'charts-hover');
  await page.mouse.move(box.x + box.width * 0.4, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.7, box.y + 70, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/zoom=/);
  const zoom = new URL(page.url().replace('#', '')).searchParams.get('zoom').split('..').map(Number);
  assert.ok(zoom[0] > 80 && zoom[1] < 330 && zoom[1] > zoom[0], `zoomed to ${zoom}`);
  await drawn(page);
  await page.mouse.dblclick(box.x + box.width * 0.5, box.y + 60);
  await page.waitForFunction(() => !location.hash.includes('zoom='));
  await page.getByLabel('Group', { exact: true }).selectOption({ label: 'params.lr' });
  await drawn(page);
  await page.waitForTimeout(300);
  await picture(page, 'charts-bands');
  await page.getByRole('searchbox', { name: 'Find metrics' }).fill('val|accuracy');
  await page.waitForFunction(() => document.querySelectorAll('.panel').length === 2);
  await page.goto(`${server.url}/${table()}?tab=charts&smooth=0.8&logy=1&n=100`);
  await drawn(page);
  await picture(page, 'charts-smooth-log');
  await page.goto(`${server.url}/${table()}?tab=charts&x=relative`);
  await drawn(page);
  await page.goto(`${server.url}/${table()}?tab=charts&x=metric:train/loss`);
  await drawn(page);
  assert.ok(await ink(page, 'train/accuracy') > 300);
  await done(page);
});

test('a chart is shown large and taken along as PNG, SVG, CSV and link', async () => {
  const page = await open(server, `${table()}?tab=charts&panel=train/loss`);
  const dialog = page.getByRole('dialog', { name: 'train/loss' });
  await dialog.waitFor();
  await dialog.locator('tbody tr').nth(11).waitFor();
  await page.waitForTimeout(400);
  await picture(page, 'large');
  for (const [button, start] of [['PNG', '\x89PNG'], ['SVG', '<svg'], ['CSV', 'run,key,step,time,value']]) {
    const [download] = await Promise.all([page.waitForEvent('download'), dialog.getByText(button, { exact: true }).click()]);
    const stream = await download.createReadStream();
    const parts = [];
    for await (const part of stream) parts.push(part);
    const content = Buffer.concat(parts).toString('latin1');
    assert.ok(content.startsWith(start), `${button}: ${content.slice(0, 40)}`);
    if (button === 'CSV') assert.equal(content.split('\n').length, 12 * 400 + 2);
  }
  assert.deepEqual(await findings(page), []);
  await done(page);
});

test('new points appear by themselves', async () => {
  const live = await server.run(experiment, 'live', { status: 'RUNNING', curves: { 'live/loss': [3, 2] } });
  const page = await open(server, `#/experiments/${experiment}/runs/${live}?tab=charts`);
  await drawn(page);
  const asked = page.waitForResponse((response) => response.url().endsWith('/api/stepwell/plots'), { timeout: 15_000 });
  await page.waitForFunction(() => document.querySelector('.connection')?.textContent === 'Live');
  await server.post('runs/log-batch', { run_id: live, metrics: [1, 0.5, 0.2].map((value, at) => ({ key: 'live/loss', value, step: at + 2, timestamp: Date.now() })) });
  await asked;
  await page.goto(`${server.url}/#/experiments/${experiment}/runs/${live}`);
  await page.waitForFunction(() => [...document.querySelectorAll('.metrics .number')].some((cell) => cell.textContent === '5'));
  await server.post('runs/update', { run_id: live, status: 'FINISHED', end_time: Date.now() });
  await page.waitForFunction(() => document.querySelector('.run-title .status')?.textContent === 'Finished', null, { timeout: 15_000 });
  await done(page);
});

const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC', 'base64');

test('a run shows what it is, is edited in place, and shows its files', async () => {
  const id = runs['lr0.1-s3'];
  const of = [experiment, id];
  await server.file(...of, 'notes/readme.txt', 'first line\nsecond line');
  await server.file(...of, 'table.csv', 'step,name\n1,"a, b"\n2,<script>window.hacked=1</script>\n');
  await server.file(...of, 'data.json', JSON.stringify({ a: [1, 2, { b: '<img src=x onerror=window.hacked=2>' }] }));
  await server.file(...of, 'picture.png', PNG);
  await server.file(...of, 'report.html', '<h1>Report</h1><script>parent.hacked=3</script><img src=x onerror="parent.hacked=4">');
  await server.file(...of, 'evil.svg', '<svg xmlns="http://www.w3.org/2000/svg" onload="window.hacked=5"><script>window.hacked=6</script><circle r="9"/></svg>');
  const page = await open(server, `#/experiments/${experiment}/runs/${id}`);
  await page.getByRole('row', { name: /train\/loss/ }).waitFor();
  assert.match(await page.getByRole('row', { name: /train\/loss/ }).textContent(), /1 NaN.*1 ∞/);
  await page.waitForTimeout(500);
  await picture(page, 'run-light');
  assert.deepEqual(await findings(page), []);
  await page.getByRole('button', { name: /^Edit notes/ }).click();
  await page.getByRole('textbox', { name: 'notes' }).fill('It exploded at step 250.');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Edit notes: It exploded at step 250.' }).waitFor();
  await page.getByLabel('Key of the new tag').fill('reviewed');
  await page.getByLabel('Value of the new tag').fill('yes');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('button', { name: 'Edit tag reviewed: yes' }).waitFor();
  const got = await server.call('GET', `/api/2.0/mlflow/runs/get?run_id=${id}`);
  assert.ok(got.run.data.tags.some(({ key, value }) => key === 'reviewed' && value === 'yes'));
  await page.getByRole('tab', { name: 'Artifacts' }).click();
  const show = async (name) => page.locator('.tree').getByRole('button', { name }).click();
  await show('notes');
  await show(/readme\.txt/);
  await page.locator('pre.text', { hasText: 'second line' }).waitFor();
  await show(/table\.csv/);
  await page.locator('.sheet td', { hasText: 'a, b' }).waitFor();
  await show(/data\.json/);
  await page.locator('.json-key', { hasText: 'a' }).first().waitFor();
  await show(/picture\.png/);
  await page.waitForFunction(() => document.querySelector('.viewer img')?.naturalWidth === 10);
  await picture(page, 'artifacts');
  await show(/evil\.svg/);
  await page.waitForFunction(() => document.querySelector('.viewer img')?.complete);
  await show(/report\.html/);
  await page.locator('iframe').waitFor();
  await page.frameLocator('iframe').getByRole('heading', { name: 'Report' }).waitFor();
  await page.waitForTimeout(300);
  assert.deepEqual(await findings(page), []);
  // The sandbox tells that it held.
  await done(page, [/sandboxed/, /Content Security Policy/, /ERR_/, /404/, /CORS policy/]);
});

test('two runs are compared', async () => {
  const page = await open(server, table());
  await page.locator('.rows .row .cell.name a').first().waitFor();
  await page.getByRole('checkbox', { name: 'Select lr0.1-s1' }).check();
  await page.getByRole('checkbox', { name: 'Select lr0.03-s1' }).check();
  await page.getByRole('link', { name: 'Compare' }).click();
  await page.getByRole('heading', { name: 'Compare 2 runs' }).waitFor();
  const rows = await page.locator('.diff tbody tr th[scope=row]').allTextContents();
  assert.ok(rows.includes('lr') && rows.includes('optimizer') && !rows.includes('batch'), rows.join());
  await picture(page, 'compare');
  assert.deepEqual(await findings(page), []);
  await done(page);
});

test('experiments and models are there', async () => {
  await server.post('registered-models/create', { name: 'detector' });
  await server.post('model-versions/create', { name: 'detector', source: `runs:/${runs['lr0.1-s1']}/model`, run_id: runs['lr0.1-s1'] });
  await server.call('POST', '/api/2.0/mlflow/registered-models/alias', { name: 'detector', alias: 'champion', version: '1' });
  const page = await open(server, '#/models');
  await page.getByRole('link', { name: 'detector' }).click();
  await page.getByText('@champion').waitFor();
  await page.getByLabel('Stage of version 1').selectOption('Production');
  await page.waitForFunction(() => document.querySelector('select[aria-label="Stage of version 1"]')?.value === 'Production');
  await picture(page, 'model');
  assert.deepEqual(await findings(page), []);
  await page.locator('td.mono a').click();
  await page.getByRole('button', { name: /Edit name of the run: lr0.1-s1/ }).waitFor();
  await page.goto(`${server.url}/#/experiments`);
  await page.getByLabel('Name of the new experiment').fill('speech');
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('link', { name: 'speech' }).waitFor();
  await picture(page, 'experiments');
  assert.deepEqual(await findings(page), []);
  await page.getByRole('button', { name: 'Delete speech' }).click();
  await page.waitForFunction(() => ![...document.querySelectorAll('td.strong a')].some((a) => a.textContent === 'speech'));
  await page.getByRole('button', { name: 'deleted (1)' }).click();
  await page.getByRole('button', { name: 'Restore' }).click();
  await page.waitForFunction(() => document.querySelector('.toggle')?.textContent === 'deleted (0)');
  await done(page);
});

test('hostile names are text, and nothing but text', async () => {
  const evil = '"><img src=x onerror=window.hacked=7><script>window.hacked=8</script>';
  const id = await server.experiment(`x ${evil}`);
  const run = await server.run(id, evil, { params: { [`p ${'<b>'}`.replace(/[<>]/g, '_')]: evil, plain: 'javascript:window.hacked=9' }, tags: { t: evil, 'mlflow.source.name': evil, 'mlflow.note.content': evil }, curves: { 'm/a b_c': [1, 2, 3] } });
  await server.file(id, run, 'a <img src=x onerror=window.hacked=10>.txt', evil);
  const page = await open(server, `#/experiments/${id}`);
  await page.locator('.rows .row .cell.name a').first().waitFor();
  await page.goto(`${server.url}/#/experiments/${id}?tab=charts&group=${encodeURIComponent('tags.`t`')}`);
  await drawn(page);
  await page.goto(`${server.url}/#/experiments/${id}/runs/${run}`);
  await page.locator('.run-title').waitFor();
  await page.goto(`${server.url}/#/experiments/${id}/runs/${run}?tab=artifacts`);
  await page.locator('.tree button').first().click();
  await page.locator('pre.text').waitFor();
  await page.goto(`${server.url}/#/experiments/${id}?q=${encodeURIComponent(evil)}&cols=${encodeURIComponent(evil)}&sort=${encodeURIComponent(evil)}&zoom=x..y&n=-5&pin=${encodeURIComponent("' OR 1")}`);
  await page.waitForTimeout(600);
  await page.goto(`${server.url}/#/compare?runs=${run}`);
  await page.getByRole('heading', { name: 'Compare 1 runs' }).waitFor();
  await done(page, [/status of 400/]);
});

test('dark, narrow and wide', async () => {
  for (const [name, viewport, scheme] of [['narrow', { width: 360, height: 740 }, 'light'], ['dark', { width: 1360, height: 860 }, 'dark'], ['wide', { width: 2560, height: 1300 }, 'light']]) {
    const page = await open(server, table(), { viewport, colorScheme: scheme });
    await page.locator('.rows .row .cell.name a').first().waitFor();
    await page.waitForTimeout(500);
    await picture(page, `table-${name}`);
    assert.deepEqual(await findings(page), [], name);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1), `${name}: nothing stands out at the side`);
    await page.goto(`${server.url}/${table()}?tab=charts`);
    await drawn(page);
    await page.waitForTimeout(200);
    await picture(page, `charts-${name}`);
    assert.deepEqual(await findings(page), [], `${name} charts`);
    await page.goto(`${server.url}/#/experiments/${experiment}/runs/${runs['lr0.1-s3']}`);
    await page.getByRole('row', { name: /train\/loss/ }).waitFor();
    await page.waitForTimeout(400);
    await picture(page, `run-${name}`);
    assert.deepEqual(await findings(page), [], `${name} run`);
    await done(page);
  }
});

test('keys do what the help says', async () => {
  const page = await open(server, table());
  await page.locator('.rows .row .cell.name a').first().waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys and hints' }).waitFor();
  assert.deepEqual(await findings(page), []);
  await page.keyboard.press('Escape');
  await page.keyboard.press('c');
  await page.waitForURL(/tab=charts/);
  await drawn(page);
  await page.locator('.panel[aria-label="train/loss"] canvas.over').focus();
  await page.keyboard.press('ArrowRight');
  await page.locator('.tip').waitFor();
  await page.keyboard.press('+');
  await page.waitForURL(/zoom=/);
  await page.keyboard.press('0');
  await page.waitForFunction(() => !location.hash.includes('zoom='));
  await page.locator('h2 .section-title').first().focus();
  await page.keyboard.press('m');
  await page.waitForURL(/#\/models/);
  await page.keyboard.press('t');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  await done(page);
});

test('a policy without inline code or eval, and nothing from elsewhere', async () => {
  const response = await fetch(`${server.url}/stepwell`);
  const policy = response.headers.get('content-security-policy');
  assert.ok(policy && !/unsafe|\*|https?:/.test(policy), policy);
  const page = await response.text();
  assert.ok(!/<script(?![^>]*src=)/.test(page));
  const script = /page\/assets\/index-[\w-]+\.js/.exec(page)[0];
  const packed = await fetch(`${server.url}/${script}`);
  assert.equal(packed.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  assert.equal((await fetch(`${server.url}/page/..%2fCargo.toml`)).status, 404);
});

test('a token for one experiment shows that alone', async () => {
  let own = await Server.start();
  const [mine, other] = [await own.experiment('mine'), await own.experiment('other')];
  await own.run(mine, 'my-run', { curves: { loss: [3, 2, 1] }, params: { a: 1 } });
  await own.run(other, 'other-run', { curves: { secret: [1, 2] } });
  own = await own.restart(['--auth']);
  const token = /stw_[\w-]+/.exec(own.command('token', 'create', '--role', 'read', '--experiment', mine))[0];
  const page = await open(own, '', { httpCredentials: { username: 'me', password: token } });
  await page.waitForFunction(() => document.querySelectorAll('.rows .row .cell.name a').length === 1);
  assert.deepEqual(await names(page), ['my-run']);
  await page.getByRole('tab', { name: 'Charts' }).click();
  await drawn(page);
  assert.equal(await page.locator('.panel').count(), 1);
  assert.ok(!(await page.content()).includes('secret'));
  await page.getByRole('link', { name: 'my-run' }).click();
  await page.getByRole('button', { name: /^Edit notes/ }).click();
  await page.getByRole('textbox', { name: 'notes' }).fill('no');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('.editing .mistake').waitFor();
  assert.match(await page.locator('.editing .mistake').textContent(), /token does not allow/);
  await done(page, [/status of 40[13]/]);
  await own.stop();
});

const REAL = process.env.STEPWELL_REAL_LOGS ?? '';
if (!REAL) console.error('\n*** STEPWELL_REAL_LOGS is not set, so the page was not tried with real logs\n');

test('real logs', { skip: !REAL && 'STEPWELL_REAL_LOGS is not set' }, async () => {
  const own = await Server.start();
  const files = readdirSync(join(REAL, 'parquet')).filter((name) => name.endsWith('.parquet')).sort();
  for (const file of files) own.command('import', '--experiment', file.replace('.parquet', ''), join(REAL, 'parquet', file));
  const { experiments } = await own.call('GET', '/api/stepwell/overview');
  assert.equal(experiments.filter((one) => one.runs > 0).length, files.length);
  const page = await open(own);
  for (const { experiment_id, name, runs } of experiments.filter((one) => one.runs > 0)) {
    await page.goto(`${own.url}/#/experiments/${experiment_id}`);
    await page.waitForFunction((runs) => document.querySelector('.filter-total')?.textContent === runs.toLocaleString('en'), runs);
    await page.locator('.rows .row .cell.name a').first().waitFor();
    await page.waitForTimeout(500);
    await picture(page, `real-${name}-table`);
    await page.goto(`${own.url}/#/experiments/${experiment_id}?tab=charts&n=100`);
    await drawn(page);
    await page.waitForTimeout(200);
    await picture(page, `real-${name}`);
    assert.deepEqual(await findings(page), [], name);
  }
  await done(page);
  await own.stop();
});
