"""The fields of KuCoin's REST replies, call by call.

They are those of the documents' samples (https://www.kucoin.com/docs-new, read 2026-11), of
KuCoin's own SDK (kucoin-universal-sdk 1.3.2), of replies of the futures side captured on
2026-10-03, and of live replies that typed-kucoin 0.5.0 describes. Of fields that only a few rows
have, all are listed.
"""

_TABLE = """
contract: symbol displaySymbol rootSymbol type firstOpenDate expireDate settleDate baseCurrency
    displayBaseCurrency quoteCurrency settleCurrency maxOrderQty marketMaxOrderQty maxPrice lotSize
    tickSize indexPriceTickSize multiplier initialMargin maintainMargin maxRiskLimit minRiskLimit
    riskStep makerFeeRate takerFeeRate takerFixFee makerFixFee settlementFee isDeleverage isQuanto
    isInverse markMethod fairMethod fundingBaseSymbol fundingQuoteSymbol fundingRateSymbol
    indexSymbol settlementSymbol status fundingFeeRate predictedFundingFeeRate dailyInterestRate
    fundingRateGranularity fundingRateCap fundingRateFloor period currentFundingRateGranularity
    effectiveFundingRateCycleStartTime openInterest turnoverOf24h volumeOf24h markPrice indexPrice
    lastTradePrice nextFundingRateTime nextFundingRateDateTime maxLeverage sourceExchanges
    premiumsSymbol1M premiumsSymbol8H fundingBaseSymbol1M fundingQuoteSymbol1M lowPrice highPrice
    priceChgPct priceChg k m f mmrLimit mmrLevConstant supportCross buyLimit sellLimit adjustK
    adjustM adjustMmrLevConstant adjustActiveTime crossRiskLimit marketStage preMarketToPerpDate
    orderPriceRange marketType assetClass subMarketType lastTimeFundingRate;
futures ticker: sequence symbol side size tradeId price bestBidPrice bestBidSize bestAskPrice
    bestAskSize ts;
futures book: sequence symbol bids asks ts;
futures trade: sequence contractId tradeId makerOrderId takerOrderId ts size price side;
mark price: symbol granularity timePoint value indexPrice;
funding: symbol granularity timePoint value dailyInterestRate fundingRateCap fundingRateFloor period
    fundingTime lastTimeFundingRate;
settled funding: symbol fundingRate timepoint;
page: dataList hasMore;
value: symbol granularity timePoint value;
index: symbol granularity timePoint value decomposionList;
part: exchange exchangeName price weight;
tier: symbol level maxRiskLimit minRiskLimit maxLeverage initialMargin maintainMargin;
turnover: turnoverOf24h;
status: status msg;
overview: accountEquity unrealisedPNL marginBalance positionMargin orderMargin frozenFunds
    availableBalance currency availableMargin riskRatio maxWithdrawAmount;
pair: symbol name baseCurrency quoteCurrency feeCurrency market baseMinSize quoteMinSize baseMaxSize
    quoteMaxSize baseIncrement quoteIncrement priceIncrement priceLimitRate minFunds isMarginEnabled
    enableTrading feeCategory makerFeeCoefficient takerFeeCoefficient st callauctionIsEnabled
    callauctionPriceFloor callauctionPriceCeiling callauctionFirstStageStartTime
    callauctionSecondStageStartTime callauctionThirdStageStartTime tradingStartTime;
coin: currency name fullName precision confirms contractAddress isMarginEnabled isDebitEnabled
    chains;
chain: chainName withdrawalMinSize depositMinSize withdrawFeeRate withdrawalMinFee isWithdrawEnabled
    isDepositEnabled confirms preConfirms contractAddress withdrawPrecision maxWithdraw maxDeposit
    needTag chainId depositFeeRate withdrawMaxFee depositTierFee withdrawMinSize withdrawMinFee
    addressRegex memoRegex;
level1: time sequence price size bestBid bestBidSize bestAsk bestAskSize;
tickers: time ticker;
spot ticker: symbol symbolName buy bestBidSize sell bestAskSize changeRate changePrice high low vol
    volValue last averagePrice takerFeeRate makerFeeRate takerCoefficient makerCoefficient open
    lastSize;
day: time symbol buy sell changeRate changePrice high low vol volValue last averagePrice
    takerFeeRate makerFeeRate takerCoefficient makerCoefficient;
spot book: time sequence bids asks;
spot trade: sequence tradeId price size side time;
account: id currency type balance available holds;
position: id symbol crossMode delevPercentage openingTimestamp currentTimestamp currentQty
    currentCost currentComm unrealisedCost realisedGrossCost realisedCost isOpen markPrice markValue
    posCost posInit posMargin realisedGrossPnl realisedPnl unrealisedPnl unrealisedPnlPcnt
    unrealisedRoePcnt avgEntryPrice liquidationPrice bankruptPrice settleCurrency isInverse
    marginMode positionSide leverage maintMarginReq posMaint maintainMargin;
isolated: autoDeposit riskLimit realLeverage posCross posCrossMargin posComm posCommCommon posLoss
    posFunding maintMargin riskLimitLevel
"""
FIELDS = {
    name.strip(): fields.split()
    for name, _, fields in (row.partition(":") for row in _TABLE.split(";"))
}

# Market, call, where in the reply's data (numbers are places in lists), and the fields there.
PUBLIC = [
    ("futures", "v1/contracts/active", (0,), "contract"),
    ("futures", "v1/contracts/XBTUSDTM", (), "contract"),
    ("futures", "v1/ticker?symbol=XBTUSDTM", (), "futures ticker"),
    ("futures", "v1/allTickers", (0,), "futures ticker"),
    ("futures", "v1/level2/snapshot?symbol=XBTUSDTM", (), "futures book"),
    ("futures", "v1/level2/depth20?symbol=XBTUSDTM", (), "futures book"),
    ("futures", "v1/level2/depth100?symbol=XBTUSDTM", (), "futures book"),
    ("futures", "v1/trade/history?symbol=XBTUSDTM", (0,), "futures trade"),
    ("futures", "v1/mark-price/XBTUSDTM/current", (), "mark price"),
    ("futures", "v1/funding-rate/XBTUSDTM/current", (), "funding"),
    (
        "futures",
        "v1/contract/funding-rates?symbol=XBTUSDTM&from=0&to=9999999999999",
        (0,),
        "settled funding",
    ),
    ("futures", "v1/status", (), "status"),
    ("spot", "v2/symbols/BTC-USDT", (), "pair"),
    ("spot", "v2/symbols", (0,), "pair"),
    ("spot", "v3/currencies", (0,), "coin"),
    ("spot", "v3/currencies/BTC", (), "coin"),
    ("spot", "v1/market/orderbook/level1?symbol=BTC-USDT", (), "level1"),
    ("spot", "v1/market/allTickers", (), "tickers"),
    ("spot", "v1/market/allTickers", ("ticker", 0), "spot ticker"),
    ("spot", "v1/market/stats?symbol=BTC-USDT", (), "day"),
    ("spot", "v1/market/orderbook/level2_20?symbol=BTC-USDT", (), "spot book"),
    ("spot", "v1/market/orderbook/level2_100?symbol=BTC-USDT", (), "spot book"),
    ("spot", "v1/market/histories?symbol=BTC-USDT", (0,), "spot trade"),
    ("spot", "v1/status", (), "status"),
]
# What a recording does not know at all.
ONLY_SIMULATED = [
    ("futures", "v1/index/query?symbol=.KXBTUSDT", (), "page"),
    ("futures", "v1/index/query?symbol=.KXBTUSDT", ("dataList", 0), "index"),
    ("futures", "v1/index/query?symbol=.KXBTUSDT", ("dataList", 0, "decomposionList", 0), "part"),
    ("futures", "v1/premium/query?symbol=.XBTUSDTMPI", ("dataList", 0), "value"),
    ("futures", "v1/interest/query?symbol=.XBTINT", ("dataList", 0), "value"),
    ("futures", "v1/contracts/risk-limit/XBTUSDTM", (0,), "tier"),
    ("spot", "v3/currencies", (0, "chains", 0), "chain"),
    ("spot", "v3/currencies/BTC", ("chains", 0), "chain"),
]
SIGNED = [
    ("futures", "v1/trade-statistics", (), "turnover"),
    ("futures", "v1/account-overview?currency=USDT", (), "overview"),
    ("spot", "v1/accounts", (0,), "account"),
    ("spot", "v3/market/orderbook/level2?symbol=BTC-USDT", (), "spot book"),
]


def at(data, place):
    """What is in a reply's data at a place."""
    for step in place:
        data = data[step]
    return data
