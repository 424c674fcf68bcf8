// ccxt and ccxt.pro in JavaScript: the addresses are in urls.api, and ws:// needs loadHttpProxyAgent.
'use strict';

const ccxt = require('ccxt');
const { FUTURES, SPOT, KEY, SECRET, PASSPHRASE, Frames, attempt, ownOrder } = require('./trying');

const LOGIN = { apiKey: KEY, secret: SECRET, password: PASSPHRASE };

function here(exchange) {
  for (const name of Object.keys(exchange.urls.api)) {
    exchange.urls.api[name] = name.startsWith('futures') ? FUTURES : SPOT;
  }
  return exchange;
}

async function rest(market, exchange, symbol, amount, balance) {
  const tried = (call, action, check) => attempt(`${market} ${call}`, action, check);
  await tried('markets', () => exchange.loadMarkets(), (markets) => symbol in markets);
  await tried('currencies', () => exchange.fetchCurrencies());
  await tried('time', () => exchange.fetchTime());
  await tried('status', () => exchange.fetchStatus(), (status) => status.status === 'ok');
  await tried('ticker', () => exchange.fetchTicker(symbol));
  await tried('tickers', () => exchange.fetchTickers(), (tickers) => symbol in tickers);
  await tried('book', () => exchange.fetchOrderBook(symbol, 20));
  await tried('whole book', () => exchange.fetchOrderBook(symbol));
  // The last seven minutes by this machine's clock.
  await tried('candles', () => exchange.fetchOHLCV(symbol, '1m', undefined, 7), (rows) => rows.length === 7);
  await tried('trades', () => exchange.fetchTrades(symbol));
  await tried('fee', () => exchange.fetchTradingFee(symbol));
  await tried('balances', () => exchange.fetchBalance(balance), (found) => found.total.USDT > 0);
  const placed = await tried('place', () => place(exchange, symbol, amount));
  await tried('get', () => exchange.fetchOrder(placed.id, symbol), (order) => order.id === placed.id && order.status === 'open');
  await tried('open orders', () => exchange.fetchOpenOrders(symbol), (orders) => orders.length === 1 && orders[0].id === placed.id);
  await tried('cancel', () => exchange.cancelOrder(placed.id, symbol));
  await tried('closed order', () => exchange.fetchOrder(placed.id, symbol), (order) => order.status === 'canceled');
  const bought = await tried('buy', () => exchange.createOrder(symbol, 'market', 'buy', amount));
  await tried('fills', () => exchange.fetchMyTrades(symbol), (trades) => trades.at(-1).order === bought.id);
}

async function place(exchange, symbol, amount) {
  const book = await exchange.fetchOrderBook(symbol, 20);
  return exchange.createOrder(symbol, 'limit', 'buy', amount, Math.round(book.bids[0][0] * 0.98));
}

async function sockets(market, exchange, symbol, amount) {
  const tried = (call, action, check) => attempt(`${market} ${call}`, action, check);
  await exchange.loadHttpProxyAgent();
  await tried('socket ticker', () => exchange.watchTicker(symbol));
  await tried('socket book', () => exchange.watchOrderBook(symbol));
  await tried('socket trades', () => exchange.watchTrades(symbol));
  const frames = new Frames();
  let isReading = true;
  const read = async () => {
    while (isReading) for (const order of await exchange.watchOrders(symbol)) frames.put(order);
  };
  read().catch((error) => frames.put(String(error)));
  await tried('private socket', () => ownOrder(frames, async () => {
    const order = await place(exchange, symbol, amount);
    await exchange.cancelOrder(order.id, symbol);
    return order.id;
  }, 'canceled'));
  isReading = false;
}

async function main() {
  const swap = here(new ccxt.kucoinfutures(LOGIN));
  await rest('spot', here(new ccxt.kucoin(LOGIN)), 'BTC/USDT', 0.001, {});
  await rest('futures', swap, 'BTC/USDT:USDT', 1, { code: 'USDT' });
  await attempt('futures positions', () => swap.fetchPositions(), (rows) => rows.length === 1 && rows[0].contracts === 1);
  await sockets('spot', here(new ccxt.pro.kucoin(LOGIN)), 'BTC/USDT', 0.001);
  await sockets('futures', here(new ccxt.pro.kucoinfutures(LOGIN)), 'BTC/USDT:USDT', 1);
}

main().then(() => process.exit(0));
