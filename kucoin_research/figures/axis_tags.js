// Tags on the axis of prices, and the line of the last price. They are placed after each drawing from plotly's
// axis alone: nothing of the page is measured, and plotly lays out nothing for them.
const TAG_HEIGHT = 16, TAG_LEFT_HEIGHT = 13;  // px; of a tag, and of the time left below a price
const TAG_RANKS = {ask: 0, last: 1, bid: 2}, TAG_NAMES = {ask: 'A ', bid: 'B '}, TAG_ARROWS = {up: '▲', down: '▼'};

function axisTags(plot, store, el, coloursNow) {
  const make = (name) => {
    const made = document.createElement('div');
    made.className = name;
    return made;
  };
  const node = make('kr-tags'), line = make('kr-last-line'), parts = new Map();
  node.setAttribute('aria-hidden', 'true');  // the chart's summary has the prices
  node.append(line);
  for (const kind of ['ask', 'bid', 'last']) {  // the last price lies above the others
    const tag = make('kr-tag'), price = make('kr-tag-price'), left = make('kr-tag-left'), foot = make('kr-tag-foot');
    tag.dataset.kind = foot.dataset.kind = kind;
    tag.append(price, left);
    node.append(foot, tag);
    parts.set(kind, {tag, price, left, foot});
  }
  let painted = null, clock = {now: NaN, at: 0};

  const put = (each, text) => { if (each.textContent !== text) each.textContent = text; };
  const set = (style, name, value) => { if (style.getPropertyValue(name) !== value) style.setProperty(name, value); };
  function paint() {
    const colours = coloursNow();
    if (colours === painted) return;
    painted = colours;
    for (const name of ['buy', 'sell', 'paper', 'font', 'muted']) node.style.setProperty(`--kr-tag-${name}`, colours[name]);
  }

  // The seconds left of the newest candle, by the exchange's clock: it goes on from the newest row as fast as
  // the source does. '' while nothing goes on, or where the candle is out of sight.
  function timeLeft(candle, isOld, axis) {
    if (!candle) return '';
    if (candle.now !== clock.now) clock = {now: candle.now, at: performance.now()};
    if (isOld || el.dataset.doubt || !isInSight(candle, axis)) return '';
    const now = clock.now + (store.pace.rate || 0) * (performance.now() - clock.at);
    const over = ((candle.end - now) % candle.length + candle.length) % candle.length;  // of a quiet symbol: the next one's
    return spelled(Math.ceil((over || candle.length) / 1000));
  }
  const isInSight = ({low, high}, axis) => {
    if (store.follow) return true;
    const [from, to] = axis.range.map((each) => axis.r2l(each));
    return high > from && low < to;
  };

  function place() {
    const {yaxis: axis, xaxis, width} = plot._fullLayout || {}, said = plot.layout?.meta?.tags;
    const isShown = Boolean(axis?.visible && said?.rows.length);
    node.hidden = !isShown;
    if (!isShown) return;
    paint();
    const isOld = said.is_out || !store.pace.is_live, right = xaxis._offset + xaxis._length;
    node.classList.toggle('kr-old', isOld);
    set(node.style, '--kr-tag-room', `${Math.round(width - right)}px`);
    const scale = axis.type === 'log' ? Math.log10 : Number, [low, high] = axis.range.map(Number);
    const [top, bottom] = [axis._offset, axis._offset + axis._length];
    const spot = (price) => bottom - axis._length * (scale(price) - low) / (high - low);
    const rows = new Map(said.rows.map(([kind, price, text, tone]) => [kind, {kind, text, tone, y: spot(price)}]));
    const boxes = [];
    for (const [kind, {tag, price, left, foot}] of parts) {
      const row = rows.get(kind), isThere = Boolean(row && row.y >= top - 0.5 && row.y <= bottom + 0.5);
      tag.hidden = foot.hidden = !isThere;
      if (kind === 'last') line.hidden = !isThere;
      if (!isThere) continue;
      const time = kind === 'last' ? timeLeft(plot.layout.meta.candle, isOld, xaxis) : '';
      put(price, `${TAG_NAMES[kind] || (TAG_ARROWS[row.tone] ? `${TAG_ARROWS[row.tone]} ` : '')}${row.text}`);
      put(left, time);
      tag.dataset.tone = row.tone;
      left.hidden = !time;
      set(foot.style, 'transform', `translate(${Math.round(right)}px, ${Math.round(row.y)}px)`);
      if (kind === 'last') {
        line.dataset.tone = row.tone;
        set(line.style, 'width', `${Math.round(xaxis._length)}px`);
        set(line.style, 'transform', `translate(${Math.round(xaxis._offset)}px, ${Math.round(row.y)}px)`);
      }
      boxes.push({tag, rank: TAG_RANKS[kind], y: row.y, top: row.y - TAG_HEIGHT / 2, height: TAG_HEIGHT + (time ? TAG_LEFT_HEIGHT : 0)});
    }
    for (const [tag, y] of stacked(boxes, top, bottom)) set(tag.style, 'transform', `translateY(${Math.round(y)}px)`);
  }

  return {node, place, watch() { for (const each of ['plotly_afterplot', 'plotly_relayouting']) plot.on(each, place); }};
}

// Moves boxes so that none overlaps another and all lie within bounds, each by as little as that takes.
// Those that would touch become a pile around the mean of their places.
function stacked(boxes, top, bottom) {
  const piles = [];
  const settle = (pile) => { pile.top = Math.max(top, Math.min(pile.wish / pile.boxes.length, bottom - pile.height)); };
  for (const box of [...boxes].sort((one, other) => one.y - other.y || one.rank - other.rank)) {
    let pile = {boxes: [box], wish: box.top, height: box.height};
    settle(pile);
    for (let above; (above = piles.at(-1)) && above.top + above.height > pile.top;) {
      piles.pop();
      const wish = above.wish + pile.wish - above.height * pile.boxes.length;
      pile = {boxes: [...above.boxes, ...pile.boxes], wish, height: above.height + pile.height};
      settle(pile);
    }
    piles.push(pile);
  }
  return piles.flatMap((pile) => {
    let y = pile.top;
    return pile.boxes.map(({tag, height}) => { const at = y; y += height; return [tag, at]; });
  });
}

// A length of time in seconds, such as 0:42, 12:07, 3:12:07, or 2 d 5 h.
function spelled(seconds) {
  if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
  const two = (count) => String(count).padStart(2, '0'), hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}
