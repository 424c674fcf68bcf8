// The ladder of an order book: asks above, bids below, the spread between them. The kernel sends the
// texts of the rows that have changed; a row is a place, counted from the best price.
const ROW = 17, AROUND = 22 + 18 + 24 + 16;  // px: a row; the choice, the titles, the spread and the foot
const LETTER = 0.62, SMALLEST = 9, LARGEST = 12;  // em of a letter; px of the letters
const MARKED = 400;  // ms that a changed size is marked for
const PARTS = ['price', 'size', 'total', 'own'];

function element(tag, name, ...inside) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };

// What the kernel has sent, as the views of a model share it.
function openStore(model) {
  const store = {rows: {asks: [], bids: []}, words: {}, seq: 0, heard: 0, views: new Set()};
  store.line = lineTo(model, () => { for (const view of store.views) view.judge(); });
  store.send = store.line.send;
  store.isVisible = () => [...store.views].some((each) => each.isVisible());
  store.presence = presence(store.line, store.isVisible);
  model.on('msg:custom', (message) => {
    if (!isForUs(message)) return;
    store.heard = Date.now();
    if (message.kind === 'rows') take(store, message);
    else for (const view of store.views) view.judge();
  });
  letGoOfParts(model);
  return store;
}

function take(store, {kind, seq, to, all, asks = [], bids = [], ...words}) {
  const began = performance.now();
  if (all) store.rows = {asks: [], bids: []};
  for (const [name, changed] of [['asks', asks], ['bids', bids]]) {
    for (const [place, ...row] of changed) store.rows[name][place] = row.length ? row : null;
  }
  Object.assign(store.words, words);
  store.seq = seq;
  for (const view of store.views) view.draw(all ? null : {asks, bids}, words);
  const ms = performance.now() - began;
  // Acknowledged once it is on the screen: the kernel judges by that how old the screen is.
  requestAnimationFrame(() => setTimeout(() => store.line.drawn(seq, ms)));
}

function line(side) {
  const cells = PARTS.map((name) => element(name === 'price' ? 'th' : 'td', `kr-${name}`));
  cells[0].scope = 'row';
  const bar = element('i', 'kr-size-bar'), size = element('span', '');
  cells[1].append(bar, size);
  const node = element('tr', `kr-${side}-row`, ...cells);
  return {node, price: cells[0], cell: cells[1], bar, size, total: cells[2], own: cells[3], until: 0};
}

function openView(store, el) {
  const choice = element('select', 'kr-group');
  choice.setAttribute('aria-label', 'width of a row, as a step of the price');
  const unit = element('span'), head = element('div', 'kr-ladder-head', unit, element('label', '', 'rows of ', choice));
  const titles = PARTS.map((name) => element('th', `kr-${name}`, name));
  for (const each of titles) each.scope = 'col';
  const caption = element('caption', 'kr-said'), parts = {asks: element('tbody'), bids: element('tbody')};
  const middle = element('td', 'kr-middle'), spread = element('span'), mid = element('b');
  middle.colSpan = PARTS.length;
  middle.append(spread, mid);
  const table = element('table', '', caption, element('thead', '', element('tr', '', ...titles)),
    parts.asks, element('tbody', 'kr-between', element('tr', '', middle)), parts.bids);
  const trouble = element('p', 'kr-ladder-trouble'), foot = element('p', 'kr-ladder-foot');
  trouble.setAttribute('role', 'status');  // said once; the rows change too often to be announced
  const body = element('div', 'kr-ladder-body', table, trouble);
  const node = element('div', 'kr-ladder', head, body, foot);
  node.setAttribute('role', 'group');
  el.classList.add('kr-ladder-place');
  el.replaceChildren(node);
  const letKeysGo = keepKeys(node);

  let count = 0, width = 0, isInView = false, letters = [8, 6, 6], middleLetters = 0, sweep = 0;
  const lines = {asks: [], bids: []};
  const isMoving = matchMedia('(prefers-reduced-motion: no-preference)');

  function fit(wanted) {  // as many rows as there is room for
    if (wanted === count) return;
    count = wanted;
    for (const [name, list] of Object.entries(lines)) {
      while (list.length > count) list.pop().node.remove();
      while (list.length < count) {
        const made = line(name);
        list.push(made);
        if (name === 'asks') parts.asks.prepend(made.node); else parts.bids.append(made.node);
        write(name, list.length - 1, false);
      }
    }
    tell();
  }

  function write(name, place, isChange) {
    const shown = lines[name][place];
    if (!shown) return;
    const row = store.rows[name][place];
    shown.node.classList.toggle('kr-empty', !row);
    const [price = '', size = '', total = '', share = 0, own = '', moved = 0] = row || [];
    put(shown.price, price);
    put(shown.size, size);
    put(shown.total, total);
    put(shown.own, own);
    shown.bar.style.width = `${share}%`;
    if (moved && isChange && isMoving.matches) {
      shown.cell.dataset.moved = moved > 0 ? 'up' : 'down';
      shown.until = Date.now() + MARKED;
      sweep ||= setTimeout(unmark, MARKED);
    } else if (shown.until && isChange) unmarkOne(shown);
  }

  const unmarkOne = (shown) => { delete shown.cell.dataset.moved; shown.until = 0; };
  function unmark() {
    const now = Date.now(), marked = [...lines.asks, ...lines.bids].filter(({until}) => until);
    for (const shown of marked.filter(({until}) => until <= now)) unmarkOne(shown);
    const next = Math.min(...marked.map(({until}) => until || Infinity));
    sweep = Number.isFinite(next) ? setTimeout(unmark, Math.max(next - now, 20)) : 0;
  }

  // Columns as wide as their longest text, in letters that let all of them fit.
  function size() {
    const all = [...store.rows.asks, ...store.rows.bids].filter(Boolean);
    const columns = store.words.has_own ? [0, 1, 2, 4] : [0, 1, 2];
    const longest = columns.map((at) => Math.max(4, ...all.map((row) => row[at].length)));
    // A column grows at once, and shrinks only if all have become much shorter.
    const isSame = longest.length === letters.length;
    const grown = isSame ? longest.map((each, at) => Math.max(each, letters[at])) : longest;
    const sum = (list) => list.reduce((a, b) => a + b, 0);
    letters = sum(longest) < 0.75 * sum(grown) ? longest : grown;
    const px = Math.min(LARGEST, Math.max(SMALLEST, (width - 10 * letters.length) / (LETTER * sum(letters))));
    const style = `${px.toFixed(1)}px`;
    if (width && node.style.getPropertyValue('--kr-px') !== style) node.style.setProperty('--kr-px', style);
    titles.forEach((title, at) => {
      const share = letters[at] === undefined ? '' : `${(100 * (letters[at] + 1.5) / (sum(letters) + 1.5 * letters.length)).toFixed(0)}%`;
      if (title.style.width !== share) title.style.width = share;
    });
  }

  function writeWords(words) {
    if (words.groups) {
      choice.replaceChildren(...words.groups.map(([ticks, name]) => {
        const option = element('option', '', name);
        option.value = ticks;
        return option;
      }));
    }
    if (words.groups || words.group) choice.value = store.words.group;
    if (words.unit) put(unit, `sizes in ${words.unit}`);
    if (words.middle) {
      put(spread, `spread ${words.middle[0]} · mid `);
      put(mid, words.middle[1]);
      const count = spread.textContent.length + mid.textContent.length;
      if (count !== middleLetters) middle.style.setProperty('--kr-letters', middleLetters = count);
    }
    if (words.has_own !== undefined) table.classList.toggle('kr-has-own', words.has_own);
    if (words.name !== undefined) {
      put(caption, `order book of ${words.name}, the best prices in the middle`);
      node.setAttribute('aria-label', `ladder of ${words.name}`);
    }
    if (words.foot !== undefined) put(foot, words.foot);
    judge();
  }

  function draw(changed, words) {
    writeWords(words);
    for (const name of ['asks', 'bids']) {
      if (changed) for (const [place] of changed[name]) write(name, place, true);
      else lines[name].forEach((_, place) => write(name, place, false));
    }
    middle.parentNode.hidden = !store.words.middle?.[1];
    size();
    node.dataset.frame = store.seq;
  }

  const isWanted = () => isInView || Boolean(el.closest('[data-asked]'));
  const isVisible = () => isWanted() && !document.hidden && el.isConnected;
  const silence = silenceOf(isVisible, () => store.heard);
  function judge() {
    const doubt = store.line.isEnded ? 'its kernel has ended' : silence();
    const text = doubt ? `not live: ${doubt}` : store.words.trouble || '';
    put(trouble, text);
    trouble.hidden = !text;
    node.classList.toggle('kr-not-live', Boolean(text));
  }

  const tell = () => store.presence.tell({kind: 'view', visible: store.isVisible(), rows: Math.max(...[...store.views].map((each) => each.rows()), 1)});
  const view = {isVisible, judge, draw, rows: () => count};
  const sizes = new ResizeObserver(([{contentRect}]) => {
    width = contentRect.width;
    if (contentRect.height) fit(Math.max(1, Math.floor((contentRect.height - AROUND) / 2 / ROW)));
    size();
  });
  const sight = new IntersectionObserver((entries) => {
    isInView = entries[entries.length - 1].isIntersecting;
    judge();
    tell();
  });
  const beats = setInterval(() => { judge(); store.presence.renew(); }, 1000);
  choice.addEventListener('change', () => store.send({kind: 'group', ticks: +choice.value}));
  document.addEventListener('visibilitychange', tell);
  addEventListener('pagehide', store.presence.leave);
  node.addEventListener('kr-asked', tell);
  store.views.add(view);
  sizes.observe(node);
  sight.observe(el);
  draw(null, store.words);
  if (!store.seq) store.send({kind: 'hello'});

  return () => {
    store.views.delete(view);
    clearInterval(beats);
    clearTimeout(sweep);
    sizes.disconnect();
    sight.disconnect();
    document.removeEventListener('visibilitychange', tell);
    removeEventListener('pagehide', store.presence.leave);
    node.removeEventListener('kr-asked', tell);
    letKeysGo();
    if (store.views.size) tell(); else store.presence.leave();
    el.replaceChildren();
  };
}

// The store is opened here and not in render: it must outlive a view, and serves all views.
const stores = (globalThis.__kucoinLadders ??= new Map());  // by uid
export default {
  initialize({model}) {
    const uid = model.get('uid');
    stores.set(uid, openStore(model));
    return () => stores.delete(uid);
  },
  render({model, el}) { return openView(stores.get(model.get('uid')), el); },
};
