// Alerts: those that are set, those that fired, and a line to set another one.
const ALARM_ROWS = 40;

function alertsPart(send) {
  const text = make('input', 'kr-alert-text'), add = make('button', 'kr-alert-add', 'Set');
  text.type = 'text';
  text.placeholder = 'price > 65000';
  text.setAttribute('aria-label', 'condition of a new alert');
  text.title = 'price, size, bid, ask, mid, spread (bp), imbalance, mark, index, premium (bp), funding (%), lag (ms), age (s),\n'
    + 'with >, >=, <, <= or crosses, and a number; or: gap';
  add.type = 'button';
  add.title = 'fire when this begins to hold';
  const set = () => {
    if (!text.value.trim()) return;
    send({kind: 'alert', text: text.value});
    text.value = '';
  };
  add.addEventListener('click', set);
  text.addEventListener('keydown', (event) => { if (event.key === 'Enter') set(); });
  const notify = make('input', 'kr-notify'), why = make('span', 'kr-none'), said = make('span', 'kr-said');
  notify.type = 'checkbox';
  said.setAttribute('role', 'alert');
  notify.addEventListener('change', async () => {
    why.textContent = '';
    if (!notify.checked) return;
    const answer = 'Notification' in globalThis && isSecureContext ? await Notification.requestPermission() : 'missing';
    if (answer === 'granted') return;
    notify.checked = false;
    why.textContent = answer === 'missing' ? 'this page cannot show notifications: it needs https or localhost' : 'the browser does not allow this page to notify';
  });
  const list = make('div', 'kr-alert-list'), told = scrolling(make('div', 'kr-alarms'), 'alerts that fired, the newest first');
  const rowOf = ([number, symbol, condition, state, count, muted, isWrong]) => {
    const away = make('button', 'kr-alert-away', '×');
    away.type = 'button';
    nameIt(away, `take away the alert ${symbol} ${condition}`);
    away.addEventListener('click', () => send({kind: 'unalert', number}));
    const times = make('span', 'kr-number', `${count}×`);
    times.title = `fired ${count} times${muted ? `, and ${muted} more soon after, which were muted` : ''}`;
    const row = make('div', 'kr-row', away, make('b', '', `${symbol} ${condition}`), times, make('span', 'kr-detail', state));
    row.lastChild.title = state;
    row.dataset.number = number;
    if (isWrong) row.dataset.tone = 'wrong';
    return row;
  };
  const alarmRow = ([at, what]) => make('div', 'kr-row', make('time', '', at), make('span', '', what));
  const node = make('div', 'kr-alerts',
    make('div', 'kr-half', make('h4', '', 'alerts'), make('div', 'kr-alert-form', text, add, make('label', '', notify, ' notify in the browser'), why), list),
    make('div', 'kr-half', make('h4', '', 'alerts that fired, the newest first'), told), said);
  const flag = make('span', 'kr-flag');
  flag.hidden = true;
  const none = () => { if (!told.childElementCount) told.append(make('p', 'kr-none', 'nothing yet')); };
  none();

  return {node, flag, alarm: ({at, text: what, number}) => {
    put(said, `alert: ${what}`);
    // One tag for all views of a page and for all pages of a browser: it is shown once.
    if (notify.checked) new Notification(what, {body: at, tag: `kucoin-research ${number} ${at}`});
  }, tell: {
    flag: ([unseen, newest]) => {
      flag.hidden = !unseen;
      put(flag, unseen ? `⚑ ${unseen} · ${newest}` : '');
      if (unseen) flag.title = `alerts: ${newest}`;
      else flag.removeAttribute('title');
    },
    alerts: (all) => {
      const focused = list.contains(document.activeElement) ? document.activeElement.closest('.kr-row').dataset.number : null;
      list.replaceChildren(...(all.length ? all.map(rowOf) : [make('p', 'kr-none', 'none is set')]));
      if (focused !== null) (list.querySelector(`[data-number="${focused}"] button`) || list.querySelector('button') || text).focus();
    },
    alarms: ({all, add: more}) => {
      if (all || told.querySelector('.kr-none')) told.replaceChildren();
      told.prepend(...(all || more).map(alarmRow).reverse());
      while (told.childElementCount > ALARM_ROWS) told.lastElementChild.remove();
      none();
    },
  }};
}
