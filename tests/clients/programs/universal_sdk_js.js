// KuCoin's kucoin-universal-sdk in JavaScript: its options take both addresses. Its `create` sends the
// text undefined for what is left out of a query, its builders do not.
'use strict';

const { randomUUID } = require('node:crypto');
const {
  ClientOptionBuilder, DefaultClient, TransportOptionBuilder, WebSocketClientOptionBuilder,
  Account, Futures, Spot,
} = require('kucoin-universal-sdk');
const {
  FUTURES, SPOT, KEY, SECRET, PASSPHRASE, PAIR, CONTRACT, Frames, attempt, below, ownOrder,
} = require('./trying');

const client = new DefaultClient(
  new ClientOptionBuilder()
    .setKey(KEY)
    .setSecret(SECRET)
    .setPassphrase(PASSPHRASE)
    .setSpotEndpoint(SPOT)
    .setFuturesEndpoint(FUTURES)
    .setBrokerEndpoint(SPOT)
    .setTransportOption(new TransportOptionBuilder().build())
    .setWebSocketClientOption(new WebSocketClientOptionBuilder().build())
    .build(),
);
const services = client.restService();
const account = services.getAccountService().getAccountApi();
const pairs = services.getSpotService().getMarketApi();
const contracts = services.getFuturesService().getMarketApi();
const spot = services.getSpotService().getOrderApi();
const futures = services.getFuturesService().getOrderApi();
const held = services.getFuturesService().getPositionsApi();
const { Order: SpotOrder, Market: SpotMarket } = Spot;
const { Order: FuturesOrder, Market: FuturesMarket, Positions } = Futures;

async function place(kind = 'LIMIT') {
  const { SideEnum, TypeEnum } = SpotOrder.AddOrderReq;
  const ticker = await pairs.getTicker(SpotMarket.GetTickerReq.create({ symbol: PAIR }));
  const price = kind === 'LIMIT' ? { price: below(ticker.bestBid) } : {};
  return spot.addOrder(SpotOrder.AddOrderReq.create({
    clientOid: randomUUID(), symbol: PAIR, side: SideEnum.BUY, type: TypeEnum[kind], size: '0.001', ...price,
  }));
}

async function placeContract(kind = 'LIMIT') {
  const { SideEnum, TypeEnum } = FuturesOrder.AddOrderReq;
  const ticker = await contracts.getTicker(FuturesMarket.GetTickerReq.create({ symbol: CONTRACT }));
  const price = kind === 'LIMIT' ? { price: below(ticker.bestBidPrice) } : {};
  return futures.addOrder(FuturesOrder.AddOrderReq.create({
    clientOid: randomUUID(), symbol: CONTRACT, side: SideEnum.BUY, type: TypeEnum[kind], leverage: 5, size: 1, ...price,
  }));
}

function cancel(orderId) {
  return spot.cancelOrderByOrderId(SpotOrder.CancelOrderByOrderIdReq.create({ symbol: PAIR, orderId }));
}

function cancelContract(orderId) {
  return futures.cancelOrderById(FuturesOrder.CancelOrderByIdReq.create({ orderId }));
}

async function onSpot() {
  await attempt('spot time', () => pairs.getServerTime());
  await attempt('spot symbols', () => pairs.getAllSymbols(SpotMarket.GetAllSymbolsReq.builder().build()));
  await attempt('spot currencies', () => pairs.getAllCurrencies());
  await attempt('spot user', () => account.getAccountInfo());
  await attempt('spot key', () => account.getApikeyInfo(), (key) => key.apiKey === KEY);
  await attempt('spot ticker', () => pairs.getTicker(SpotMarket.GetTickerReq.create({ symbol: PAIR })));
  await attempt('spot book', () => pairs.getPartOrderBook(SpotMarket.GetPartOrderBookReq.create({ symbol: PAIR, size: '20' })));
  await attempt('spot whole book', () => pairs.getFullOrderBook(SpotMarket.GetFullOrderBookReq.create({ symbol: PAIR })));
  const { TypeEnum } = SpotMarket.GetKlinesReq;
  await attempt('spot candles', () => pairs.getKlines(SpotMarket.GetKlinesReq.builder().setSymbol(PAIR).setType(TypeEnum._1MIN).build()), (reply) => reply.data.length);
  await attempt('spot trades', () => pairs.getTradeHistory(SpotMarket.GetTradeHistoryReq.create({ symbol: PAIR })));
  await attempt('spot balances', () => account.getSpotAccountList(Account.Account.GetSpotAccountListReq.builder().build()), (reply) => reply.data.length);
  const placed = await attempt('spot place', () => place());
  await attempt(
    'spot get',
    () => spot.getOrderByOrderId(SpotOrder.GetOrderByOrderIdReq.create({ symbol: PAIR, orderId: placed.orderId })),
    (order) => order.id === placed.orderId && order.active,
  );
  await attempt(
    'spot open orders',
    () => spot.getOpenOrders(SpotOrder.GetOpenOrdersReq.create({ symbol: PAIR })),
    (reply) => reply.data.length === 1 && reply.data[0].id === placed.orderId,
  );
  await attempt('spot cancel', () => cancel(placed.orderId), (reply) => reply.orderId === placed.orderId);
  const bought = await attempt('spot buy', () => place('MARKET'));
  await attempt(
    'spot fills',
    () => spot.getTradeHistory(SpotOrder.GetTradeHistoryReq.builder().setSymbol(PAIR).build()),
    (page) => page.items[0].orderId === bought.orderId,
  );
}

async function onFutures() {
  await attempt('futures time', () => contracts.getServerTime());
  await attempt('futures symbols', () => contracts.getAllSymbols());
  await attempt('futures ticker', () => contracts.getTicker(FuturesMarket.GetTickerReq.create({ symbol: CONTRACT })));
  await attempt('futures book', () => contracts.getPartOrderBook(FuturesMarket.GetPartOrderBookReq.create({ symbol: CONTRACT, size: '20' })));
  await attempt('futures whole book', () => contracts.getFullOrderBook(FuturesMarket.GetFullOrderBookReq.create({ symbol: CONTRACT })));
  const { GranularityEnum } = FuturesMarket.GetKlinesReq;
  await attempt('futures candles', () => contracts.getKlines(FuturesMarket.GetKlinesReq.builder().setSymbol(CONTRACT).setGranularity(GranularityEnum._1).build()), (reply) => reply.data.length);
  await attempt('futures trades', () => contracts.getTradeHistory(FuturesMarket.GetTradeHistoryReq.create({ symbol: CONTRACT })));
  await attempt('futures balances', () => account.getFuturesAccount(Account.Account.GetFuturesAccountReq.create({ currency: 'USDT' })), (reply) => reply.accountEquity > 0);
  const placed = await attempt('futures place', () => placeContract());
  await attempt(
    'futures get',
    () => futures.getOrderByOrderId(FuturesOrder.GetOrderByOrderIdReq.create({ orderId: placed.orderId })),
    (order) => order.id === placed.orderId && order.isActive,
  );
  const { StatusEnum } = FuturesOrder.GetOrderListReq;
  await attempt(
    'futures open orders',
    () => futures.getOrderList(FuturesOrder.GetOrderListReq.builder().setStatus(StatusEnum.ACTIVE).build()),
    (page) => page.items.length === 1 && page.items[0].id === placed.orderId,
  );
  await attempt('futures cancel', () => cancelContract(placed.orderId), (reply) => reply.cancelledOrderIds[0] === placed.orderId);
  const bought = await attempt('futures buy', () => placeContract('MARKET'));
  await attempt(
    'futures fills',
    () => futures.getTradeHistory(FuturesOrder.GetTradeHistoryReq.builder().setSymbol(CONTRACT).build()),
    (page) => page.items[0].orderId === bought.orderId,
  );
  await attempt(
    'futures positions',
    () => held.getPositionList(Positions.GetPositionListReq.builder().build()),
    (reply) => reply.data.length === 1 && reply.data[0].currentQty === 1,
  );
}

async function sockets() {
  const service = client.wsService();
  const [spotPublic, futuresPublic] = [service.newSpotPublicWS(), service.newFuturesPublicWS()];
  const [spotPrivate, futuresPrivate] = [service.newSpotPrivateWS(), service.newFuturesPrivateWS()];
  const frames = new Frames();
  const take = (topic, subject, data) => frames.put(`${topic} ${subject} ${data.toJson()}`);
  for (const socket of [spotPublic, futuresPublic, spotPrivate, futuresPrivate]) await socket.start();
  await spotPublic.ticker([PAIR], take);
  await spotPublic.orderbookIncrement([PAIR], take);
  await futuresPublic.tickerV2(CONTRACT, take);
  await futuresPublic.orderbookIncrement(CONTRACT, take);
  await attempt('spot socket ticker', () => frames.wait(['/market/ticker']));
  await attempt('spot socket book', () => frames.wait(['/market/level2']));
  await attempt('futures socket ticker', () => frames.wait(['/contractMarket/tickerV2']));
  await attempt('futures socket book', () => frames.wait(['/contractMarket/level2:']));
  await spotPrivate.orderV2(take);
  await futuresPrivate.allOrder(take);
  await attempt('spot private socket', () => ownOrder(frames, async () => {
    const { orderId } = await place();
    await cancel(orderId);
    return orderId;
  }, 'canceled'));
  await attempt('futures private socket', () => ownOrder(frames, async () => {
    const { orderId } = await placeContract();
    await cancelContract(orderId);
    return orderId;
  }, 'canceled'));
}

onSpot().then(onFutures).then(sockets).then(() => process.exit(0));
