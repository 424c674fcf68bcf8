// The table of a screener. The kernel sends figures, this page formats, sorts and filters them.
// The grid is DataTables, which comes from the kernel once per page.
const SORT_EVERY = 1000;  // ms between two orders of the rows, at least: rows that jump cannot be read
const STALE_AFTER = 15;  // s
const grid = (globalThis.__kucoinGrid ??= {made: null, arrived: null, isThere: false, asked: 0});

const signed = (value, decimals) => (value > 0 ? '+' : value < 0 ? '−' : '') + Math.abs(value).toFixed(decimals);
function compact(value) {
  const size = Math.abs(value);
  for (const [limit, unit] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (size >= limit) return `${(value / limit).toFixed(value / limit < 100 ? 2 : 1)} ${unit}`;
  }
  return value.toFixed(size < 10 ? 2 : 0);
}
function price(value, step) {
  if (!(step > 0)) return String(Number(value.toPrecision(7)));
  return value.toFixed(Math.max(0, Math.min(12, Math.round(-Math.log10(step) + 0.49))));
}
function span(seconds) {
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

// Name of the figure, title, tip, text of a value, the value that is shown where it is another one, and
// a key with the same order that stays as it is while time goes by.
const COLUMNS = [
  ['last_price', 'last', 'last price, quote currency', (v, row) => price(v, row('tick_size'))],
  ['price_change_pct', '24 h %', 'change of the last price over 24 hours', (v) => signed(v, 2), (v) => v * 100],
  ['turnover', 'turnover', 'turnover of 24 hours, quote currency', compact],
  ['volume', 'volume', 'volume of 24 hours, base coins', compact],
  ['spread_bps', 'spread bp', 'best ask less best bid, in 1/10,000 of the mid', (v) => v.toFixed(2)],
  ['imbalance', 'imbalance', 'difference of the best sizes over their sum: 1 is bids only, −1 is asks only', (v) => signed(v, 2)],
  ['funding_rate', 'funding %', 'estimate for the coming settlement; longs pay shorts where it is positive', (v) => signed(v, 4), (v) => v * 100],
  ['funding_in_s', 'funding in', 'time to the settlement', (v) => span(Math.max(0, v)), (v, row, now) => v - (now - row('facts_time')) / 1e3,
    (v, row) => v + row('facts_time') / 1e3],
  ['basis_bps', 'basis bp', 'mark price over index, in 1/10,000', (v) => signed(v, 1)],
  ['open_interest_value', 'open interest', 'open interest, quote currency, at the mark price', compact],
  ['price_time', 'age', 'time since the prices of the row arrived', (v) => span(Math.max(0, v)), (v, row, now) => (now - v) / 1e3, (v) => -v],
];
const COLOURED = new Set(['price_change_pct', 'funding_rate', 'basis_bps', 'imbalance']);
const TICKING = new Set(['funding_in_s', 'price_time']);

function element(tag, name, ...inside) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

async function unpackedCode(buffer) {
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream('gzip'));
  const url = URL.createObjectURL(new Blob([await new Response(stream).blob()], {type: 'text/javascript'}));
  try { return await import(url); } finally { URL.revokeObjectURL(url); }
}

// The table that has asked may be closed before the answer comes, so each one that waits asks again.
function loadGrid(send) {
  grid.made ??= new Promise((resolve) => { grid.arrived = resolve; }).then(unpackedCode)
    .then((code) => { grid.isThere = true; return code.default; });
  const ask = () => {
    if (grid.isThere || Date.now() - grid.asked < 9000) return;
    grid.asked = Date.now();
    send({kind: 'grid'});
  };
  ask();
  const timer = setInterval(ask, 1000);
  grid.made.finally(() => clearInterval(timer));
  return {made: grid.made, leave: () => clearInterval(timer)};
}

// The figures of a model, as its views share them.
function openStore(model) {
  const store = {symbols: [], names: [], at: new Map(), figures: new Float64Array(0), version: 0,
    seq: 0, line: '', wrong: false, views: new Set(), heard: 0, lead: Infinity};
  store.link = lineTo(model, () => { for (const view of store.views) view.judge(); });
  store.send = store.link.send;
  store.isVisible = () => [...store.views].some((each) => each.isVisible());
  store.presence = presence(store.link, store.isVisible);
  store.silence = silenceOf(store.isVisible, () => store.heard);
  store.value = (row, name) => store.figures[row * store.names.length + store.at.get(name)];
  store.now = () => Date.now() - (Number.isFinite(store.lead) ? store.lead : 0);  // by the kernel's clock
  model.on('msg:custom', (message, buffers) => {
    if (!isForUs(message)) return;
    if (message.kind === 'grid') { grid.arrived?.(buffers[0]); return; }
    if (message.kind !== 'rows') return;
    store.heard = Date.now();
    store.lead = Math.min(store.lead, Date.now() - message.now);
    take(store, message, buffers);
  });
  return store;
}

function numbers(Kind, buffer) {
  return new Kind(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
}

function take(store, message, buffers) {
  if (message.line !== undefined) { store.line = message.line; store.wrong = message.wrong; }
  let changed = null;  // all
  if (message.symbols) {
    store.symbols = message.symbols;
    store.names = message.names;
    store.at = new Map(message.names.map((name, place) => [name, place]));
    store.figures = numbers(Float64Array, buffers[0]);
    store.version += 1;
  } else if (message.cells) {
    const rows = numbers(Uint16Array, buffers[0]), columns = numbers(Uint8Array, buffers[1]);
    const values = numbers(Float64Array, buffers[2]), wide = store.names.length;
    rows.forEach((row, each) => { store.figures[row * wide + columns[each]] = values[each]; });
    changed = new Set(rows);
  } else changed = new Set();
  const began = performance.now();
  for (const view of store.views) view.draw(changed);
  if (message.seq) {
    requestAnimationFrame(() => store.link.drawn(message.seq, performance.now() - began));
  }
}

function filters() {
  const text = element('input', 'kr-text');
  Object.assign(text, {type: 'search', placeholder: 'XBT, ETH …', autocomplete: 'off', spellcheck: false});
  const column = element('select', 'kr-column', ...COLUMNS.filter(([name]) => !TICKING.has(name)).map(([name, title]) => {
    const option = element('option', '', title);
    option.value = name;
    return option;
  }));
  column.value = 'turnover';
  column.setAttribute('aria-label', 'figure with a lowest value');
  const least = element('input', 'kr-least');
  Object.assign(least, {type: 'text', inputMode: 'decimal', placeholder: '100k, 2.5M …', autocomplete: 'off'});
  least.setAttribute('aria-label', 'lowest value');
  const age = element('span', 'kr-age');
  const node = element('div', 'kr-filters', element('label', '', 'symbol', text),
    element('label', '', 'at least', column, least), age);
  return {node, text, column, least, age};
}

// 100k, 2.5M, 1G, -0.5, 1,000,000; null if it is no number, undefined if it is empty. Where a comma
// does not part three digits, it is somebody's decimal point: 2,5M must not become 25M.
function amount(text) {
  const found = /^\s*([+−-]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d*)?(?:e[+-]?\d+)?)\s*([kMG]?)\s*$/i.exec(text);
  if (!text.trim()) return undefined;
  if (!found) return null;
  const scale = {k: 1e3, m: 1e6, g: 1e9}[found[2].toLowerCase()] ?? 1;
  return Number(found[1].replaceAll(',', '').replace('−', '-')) * scale;
}

// The words of the symbol filter; a symbol fits if it has one of them.
function wordsOf(text) {
  return text.toLowerCase().split(/[\s,]+/).filter(Boolean);
}

// What a column shows of a row, and sorts by; NaN is missing.
function shownValue(store, row, [name, , , , made]) {
  const value = store.value(row, name);
  return made ? made(value, (other) => store.value(row, other), store.now()) : value;
}

function shownText(store, row, column) {
  const value = shownValue(store, row, column);
  return Number.isNaN(value) ? '–' : column[3](value, (other) => store.value(row, other));
}

function sortKey(store, row, column) {
  const [name, , , , , key] = column;
  const value = key ? key(store.value(row, name), (other) => store.value(row, other)) : store.value(row, name);
  return Number.isNaN(value) ? -Infinity : value;
}

function gridColumns(store) {
  const symbol = {title: 'symbol', data: null, type: 'string', orderSequence: ['asc', 'desc'],
    render: (row, kind) => (kind === 'display' ? '' : store.symbols[row.at]),
    createdCell: (cell, _, row) => {
      const open = element('button', 'kr-open', store.symbols[row.at]);
      open.type = 'button';
      cell.replaceChildren(open);
    }};
  return [symbol, ...COLUMNS.map((column) => ({
    title: column[1], data: null, type: 'num', className: 'kr-num', searchable: false, orderSequence: ['desc', 'asc'],
    render: (row, kind) => (kind === 'display' ? shownText : sortKey)(store, row.at, column),
  }))];
}

function openView(store, el) {
  const controls = filters();
  const table = element('table', 'kr-table'), rows = element('div', 'kr-rows', table);
  const line = element('p', 'kr-said');
  line.setAttribute('role', 'status');
  const foot = element('div', 'kr-foot');
  const node = element('section', 'kr-screener', controls.node, rows, foot, line);
  node.setAttribute('aria-label', 'screener');
  rows.tabIndex = 0;
  rows.setAttribute('role', 'region');
  rows.setAttribute('aria-label', 'all symbols');
  el.append(node);
  let made = null, version = -1, sortedAt = 0, due = null, pressed = '', least, words = [];

  const isHeld = () => Boolean(rows.querySelector('tbody :focus-visible'));  // somebody goes by keyboard
  const isNamed = (symbol) => !words.length || words.some((word) => symbol.toLowerCase().includes(word));
  const isEnough = (at) => least === undefined || least === null
    || shownValue(store, at, COLUMNS.find(([name]) => name === controls.column.value)) >= least;
  const passes = (at) => at < store.symbols.length && isNamed(store.symbols[at]) && isEnough(at);

  const rowsOfGrid = () => store.symbols.map((_, at) => ({at}));

  function open(Grid) {
    made = new Grid(table, {
      data: rowsOfGrid(), columns: gridColumns(store), order: [[3, 'desc']],
      deferRender: true, autoWidth: false, pageLength: 50, lengthMenu: [25, 50, 100, {label: 'all', value: -1}],
      layout: {topStart: null, topEnd: null, bottomStart: ['info', 'pageLength'], bottomEnd: 'paging'},
      language: {info: '_START_ to _END_ of _TOTAL_', infoFiltered: '(of _MAX_)', infoEmpty: 'none',
        lengthMenu: '_MENU_ a page', emptyTable: 'no symbols yet', zeroRecords: 'no symbol fits the filters'},
      createdRow: (line) => mark(line),
    });
    made.search.fixed('filters', (_, row) => passes(row.at));
    made.on('draw', () => { for (const each of linesShown()) mark(each); });
    table.querySelectorAll('thead th').forEach((head, place) => { if (place) head.title = COLUMNS[place - 1][2]; });
    foot.replaceChildren(...node.querySelectorAll('.dt-info, .dt-length, .dt-paging'));
    version = store.version;
    filter();
  }

  // Symbols were listed or delisted: other rows, in the same grid, so that the reader's order, page and
  // place stay as they are. A row that has the focus takes its page along.
  function relist() {
    const focused = rows.contains(document.activeElement) && document.activeElement.closest('tbody tr');
    const symbol = focused ? focused.querySelector('.kr-open')?.textContent : undefined;
    const scroll = [rows.scrollLeft, rows.scrollTop];
    made.clear().rows.add(rowsOfGrid());
    made.draw('full-hold');
    version = store.version;
    const there = made.rows({search: 'applied', order: 'current'}).indexes().toArray();
    const {page, pages, length} = made.page.info();
    const place = symbol === undefined ? -1 : there.findIndex((at) => store.symbols[at] === symbol);
    const wanted = place >= 0 && length > 0 ? Math.floor(place / length) : Math.min(page, Math.max(0, pages - 1));
    if (wanted !== page) made.page(wanted).draw('page');
    [rows.scrollLeft, rows.scrollTop] = scroll;
    if (!focused) return;
    const buttons = linesShown().map((line) => line.querySelector('.kr-open'));
    const found = buttons.find((each) => each?.textContent === symbol);
    (found ?? rows).focus({preventScroll: !found});
  }

  const linesShown = () => made.rows({page: 'current'}).nodes().toArray();

  function mark(line) {
    const row = made?.row(line).data();
    if (!row) return;
    line.classList.toggle('kr-pressed', store.symbols[row.at] === pressed);
    line.classList.toggle('kr-stale', !(store.now() - store.value(row.at, 'price_time') < STALE_AFTER * 1e3));
    COLUMNS.forEach((column, place) => {
      if (!COLOURED.has(column[0])) return;
      const value = store.value(row.at, column[0]), cell = line.cells[place + 1];
      cell?.classList.toggle('kr-up', value > 0);
      cell?.classList.toggle('kr-down', value < 0);
    });
  }

  // Writes the texts that have changed, since each writing makes the browser lay the table out again.
  function write(line, at, columns) {
    for (const [place, column] of columns) {
      const text = shownText(store, at, column), cell = line.cells[place + 1];
      if (cell.textContent !== text) cell.textContent = text;
    }
    mark(line);
  }

  // Writes the rows that are shown. For the others too, the grid forgets what it sorts them by: it does
  // so for a whole row where one of its cells is invalid.
  function renew(changed) {
    const all = changed ? [...changed] : store.symbols.map((_, at) => at);
    made.cells(all, 1).invalidate('data');
    for (const line of linesShown()) {
      const {at} = made.row(line).data();
      if (!changed || changed.has(at)) write(line, at, [...COLUMNS.entries()]);
    }
  }

  // Whether the rows still stand in the order that was chosen, and are those that pass the filters.
  function isInOrder() {
    const [[place, direction] = [0, 'asc']] = made.order();
    const there = made.rows({search: 'applied', order: 'current'}).indexes().toArray();
    const wanted = store.symbols.filter((_, at) => passes(at)).length;
    if (there.length !== wanted || !there.every(passes)) return false;
    if (place === 0) return true;
    const keys = there.map((at) => sortKey(store, at, COLUMNS[place - 1]));
    return keys.every((key, at) => !at || (direction === 'asc' ? key >= keys[at - 1] : key <= keys[at - 1]));
  }

  function sort() {
    due = null;
    if (!made || !view.isVisible() || isHeld() || isInOrder()) return;
    sortedAt = Date.now();
    const focused = rows.contains(document.activeElement) ? document.activeElement : null;
    made.draw('full-hold');
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({preventScroll: true});
  }

  function filter() {
    least = amount(controls.least.value);
    controls.least.setAttribute('aria-invalid', String(least === null));
    controls.least.title = least === null ? 'a number, such as 2500, 100k or 2.5M; commas only part thousands' : '';
    words = wordsOf(controls.text.value);
    made?.draw();
  }

  function tick() {
    if (!made || !view.isVisible()) return;
    const ticking = [...COLUMNS.entries()].filter(([, [name]]) => TICKING.has(name));
    for (const line of linesShown()) write(line, made.row(line).data().at, ticking);
    const facts = store.symbols.length ? store.now() - store.value(0, 'facts_time') : NaN;
    controls.age.textContent = Number.isFinite(facts) ? `statistics ${span(Math.max(0, facts / 1e3))} old` : '';
    view.judge();
  }

  const view = {
    isVisible: () => node.isConnected && node.offsetParent !== null && document.visibilityState === 'visible' && isSeen,
    draw(changed) {
      view.judge();
      if (!store.version || !Grid) return;  // nothing has come yet
      if (!made) open(Grid);
      else if (version !== store.version) relist();
      else if (!changed || changed.size) renew(changed);
      due ??= setTimeout(sort, Math.max(0, sortedAt + SORT_EVERY - Date.now()));
    },
    judge() {
      const silence = store.link.isEnded ? 'its kernel has ended: the figures stand still' : store.silence();
      const text = silence || store.line, wrong = Boolean(silence) || store.wrong;
      if (line.textContent !== text) line.textContent = text;
      line.classList.toggle('kr-amiss', wrong);
    },
  };
  let Grid = null, isSeen = false;
  const tell = () => { store.presence.tell({kind: 'view', visible: store.isVisible()}); };
  const seen = new IntersectionObserver((entries) => { isSeen = entries.at(-1).isIntersecting; tell(); });
  seen.observe(node);
  document.addEventListener('visibilitychange', tell);
  const timer = setInterval(() => { tell(); store.presence.renew(); tick(); }, 1000);
  const grids = loadGrid(store.send);
  grids.made.then((code) => { Grid = code; view.draw(null); }).catch((error) => {
    line.textContent = `the table did not load: ${error}`;
    store.send({kind: 'error', text: String(error)});
  });
  controls.text.addEventListener('input', filter);
  controls.least.addEventListener('input', filter);
  controls.column.addEventListener('change', filter);
  table.addEventListener('click', (event) => {
    const line = event.target.closest('tbody tr');
    const row = line && made?.row(line).data();  // the line that says that nothing fits has none
    const symbol = row && store.symbols[row.at];
    if (!symbol) return;
    pressed = symbol;
    for (const each of linesShown()) mark(each);
    store.send({kind: 'press', symbol: pressed});
  });
  store.views.add(view);
  return () => {
    store.views.delete(view);
    clearInterval(timer);
    clearTimeout(due);
    seen.disconnect();
    document.removeEventListener('visibilitychange', tell);
    grids.leave();
    made?.destroy();
    if (!store.views.size) store.presence.leave(); else tell();
  };
}

// The store is opened here and not in render: it must outlive a view, and serves all views.
const stores = (globalThis.__kucoinScreeners ??= new Map());  // by uid
export default {
  initialize({model}) {
    const store = openStore(model), uid = model.get('uid');
    stores.set(uid, store);
    store.send({kind: 'hello'});
    return () => stores.delete(uid);
  },
  render({model, el}) { return openView(stores.get(model.get('uid')), el); },
};
