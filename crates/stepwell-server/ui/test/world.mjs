// A server of its own for the tests, things logged into it, and a browser that notes all that goes wrong.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.STEPWELL_CHROMIUM ?? '/usr/bin/chromium';
export const BINARY = process.env.STEPWELL_BIN ?? new URL('../../../../target/debug/stepwell', import.meta.url).pathname;
// While the page is worked on: a folder of a build that is newer than the server's.
const DIST = process.env.STEPWELL_PAGE_DIST ? resolve(process.env.STEPWELL_PAGE_DIST) : '';
const PICTURES = process.env.STEPWELL_PAGE_PICTURES ?? '';

/** Why the suite cannot run here, or ''. */
export function lacking() {
  if (!existsSync(CHROMIUM)) return `there is no Chromium at ${CHROMIUM}: \`apt-get install chromium\`, or set STEPWELL_CHROMIUM`;
  if (!existsSync(BINARY)) return `there is no ${BINARY}: \`cargo build --workspace\`, or set STEPWELL_BIN`;
  return '';
}

/** A server on a workspace, and its REST API. */
export class Server {
  static async start(folder = mkdtempSync(join(tmpdir(), 'stepwell-page-')), options = []) {
    const server = new Server();
    server.folder = folder;
    server.process = spawn(BINARY, ['-w', join(folder, 'w'), '--json', 'serve', '--port', '0', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
    server.log = '';
    server.process.stderr.on('data', (text) => { server.log += text; });
    server.url = await new Promise((done, failed) => {
      let text = '';
      server.process.stdout.on('data', (more) => {
        text += more;
        if (text.includes('\n')) done(JSON.parse(text.split('\n')[0]).url);
      });
      server.process.on('exit', () => failed(new Error(`the server ended: ${server.log}`)));
    });
    return server;
  }

  /** A command on the server's workspace; what it prints. */
  command(...words) {
    return execFileSync(BINARY, ['-w', join(this.folder, 'w'), ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 26 });
  }

  /** The same workspace, served anew with other options. */
  async restart(options) {
    const ended = new Promise((done) => this.process.on('exit', done));
    this.process.kill('SIGTERM');
    await ended;
    return Server.start(this.folder, options);
  }

  async call(method, path, body, headers = {}) {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : {};
  }

  post(path, body) { return this.call('POST', `/api/2.0/mlflow/${path}`, body); }

  async experiment(name) { return (await this.post('experiments/create', { name })).experiment_id; }

  /** A run with params, tags and curves; each curve is a list of values or of [step, value]. */
  async run(experiment, name, { params = {}, tags = {}, curves = {}, status = 'FINISHED', start = Date.now() - 600_000 } = {}) {
    const made = await this.post('runs/create', { experiment_id: experiment, run_name: name, start_time: start, tags: Object.entries(tags).map(([key, value]) => ({ key, value })) });
    const id = made.run.info.run_id;
    const metrics = Object.entries(curves).flatMap(([key, values]) => values.map((value, at) => {
      const [step, y] = Array.isArray(value) ? value : [at, value];
      return { key, value: y, step, timestamp: start + step * 1000 };
    }));
    for (let at = 0; at < metrics.length; at += 900) await this.post('runs/log-batch', { run_id: id, metrics: metrics.slice(at, at + 900) });
    const list = Object.entries(params).map(([key, value]) => ({ key, value: String(value) }));
    if (list.length > 0) await this.post('runs/log-batch', { run_id: id, params: list });
    if (status !== 'RUNNING') await this.post('runs/update', { run_id: id, status, end_time: start + 500_000 });
    return id;
  }

  async file(experiment, run, path, content) {
    const response = await fetch(`${this.url}/api/2.0/mlflow-artifacts/artifacts/${experiment}/${run}/artifacts/${path.split('/').map(encodeURIComponent).join('/')}`, { method: 'PUT', body: content });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  }

  async stop() {
    const ended = new Promise((done) => this.process.on('exit', done));
    this.process.kill('SIGTERM');
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let browser = null;

export async function launch() {
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  return browser;
}

export async function close() {
  await browser?.close();
  browser = null;
}

/** A page that notes errors of the console, refused requests, and requests that leave the machine. */
export async function open(server, hash = '', options = {}) {
  const context = await (await launch()).newContext({ viewport: { width: 1360, height: 860 }, acceptDownloads: true, ...options });
  if (DIST) await context.route(`${server.url}/**`, (route) => local(server, route));
  const page = await context.newPage();
  page.wrong = [];
  page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') page.wrong.push(message.text()); });
  page.on('pageerror', (error) => page.wrong.push(String(error)));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(server.url) && !/^(data|blob):/.test(url)) page.wrong.push(`a request to ${url}`);
  });
  await page.goto(`${server.url}/${hash}`);
  return page;
}

const KINDS = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

/** The page's own files from `dist`, under the policy of the server, so that it need not be built anew. */
async function local(server, route) {
  const path = new URL(route.request().url()).pathname;
  const name = path === '/' || path === '/stepwell' ? 'index.html' : path.startsWith('/page/') ? path.slice(1) : '';
  if (!name || !existsSync(join(DIST, name))) return route.continue();
  policy ??= (await fetch(`${server.url}/stepwell`)).headers.get('content-security-policy');
  return route.fulfill({ path: join(DIST, name), contentType: KINDS[name.split('.').pop()], headers: { 'content-security-policy': policy } });
}

let policy = null;

/** Fails if anything went wrong on a page, and closes it. */
export async function done(page, allowed = []) {
  const hacked = await page.evaluate(() => window.hacked ?? null);
  await page.context().close();
  const wrong = page.wrong.filter((text) => !allowed.some((pattern) => pattern.test(text)));
  if (hacked !== null) throw new Error(`a name or a file ran as code: ${hacked}`);
  if (wrong.length > 0) throw new Error(`the console is not free of errors:\n${wrong.join('\n')}`);
}

export async function picture(page, name) {
  if (!PICTURES) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

const AXE = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** Serious findings of axe-core on what is shown now. */
export async function findings(page) {
  // Through the debugger's own door, which the page's policy does not close.
  await page.evaluate(AXE);
  const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return result.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} (${node.failureSummary?.split('\n')[1] ?? ''})`).join(' | ')}`);
}

/** Waits until all charts that are seen are drawn. */
export async function drawn(page) {
  await page.waitForFunction(() => {
    const panels = [...document.querySelectorAll('.panel')].filter((panel) => {
      const box = panel.getBoundingClientRect();
      return box.top < innerHeight && box.bottom > 0;
    });
    return panels.length > 0 && panels.every((panel) => panel.dataset.state === 'drawn' && panel.getAttribute('aria-busy') === 'false');
  }, null, { timeout: 20_000 });
}

/** How many pixels of a chart's picture are painted in colour. */
export function ink(page, label) {
  return page.evaluate((label) => {
    const canvas = document.querySelector(`.panel[aria-label=${JSON.stringify(label)}] canvas.picture`);
    if (!canvas) return 0;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let painted = 0;
    for (let at = 0; at < data.length; at += 4) {
      const [r, g, b] = [data[at], data[at + 1], data[at + 2]];
      if (data[at + 3] > 60 && Math.max(r, g, b) - Math.min(r, g, b) > 40) painted += 1;
    }
    return painted;
  }, label);
}
