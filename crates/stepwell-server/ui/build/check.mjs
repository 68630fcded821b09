// Compresses what was built, and holds it against the rules: its size, nothing inline, no address elsewhere.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const KIB_MAX = 250;
const dist = fileURLToPath(new URL('../dist/', import.meta.url));

function files(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return files(path);
    return name.startsWith('.') || name.endsWith('.gz') ? [] : [path];
  });
}

// What is shipped of others, with the words that their licences ask for.
const shipped = Object.keys(JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).dependencies);
const licences = shipped.map((name) => {
  const { version, license } = JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8'));
  return `${name} ${version} (${license})\n\n${readFileSync(new URL(`../node_modules/${name}/LICENSE`, import.meta.url), 'utf8')}`;
});
writeFileSync(join(dist, 'page/licences.txt'), `This page contains:\n\n${licences.join('\n\n')}`);

let total = 0;
for (const path of files(dist)) {
  const text = readFileSync(path);
  const packed = gzipSync(text, { level: 9 });
  total += packed.length;
  writeFileSync(`${path}.gz`, packed);
  const source = text.toString('utf8');
  if (path.endsWith('licences.txt')) continue;
  const elsewhere = source.match(/https?:\/\/(?!www\.w3\.org\/|127\.0\.0\.1|HOST)[a-z0-9.-]+/g) ?? [];
  if (elsewhere.length > 0) throw new Error(`${relative(dist, path)} names other machines: ${[...new Set(elsewhere)]}`);
  if (path.endsWith('.html') && /<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|style=/.test(source)) {
    throw new Error(`${relative(dist, path)} has code or style inline`);
  }
  if (path.endsWith('.js') && /\beval\(|new Function\(/.test(source)) throw new Error(`${path} runs text as code`);
}
const kib = (total / 1024).toFixed(1);
console.log(`the page: ${kib} KiB compressed, of ${KIB_MAX}`);
if (total > KIB_MAX * 1024) throw new Error(`the page has ${kib} KiB, over ${KIB_MAX}`);
