'use strict';
// The pages in a browser: `node check.cjs path/to/lifecycle path/to/node_modules [folder for screenshots]`.
//
// Starts `lifecycle dev` over a simulated company, looks at every page in light and dark, wide and at
// 360 px, without a console error, an accessibility violation or a sideways scroll, and does every action
// by its form: each has to do what it says, and to be in the journal with its author. `CHROMIUM` names
// the browser where it is not /usr/bin/chromium; with `DOCS=write` the screenshots of the README are
// made anew. Exit code 0 when all held.

const { execFileSync, spawn } = require('node:child_process');
const { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const assert = require('node:assert/strict');

const [lifecycle, modules, shots] = process.argv.slice(2);
if (!modules) {
  console.error('node check.cjs path/to/lifecycle path/to/node_modules [folder for screenshots]');
  process.exit(2);
}
const binary = path.resolve(lifecycle);
const { chromium } = require(path.resolve(modules, 'playwright-core'));
const axe = readFileSync(path.resolve(modules, 'axe-core/axe.min.js'), 'utf8');
const docs = path.resolve(__dirname, '../../docs');

const AUTHOR = 'kim@example.com';
const HOSTILE = { id: '"><svg onload=window.hit=1>', name: "<script>window.hit=1</script><img src=x onerror=window.hit=1>'" };
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };
const DATE = (days) => new Date(Date.now() + days * 864e5).toISOString().slice(0, 10);

async function company(folder) {
  const run = (...args) => execFileSync(binary, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  run('init');
  run('simulate', '--accounts', '80', '--months', '8', '--out', 'company.jsonl');
  run('import', 'company.jsonl');
  const file = path.join(folder, 'lifecycle.yaml');
  const grouped = readFileSync(file, 'utf8')
    .replace('# currency: EUR', 'currency: EUR')
    .replace('\nalerts:\n', '\nalerts:\n  group_by: [csm]\n  group_wait: 0s\n  group_interval: 5m\n  repeat_interval: 1d\n');
  writeFileSync(file, grouped);
  run('apply', '--message', 'alerts in groups', '--author', 'lee@example.com', '--yes');
  for (const name of ['score', 'evaluate', 'comply', 'evaluate', 'comply']) run('run', name);
}

async function serve(folder, ...more) {
  const dev = spawn(binary, ['dev', '--port', '0', '--json', '--author', AUTHOR, ...more], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: dev.stdout });
  const [first] = await new Promise((resolve, reject) => {
    lines.once('line', (line) => resolve([line]));
    dev.once('exit', () => reject(new Error('lifecycle dev ended')));
  });
  return { url: JSON.parse(first).listening, stop: () => dev.kill('SIGTERM'), ended: new Promise((resolve) => dev.once('exit', resolve)) };
}

async function get(url, address) {
  const answer = await fetch(url + address);
  assert.equal(answer.status, 200, `${address}: ${answer.status}`);
  return answer.json();
}

async function until(what, ready) {
  for (let tries = 0; tries < 120; tries += 1) {
    const found = await ready();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`waited in vain for ${what}`);
}

async function hostile(url) {
  const body = JSON.stringify({ batch: [
    { type: 'group', userId: 'u', groupId: HOSTILE.id, messageId: 'x1', traits: { name: HOSTILE.name, plan: 'team', mrr: 500 } },
    { type: 'track', userId: 'u', event: HOSTILE.name, messageId: 'x2', context: { groupId: HOSTILE.id } },
    { type: 'track', event: HOSTILE.name, messageId: 'x3' },
    { type: 'group', userId: 'v', groupId: 'formula', messageId: 'x4', traits: { name: '=HYPERLINK("https://evil.example")', plan: 'team', mrr: 1 } },
  ] });
  const headers = { authorization: `Basic ${Buffer.from('dev:').toString('base64')}`, 'content-type': 'application/json' };
  const answer = await fetch(`${url}/v1/batch`, { method: 'POST', headers, body });
  assert.equal((await answer.json()).accepted, 3);
  await until('the customer', async () => (await fetch(`${url}/api/customers/${encodeURIComponent(HOSTILE.id)}`)).status === 200);
}

/** A page in a browser that fails on whatever the browser complains of. */
async function opened(browser, options, complaints) {
  const context = await browser.newContext({ reducedMotion: 'reduce', timezoneId: 'Europe/Berlin', locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error}`));
  page.on('dialog', (dialog) => dialog.accept());
  return page;
}

/** What looked wrong, of every page: all of it is told at the end. */
const wrongs = [];

async function looksRight(page, name) {
  const wrong = (what) => wrongs.push(`${name}: ${what}`);
  if (await page.evaluate('window.hit')) wrong('something that was sent ran');
  const { scroll, width, culprit } = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const beyond = [...document.querySelectorAll('main *')].find((one) => one.getBoundingClientRect().right > width + 1 && !one.closest('.scroll, .drawing, pre'));
    return { width, scroll: document.documentElement.scrollWidth, culprit: beyond && beyond.outerHTML.slice(0, 200) };
  });
  if (scroll > width) wrong(`scrolls sideways: ${scroll} > ${width}: ${culprit}`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  for (const one of violations) {
    wrong(`${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')}`);
  }
}

async function shoot(page, name) {
  if (shots) await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
}

async function everyPage(browser, url, complaints, customer) {
  const pages = {
    overview: '/', 'overview-week': '/?days=7&segment=paying', customers: '/customers', nobody: '/customers?q=nobody-at-all',
    customer: `/customers/${encodeURIComponent(customer)}`, hostile: `/customers/${encodeURIComponent(HOSTILE.id)}`,
    'customers-hostile': '/customers?q=svg', journey: '/journey', alerts: '/alerts', changes: '/changes', plan: '/changes?to=1&plan=1', audit: '/audit?verify=1', report: '/audit?from=2020-01-01&to=2020-02-01&by=owner', setup: '/setup',
  };
  const looks = { light: { viewport: WIDE }, dark: { viewport: WIDE, colorScheme: 'dark' }, narrow: { viewport: NARROW, colorScheme: 'light' } };
  for (const [look, options] of Object.entries(looks)) {
    const page = await opened(browser, options, complaints);
    for (const [name, address] of Object.entries(pages)) {
      const answer = await page.goto(url + address, { waitUntil: 'networkidle' });
      assert.equal(answer.status(), 200, `${address}: ${answer.status()}`);
      await looksRight(page, `${name} (${look})`);
      await shoot(page, `${name}-${look}`);
    }
    await page.context().close();
  }
  const page = await opened(browser, { viewport: WIDE }, []);
  assert.equal((await page.goto(`${url}/nothing-here`)).status(), 404);
  await looksRight(page, 'not found');
  assert.match(await page.textContent('h1'), /nothing here/);
  await page.context().close();
  // On paper the map is there and the buttons are not.
  const paper = await opened(browser, { viewport: WIDE }, complaints);
  await paper.goto(`${url}/journey`);
  await paper.emulateMedia({ media: 'print' });
  assert.ok(await paper.isVisible('svg.journey') && !(await paper.isVisible('.top nav')));
  await paper.context().close();
}

/** Opens a form by its summary, fills it in, sends it, and sees that it says so. */
async function act(page, scope, summary, fields, button) {
  const place = page.locator(scope).first();
  if (summary) await place.locator('summary', { hasText: summary }).first().click();
  const form = summary ? place.locator('details[open] form').first() : place;
  for (const [name, value] of Object.entries(fields)) {
    const field = form.locator(`[name="${name}"]`).first();
    if (await field.evaluate((one) => one.tagName) === 'SELECT') await field.selectOption(value);
    else await field.fill(value);
  }
  await Promise.all([page.waitForNavigation(), form.getByRole('button', { name: button }).first().click()]);
  assert.ok(await page.locator('p.notice').isVisible(), `${button}: ${await page.textContent('main')}`);
}

async function actions(browser, url, complaints) {
  const page = await opened(browser, { viewport: WIDE }, complaints);
  const journal = async (id) => (await get(url, `/api/customers/${encodeURIComponent(id)}/journal?limit=50`)).items;
  const told = async (id, kind, reason) => {
    const entry = (await journal(id)).find((one) => one.kind === kind && (reason === undefined || one.reason === reason));
    assert.ok(entry, `no ${kind} entry of ${id}`);
    assert.equal(entry.author, AUTHOR, `${kind} of ${id}`);
    return entry;
  };
  const { items } = await get(url, '/api/customers?limit=1000');
  const home = (id) => `${url}/customers/${encodeURIComponent(id)}`;

  const { id: someone, stage } = items.find((one) => one.id !== HOSTILE.id);
  await page.goto(home(someone));
  const away = stage === 'adopting' ? 'renewal' : 'adopting';
  await act(page, '.acts', 'Move…', { to: away, reason: 'signed again <b>by phone</b>' }, 'Move');
  assert.equal((await told(someone, 'stage', 'signed again <b>by phone</b>')).to, away);
  assert.ok((await page.textContent('#why')).includes('signed again <b>by phone</b>'));
  await act(page, 'form[action$="/release"]', null, {}, 'Give back');
  await told(someone, 'release');
  await act(page, '.acts', 'Note…', { text: 'asked for a call in May' }, 'Save the note');
  await told(someone, 'note', 'asked for a call in May');

  const breached = await until('a finding', async () => (await get(url, '/api/findings')).items.find((one) => one.customer !== HOSTILE.id));
  await page.goto(home(breached.customer));
  const finding = `#findings li:has(form[action*="/findings/${breached.standard}/"])`;
  await act(page, finding, 'Acknowledge…', { outcome: 'useful', note: 'booked for Monday' }, 'Acknowledge');
  await told(breached.customer, 'acknowledgement', 'booked for Monday');
  await act(page, finding, 'Waive…', { reason: 'on leave', until: DATE(20) }, 'Waive');
  await told(breached.customer, 'waiver', 'on leave');
  await page.goto(`${url}/audit`);
  assert.match(await page.textContent('main'), /on leave/);
  await page.goto(home(breached.customer));
  await act(page, `form[action$="/findings/${breached.standard}/waive"]:has(input[name="_method"])`, null, {}, 'End the waiver');
  assert.equal((await get(url, '/api/waivers')).items.filter((one) => one.customer === breached.customer).length, 0);

  const task = await until('a task', async () => (await get(url, '/api/tasks')).items.find((one) => one.customer !== HOSTILE.id));
  const item = `#tasks li:has(form[action$="/tasks/${task.id}/done"])`;
  await page.goto(home(task.customer));
  await act(page, item, 'Put off…', { until: DATE(3), note: 'they are travelling' }, 'Put off');
  await told(task.customer, 'task', 'they are travelling');
  await act(page, item, 'Give to…', { to: 'sam@example.com' }, 'Give');
  assert.equal((await get(url, `/api/tasks?customer=${encodeURIComponent(task.customer)}`)).items.find((one) => one.id === task.id).owner, 'sam@example.com');
  await act(page, item, null, {}, /^Done/);
  const left = (await get(url, `/api/tasks?customer=${encodeURIComponent(task.customer)}`)).items;
  assert.ok(!left.some((one) => one.id === task.id), 'the task is still open');
  await act(page, '#tasks', 'Closed in this visit', {}, `Open again: ${task.id}`);
  const again = (await get(url, `/api/tasks?customer=${encodeURIComponent(task.customer)}`)).items;
  assert.ok(again.some((one) => one.id === task.id), 'the task is not open again');
  const listed = again.find((one) => one.id === task.id);
  if (listed.checklist.length > 0) {
    await act(page, item, null, {}, `Tick: ${listed.checklist[0].text}`);
    const ticked = (await get(url, `/api/tasks?customer=${encodeURIComponent(task.customer)}`)).items.find((one) => one.id === task.id);
    assert.ok(ticked.checklist[0].done, 'the item is not ticked');
  }

  // A form that is sent twice, as by a double click, acts once.
  await page.goto(home(someone));
  const statuses = await page.evaluate(async () => {
    const form = document.querySelector('form[action$="/notes"]');
    const body = new URLSearchParams(new FormData(form));
    body.set('text', 'sent twice');
    const send = () => fetch(form.action, { method: 'POST', body });
    return (await Promise.all([send(), send()])).map((answer) => answer.status);
  });
  assert.deepEqual(statuses, [200, 200]);
  assert.equal((await journal(someone)).filter((one) => one.reason === 'sent twice').length, 1);

  const waiting = (await get(url, '/api/customers?handoff=pending&limit=1000')).items.concat((await get(url, '/api/customers?handoff=overdue&limit=1000')).items);
  for (const { id } of waiting.filter((one) => one.id !== HOSTILE.id).slice(0, 1)) {
    await page.goto(home(id));
    await act(page, 'form[action$="/handoff/ack"]', null, {}, 'Take over (handoff)');
    await told(id, 'handoff');
  }

  const firing = await until('a group of alerts', async () => (await get(url, '/api/alerts')).items.find((one) => one.firing > 0 && !one.acknowledged));
  await page.goto(`${url}/alerts`);
  await act(page, `li:has(> details form[action="/do/alerts/${firing.id}/ack"])`, 'Acknowledge…', { reason: 'we call them today' }, 'I look after it');
  const looked = (await get(url, '/api/alerts')).items.find((one) => one.id === firing.id);
  assert.deepEqual([looked.acknowledged.author, looked.acknowledged.reason], [AUTHOR, 'we call them today']);
  assert.ok((await get(url, '/api/notifications')).items.some((one) => one.what === 'acknowledged' && one.author === AUTHOR));

  await page.goto(`${url}/alerts`);
  await act(page, '#silences', 'Silence…', { matchers: 'severity=low csm=kim@example.com', reason: 'moving office', ends_at: DATE(2) }, 'Silence');
  const silence = (await get(url, '/api/silences')).items.find((one) => one.reason === 'moving office');
  assert.equal(silence.author, AUTHOR);
  assert.deepEqual(silence.matchers.map((one) => one.label), ['severity', 'csm']);
  await act(page, `form[action="/do/silences/${silence.id}"]`, null, {}, 'End it');
  assert.equal((await get(url, '/api/silences')).items.find((one) => one.id === silence.id)?.state ?? 'over', 'over');

  await page.goto(`${url}/setup`);
  const aside = (await get(url, '/api/quarantine')).items.find((one) => one.raw.includes('onerror'));
  assert.ok((await page.textContent('#quarantine')).includes('<script>window.hit=1</script>') || aside);
  await act(page, `form[action="/do/quarantine/${aside.id}/replay"]`, null, {}, /^Take again/);
  await act(page, 'form[action="/do/quarantine/replay"]', null, {}, 'Take all of it again');
  await act(page, `form[action="/do/quarantine/${aside.id}"]`, null, {}, /^Drop/);
  assert.ok(!(await get(url, '/api/quarantine')).items.some((one) => one.id === aside.id));

  await page.goto(`${url}/changes`);
  await act(page, '.list', 'Roll back to it…', { message: 'too loud' }, 'Roll back');
  const active = await get(url, '/api/lifecycle');
  assert.deepEqual([active.version, active.author, active.message], [3, AUTHOR, 'too loud']);

  await page.goto(home(HOSTILE.id));
  await act(page, '.acts', 'Erase…', { type: 'DELETE_ONLY' }, 'Erase');
  await until('the erasure', async () => (await fetch(`${url}/api/customers/${encodeURIComponent(HOSTILE.id)}`)).status === 404);

  // What is refused says so, and does nothing.
  const foreign = await fetch(`${url}/do/customers/${encodeURIComponent(someone)}/notes`, { method: 'POST', headers: { origin: 'https://evil.example', 'content-type': 'application/x-www-form-urlencoded' }, body: 'text=hello' });
  assert.equal(foreign.status, 403);
  assert.ok(!(await journal(someone)).some((one) => one.reason === 'hello'));
  await page.context().close();
}

/** Lists are found, put in order, narrowed, kept as an address, and exported. */
async function lists(browser, url, complaints) {
  const page = await opened(browser, { viewport: WIDE }, complaints);
  await page.goto(`${url}/customers`);
  await page.locator('[name=q]').fill('svg');
  await Promise.all([page.waitForNavigation(), page.getByRole('button', { name: 'Show' }).click()]);
  assert.match(page.url(), /q=svg/);
  assert.equal(await page.locator('tbody tr').count(), 1);
  await Promise.all([page.waitForNavigation(), page.getByRole('navigation', { name: 'Views' }).getByText('Overdue tasks').click()]);
  assert.match(page.url(), /open=overdue/);
  const risky = await get(url, '/api/customers?at_risk=1&sort=revenue_at_risk&limit=1000');
  await page.goto(`${url}/customers?at_risk=1`);
  assert.equal(await page.locator('tbody tr').count(), Math.min(50, risky.items.length));
  const sheet = await (await fetch(`${url}/customers.csv`)).text();
  assert.ok(sheet.split('\r\n').every((line) => !/(^|,)[=+@-](?![\d.])/.test(line)), 'a cell is a formula');
  await page.goto(`${url}/audit`);
  await Promise.all([page.waitForNavigation(), page.getByRole('button', { name: 'Report' }).click()]);
  assert.ok((await page.locator('#report tbody tr').count()) > 0, 'no report');
  await page.context().close();
}

async function byKeyboard(browser, url, complaints) {
  const page = await opened(browser, { viewport: WIDE }, complaints);
  const focused = () => page.evaluate(() => (document.activeElement.textContent || document.activeElement.name || '').trim());
  await page.goto(url);
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to content');
  assert.ok(await page.locator('.skip').evaluate((one) => one.getBoundingClientRect().left >= 0), 'the skip link shows when it has the focus');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  const tabTo = async (wanted, most = 80) => {
    for (let at = 0; at < most; at += 1) {
      await page.keyboard.press('Tab');
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.notEqual(outline, 'none', `no visible focus on ${await focused()}`);
      if (wanted(await focused())) return;
    }
    throw new Error(`the keyboard does not get to ${wanted}`);
  };
  const first = await page.locator('table th[scope=row] a').first().textContent();
  await tabTo((text) => text === first);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  assert.match(page.url(), /\/customers\//);
  await tabTo((text) => text === 'Note…');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.type('written with the keyboard');
  await page.keyboard.press('Tab');
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  assert.match(await page.textContent('#journal'), /written with the keyboard/);
  await page.context().close();
}

/** The pictures of the README: of the sample, which has a history. */
async function forDocs(browser, folder) {
  mkdirSync(docs, { recursive: true });
  const dev = await serve(folder, '--sample');
  const page = await opened(browser, { viewport: { width: 1200, height: 860 } }, []);
  await until('the sample', async () => {
    await page.goto(dev.url);
    return (await page.locator('.tiles').count()) > 0;
  });
  const customer = await page.locator('table th[scope=row] a').first().getAttribute('href');
  for (const [name, address] of [['overview', '/'], ['customer', customer], ['journey', '/journey']]) {
    await page.goto(dev.url + address, { waitUntil: 'networkidle' });
    await page.screenshot({ path: path.join(docs, `${name}.png`) });
  }
  await page.context().close();
  dev.stop();
  await dev.ended;
}

(async () => {
  if (shots) mkdirSync(shots, { recursive: true });
  const folder = mkdtempSync(path.join(tmpdir(), 'pages-'));
  await company(folder);
  const dev = await serve(folder);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const complaints = [];
  try {
    await hostile(dev.url);
    const page = await opened(browser, {}, complaints);
    await until('the picture', async () => {
      await page.goto(dev.url);
      return (await page.locator('.tiles').count()) > 0;
    });
    const customer = await page.locator('table th[scope=row] a').first().getAttribute('href');
    const id = decodeURIComponent(customer.split('/').pop());
    if (process.env.DOCS === 'write') await forDocs(browser, folder);
    await everyPage(browser, dev.url, complaints, id);
    await lists(browser, dev.url, complaints);
    await byKeyboard(browser, dev.url, complaints);
    await actions(browser, dev.url, complaints);
    assert.deepEqual([...new Set(complaints), ...wrongs], []);
    console.log('pages: every page looks right and every action does what it says');
  } finally {
    await browser.close();
    dev.stop();
    await dev.ended;
    rmSync(folder, { recursive: true, force: true });
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
