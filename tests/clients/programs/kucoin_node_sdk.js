// KuCoin's kucoin-node-sdk: its configuration has the address as baseUrl.
'use strict';

const { randomUUID } = require('node:crypto');
const API = require('kucoin-node-sdk');
const {
  SPOT, KEY, SECRET, PASSPHRASE, PAIR, Frames, attempt, below, ownOrder,
} = require('./trying');

API.init({
  baseUrl: SPOT,
  apiAuth: { key: KEY, secret: SECRET, passphrase: PASSPHRASE },
  authVersion: 2,
});
const { Market, Trade, User, Others } = API.rest;

// It answers with KuCoin's envelope and never throws.
async function data(reply) {
  const envelope = await reply;
  if (envelope.code !== '200000') throw new Error(JSON.stringify(envelope));
  return envelope.data;
}

async function place(type = 'limit') {
  const ticker = await data(Market.Symbols.getTicker(PAIR));
  const price = type === 'limit' ? { price: below(ticker.bestBid) } : {};
  return data(Trade.Orders.postOrder(
    { clientOid: randomUUID(), side: 'buy', symbol: PAIR, type },
    { size: '0.001', ...price },
  ));
}

async function main() {
  await attempt('spot time', () => data(Others.getTimestamp()));
  await attempt('spot symbols', () => data(Market.Symbols.getSymbolsList()));
  await attempt('spot currencies', () => data(Market.Currencies.getCurrencies()));
  await attempt('spot user', () => data(User.Account.getAccountSummaryInfo()));
  await attempt('spot account type', () => data(User.Account.getUserType()));
  await attempt('spot ticker', () => data(Market.Symbols.getTicker(PAIR)));
  await attempt('spot book', () => data(Market.OrderBook.getLevel2_20(PAIR)));
  await attempt('spot whole book', () => data(Market.OrderBook.getLevel2_full(PAIR)));
  await attempt('spot candles', () => data(Market.Histories.getMarketCandles(PAIR, '1min')), (rows) => rows.length);
  await attempt('spot trades', () => data(Market.Histories.getMarketHistories(PAIR)));
  await attempt('spot balances', () => data(User.Account.getAccountsList()), (rows) => rows.length);

  const placed = await attempt('spot place', () => place());
  await attempt(
    'spot get',
    () => data(Trade.Orders.getOrderByID(placed.orderId)),
    (order) => order.id === placed.orderId && order.isActive,
  );
  await attempt(
    'spot open orders',
    () => data(Trade.Orders.getOrdersList('TRADE', { status: 'active' })),
    (page) => page.items.length === 1 && page.items[0].id === placed.orderId,
  );
  await attempt(
    'spot cancel',
    () => data(Trade.Orders.cancelOrder(placed.orderId)),
    (reply) => reply.cancelledOrderIds[0] === placed.orderId,
  );
  const bought = await attempt('spot buy', () => place('market'));
  await attempt(
    'spot fills',
    () => data(Trade.Fills.getFillsList('TRADE')),
    (page) => page.items[0].orderId === bought.orderId,
  );

  const frames = new Frames();
  const put = (message) => frames.put(message);
  const open = new API.websocket.Datafeed();
  open.connectSocket();
  open.subscribe(`/market/ticker:${PAIR}`, put);
  open.subscribe(`/market/level2:${PAIR}`, put);
  await attempt('spot socket ticker', () => frames.wait(['/market/ticker']));
  await attempt('spot socket book', () => frames.wait(['/market/level2']));
  const mine = new API.websocket.Datafeed(true);
  mine.connectSocket();
  mine.subscribe('/spotMarket/tradeOrdersV2', put, true);
  await attempt('spot private socket', () => ownOrder(frames, async () => {
    const { orderId } = await place();
    await data(Trade.Orders.cancelOrder(orderId));
    return orderId;
  }, 'canceled'));
}

main().then(() => process.exit(0));
