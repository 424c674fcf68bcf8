"""The REST calls that KuCoin has, by address and subject, whether they are served here or not.

From kucoin-universal-sdk 1.3.2 and, where that has none, ccxt 4.5.90, without the calls of exchange
brokers, which have an address of their own.
"""

from __future__ import annotations

__all__ = ["KNOWN_CALLS"]

#: By market: subjects, and the method and path of each of their calls.
KNOWN_CALLS: dict[str, dict[str, str]] = {
    "spot": {
        "market data": """
            POST /api/v1/bullet-private
            POST /api/v1/bullet-public
            POST /api/v2/bullet-private
            GET /api/v1/currencies
            GET /api/v1/currencies/{currency}
            GET /api/v1/market/allTickers
            GET /api/v1/market/callauctionData
            GET /api/v1/market/candles
            GET /api/v1/market/histories
            GET /api/v1/market/orderbook/callauction/level2_{size}
            GET /api/v1/market/orderbook/level1
            GET /api/v1/market/orderbook/level2_100
            GET /api/v1/market/orderbook/level2_20
            GET /api/v1/market/stats
            GET /api/v1/markets
            GET /api/v1/my-ip
            GET /api/v1/prices
            GET /api/v1/status
            GET /api/v1/symbols
            GET /api/v1/timestamp
            GET /api/v2/currencies/{currency}
            GET /api/v2/symbols
            GET /api/v2/symbols/{symbol}
            GET /api/v3/announcements
            GET /api/v3/currencies
            GET /api/v3/currencies/{currency}
            GET /api/v3/market/orderbook/level2
            GET /api/v3/market/orderbook/level3
        """,
        "orders and fills": """
            GET /api/v1/fills
            GET /api/v1/hf/fills
            DELETE /api/v1/hf/orders
            POST /api/v1/hf/orders
            GET /api/v1/hf/orders/active
            GET /api/v1/hf/orders/active/page
            GET /api/v1/hf/orders/active/symbols
            POST /api/v1/hf/orders/alter
            DELETE /api/v1/hf/orders/cancel/{orderId}
            DELETE /api/v1/hf/orders/cancelAll
            DELETE /api/v1/hf/orders/client-order/{clientOid}
            GET /api/v1/hf/orders/client-order/{clientOid}
            POST /api/v1/hf/orders/dead-cancel-all
            GET /api/v1/hf/orders/dead-cancel-all/query
            GET /api/v1/hf/orders/done
            POST /api/v1/hf/orders/multi
            POST /api/v1/hf/orders/multi/sync
            POST /api/v1/hf/orders/sync
            DELETE /api/v1/hf/orders/sync/client-order/{clientOid}
            DELETE /api/v1/hf/orders/sync/{orderId}
            POST /api/v1/hf/orders/test
            DELETE /api/v1/hf/orders/{orderId}
            GET /api/v1/hf/orders/{orderId}
            GET /api/v1/hist-orders
            GET /api/v1/limit/fills
            GET /api/v1/limit/orders
            DELETE /api/v1/order/client-order/{clientOid}
            GET /api/v1/order/client-order/{clientOid}
            DELETE /api/v1/orders
            GET /api/v1/orders
            POST /api/v1/orders
            POST /api/v1/orders/multi
            POST /api/v1/orders/test
            DELETE /api/v1/orders/{orderId}
            GET /api/v1/orders/{orderId}
            GET /api/v1/stop-order
            POST /api/v1/stop-order
            DELETE /api/v1/stop-order/cancel
            DELETE /api/v1/stop-order/cancelOrderByClientOid
            GET /api/v1/stop-order/queryOrderByClientOid
            DELETE /api/v1/stop-order/{orderId}
            GET /api/v1/stop-order/{orderId}
            DELETE /api/v3/oco/client-order/{clientOid}
            GET /api/v3/oco/client-order/{clientOid}
            POST /api/v3/oco/order
            GET /api/v3/oco/order/details/{orderId}
            DELETE /api/v3/oco/order/{orderId}
            GET /api/v3/oco/order/{orderId}
            DELETE /api/v3/oco/orders
            GET /api/v3/oco/orders
        """,
        "accounts, ledgers and transfers": """
            GET /api/v1/accounts
            GET /api/v1/accounts/ledgers
            GET /api/v1/accounts/transferable
            GET /api/v1/accounts/{accountId}
            GET /api/v1/accounts/{accountId}/holds
            GET /api/v1/hf/accounts/ledgers
            GET /api/v1/isolated/account/{symbol}
            GET /api/v1/isolated/accounts
            GET /api/v1/margin/account
            POST /api/v2/accounts/inner-transfer
            POST /api/v2/accounts/sub-transfer
            POST /api/v3/accounts/universal-transfer
            GET /api/v3/hf/margin/account/ledgers
            GET /api/v3/isolated/accounts
            GET /api/v3/margin/accounts
            GET /api/v3/migrate/user/account/status
        """,
        "fees": """
            GET /api/v1/base-fee
            GET /api/v1/trade-fees
        """,
        "the user and the key": """
            GET /api/v1/hf/accounts/opened
            GET /api/v1/user/api-key
            GET /api/v2/user-info
        """,
        "margin trading: instruments": """
            GET /api/v1/isolated/symbols
            GET /api/v1/margin/collateralRatio
            GET /api/v1/margin/config
            GET /api/v1/mark-price/{symbol}/current
            GET /api/v1/risk/limit/strategy
            GET /api/v3/etf/info
            GET /api/v3/margin/available-inventory
            GET /api/v3/margin/currencies
            GET /api/v3/margin/symbols
            GET /api/v3/mark-price/all-symbols
        """,
        "margin trading: loans": """
            GET /api/v3/margin/borrow
            POST /api/v3/margin/borrow
            GET /api/v3/margin/borrowRate
            GET /api/v3/margin/interest
            GET /api/v3/margin/repay
            POST /api/v3/margin/repay
            POST /api/v3/position/update-user-leverage
        """,
        "margin trading: orders": """
            POST /api/v1/margin/order
            POST /api/v1/margin/order/test
            GET /api/v3/hf/margin/fills
            POST /api/v3/hf/margin/oco-order
            DELETE /api/v3/hf/margin/oco-order/cancel
            DELETE /api/v3/hf/margin/oco-order/cancel-by-clientOid
            DELETE /api/v3/hf/margin/oco-order/cancel-by-id
            GET /api/v3/hf/margin/oco-order/clientOid
            GET /api/v3/hf/margin/oco-order/detail/orderId
            GET /api/v3/hf/margin/oco-order/orderId
            GET /api/v3/hf/margin/oco-orders
            POST /api/v3/hf/margin/order
            GET /api/v3/hf/margin/order/active/symbols
            POST /api/v3/hf/margin/order/test
            DELETE /api/v3/hf/margin/orders
            GET /api/v3/hf/margin/orders/active
            DELETE /api/v3/hf/margin/orders/client-order/{clientOid}
            GET /api/v3/hf/margin/orders/client-order/{clientOid}
            GET /api/v3/hf/margin/orders/done
            DELETE /api/v3/hf/margin/orders/{orderId}
            GET /api/v3/hf/margin/orders/{orderId}
            POST /api/v3/hf/margin/stop-order
            DELETE /api/v3/hf/margin/stop-order/cancel
            DELETE /api/v3/hf/margin/stop-order/cancel-by-clientOid
            DELETE /api/v3/hf/margin/stop-order/cancel-by-id
            GET /api/v3/hf/margin/stop-order/clientOid
            GET /api/v3/hf/margin/stop-order/orderId
            GET /api/v3/hf/margin/stop-orders
        """,
        "lending": """
            POST /api/v3/lend/purchase/update
            GET /api/v3/project/list
            GET /api/v3/project/marketInterestRate
            POST /api/v3/purchase
            GET /api/v3/purchase/orders
            POST /api/v3/redeem
            GET /api/v3/redeem/orders
        """,
        "deposits and withdrawals": """
            GET /api/v1/deposit-addresses
            POST /api/v1/deposit-addresses
            GET /api/v1/deposits
            GET /api/v1/hist-deposits
            GET /api/v1/hist-withdrawals
            GET /api/v1/withdrawals
            POST /api/v1/withdrawals
            GET /api/v1/withdrawals/quotas
            DELETE /api/v1/withdrawals/{withdrawalId}
            GET /api/v1/withdrawals/{withdrawalId}
            GET /api/v2/deposit-addresses
            POST /api/v3/deposit-address/create
            GET /api/v3/deposit-addresses
            POST /api/v3/withdrawals
        """,
        "sub-accounts": """
            GET /api/v1/sub-accounts
            GET /api/v1/sub-accounts/{subUserId}
            DELETE /api/v1/sub/api-key
            GET /api/v1/sub/api-key
            POST /api/v1/sub/api-key
            POST /api/v1/sub/api-key/update
            GET /api/v1/sub/user
            GET /api/v2/sub-accounts
            GET /api/v2/sub/user
            POST /api/v2/sub/user/created
            POST /api/v3/sub/user/futures/enable
            POST /api/v3/sub/user/margin/enable
        """,
        "affiliates and brokers": """
            GET /api/v1/broker/api/rebase/download
            GET /api/v1/broker/queryDetailByUid
            GET /api/v1/broker/queryMyCommission
            GET /api/v1/broker/queryUser
            GET /api/v2/affiliate/inviter/statistics
            GET /api/v2/affiliate/queryInvitees
            GET /api/v2/affiliate/queryKumining
            GET /api/v2/affiliate/queryMyCommission
            GET /api/v2/affiliate/queryTransactionByTime
            GET /api/v2/affiliate/queryTransactionByUid
        """,
        "earn": """
            GET /api/v1/earn/eth-staking/products
            GET /api/v1/earn/hold-assets
            GET /api/v1/earn/kcs-staking/products
            DELETE /api/v1/earn/orders
            POST /api/v1/earn/orders
            GET /api/v1/earn/promotion/products
            GET /api/v1/earn/redeem-preview
            GET /api/v1/earn/saving/products
            GET /api/v1/earn/staking/products
            GET /api/v1/struct-earn/dual/products
            GET /api/v1/struct-earn/orders
            POST /api/v1/struct-earn/orders
        """,
        "VIP loans": """
            GET /api/v1/otc-loan/accounts
            GET /api/v1/otc-loan/discount-rate-configs
            GET /api/v1/otc-loan/loan
        """,
        "convert": """
            GET /api/v1/convert/currencies
            POST /api/v1/convert/limit/order
            DELETE /api/v1/convert/limit/order/cancel
            GET /api/v1/convert/limit/order/detail
            GET /api/v1/convert/limit/orders
            GET /api/v1/convert/limit/quote
            POST /api/v1/convert/order
            GET /api/v1/convert/order/detail
            GET /api/v1/convert/order/history
            GET /api/v1/convert/quote
            GET /api/v1/convert/symbol
        """,
        "unified API: market data": """
            GET /api/ua/v1/asset/currencies
            GET /api/ua/v1/market/announcement
            GET /api/ua/v1/market/collateral-discount-ratio
            GET /api/ua/v1/market/cross-config
            GET /api/ua/v1/market/currency
            GET /api/ua/v1/market/fiat-price
            GET /api/ua/v1/market/funding-rate
            GET /api/ua/v1/market/funding-rate-history
            GET /api/ua/v1/market/index-price
            GET /api/ua/v1/market/instrument
            GET /api/ua/v1/market/kline
            GET /api/ua/v1/market/open-interest
            GET /api/ua/v1/market/orderbook
            GET /api/ua/v1/market/position-tiers
            GET /api/ua/v1/market/ticker
            GET /api/ua/v1/market/trade
            GET /api/ua/v1/server/status
            GET /api/ua/v2/market/funding-rate
        """,
        "unified API: accounts and orders": """
            GET /api/ua/v1/account/balance
            GET /api/ua/v1/account/deposit/address
            GET /api/ua/v1/account/interest-history
            GET /api/ua/v1/account/interest-limits
            GET /api/ua/v1/account/ledger
            GET /api/ua/v1/account/mode
            POST /api/ua/v1/account/mode
            POST /api/ua/v1/account/transfer
            GET /api/ua/v1/account/transfer-quota
            GET /api/ua/v1/asset/deposit/address
            GET /api/ua/v1/dcp/query
            POST /api/ua/v1/dcp/set
            GET /api/ua/v1/market/borrowable-currency
            GET /api/ua/v1/position/funding-history
            GET /api/ua/v1/position/history
            GET /api/ua/v1/sub-account/balance
            POST /api/ua/v1/sub-account/canTransferOut
            GET /api/ua/v1/unified/account/leverage
            GET /api/ua/v1/user/fee-rate
            GET /api/ua/v1/user/my-ip
            GET /api/ua/v1/{accountMode}/account/balance
            POST /api/ua/v1/{accountMode}/account/modify-leverage
            POST /api/ua/v1/{accountMode}/account/modify-leverage-margin-cross
            GET /api/ua/v1/{accountMode}/account/overview
            POST /api/ua/v1/{accountMode}/order/cancel
            POST /api/ua/v1/{accountMode}/order/cancel-all
            POST /api/ua/v1/{accountMode}/order/cancel-batch
            GET /api/ua/v1/{accountMode}/order/detail
            GET /api/ua/v1/{accountMode}/order/execution
            GET /api/ua/v1/{accountMode}/order/history
            GET /api/ua/v1/{accountMode}/order/open-list
            POST /api/ua/v1/{accountMode}/order/place
            POST /api/ua/v1/{accountMode}/order/place-batch
            GET /api/ua/v1/{accountMode}/position/history
            GET /api/ua/v1/{accountMode}/position/open-list
            GET /api/ua/v1/{accountMode}/position/tiers
        """,
    },
    "futures": {
        "market data": """
            GET /api/v1/allTickers
            POST /api/v1/bullet-private
            POST /api/v1/bullet-public
            POST /api/v2/bullet-private
            GET /api/v1/contracts/active
            GET /api/v1/contracts/{symbol}
            GET /api/v1/index/query
            GET /api/v1/interest/query
            GET /api/v1/kline/query
            GET /api/v1/level2/depth100
            GET /api/v1/level2/depth20
            GET /api/v1/level2/message/query
            GET /api/v1/level2/snapshot
            GET /api/v1/level3/message/query
            GET /api/v1/mark-price/{symbol}/current
            GET /api/v1/premium/query
            GET /api/v1/status
            GET /api/v1/ticker
            GET /api/v1/timestamp
            GET /api/v1/trade-statistics
            GET /api/v1/trade/history
            GET /api/v2/level3/snapshot
        """,
        "orders and fills": """
            GET /api/v1/fills
            GET /api/v1/openOrderStatistics
            DELETE /api/v1/orders
            GET /api/v1/orders
            POST /api/v1/orders
            GET /api/v1/orders/byClientOid
            DELETE /api/v1/orders/client-order/{clientOid}
            POST /api/v1/orders/multi
            DELETE /api/v1/orders/multi-cancel
            POST /api/v1/orders/test
            DELETE /api/v1/orders/{orderId}
            GET /api/v1/orders/{orderId}
            GET /api/v1/recentDoneOrders
            GET /api/v1/recentFills
            POST /api/v1/st-orders
            DELETE /api/v1/stopOrders
            GET /api/v1/stopOrders
            DELETE /api/v3/orders
        """,
        "accounts, ledgers and transfers": """
            GET /api/v1/account-overview
            DELETE /api/v1/cancel/transfer-out
            GET /api/v1/transaction-history
            POST /api/v1/transfer-in
            GET /api/v1/transfer-list
            POST /api/v2/transfer-out
            POST /api/v3/transfer-out
        """,
        "fees": """
            GET /api/v1/trade-fees
        """,
        "positions, leverage and risk limits": """
            GET /api/v1/contracts/risk-limit/{symbol}
            GET /api/v1/history-positions
            GET /api/v1/margin/maxWithdrawMargin
            POST /api/v1/margin/withdrawMargin
            GET /api/v1/position
            POST /api/v1/position/margin/auto-deposit-status
            POST /api/v1/position/margin/deposit-margin
            POST /api/v1/position/risk-limit-level/change
            GET /api/v1/positions
            GET /api/v2/batchGetCrossOrderLimit
            POST /api/v2/changeCrossUserLeverage
            GET /api/v2/getCrossUserLeverage
            GET /api/v2/getMaxOpenSize
            POST /api/v2/position/batchChangeMarginMode
            POST /api/v2/position/changeMarginMode
            GET /api/v2/position/getMarginMode
            GET /api/v2/position/getPositionMode
            POST /api/v2/position/switchPositionMode
        """,
        "funding": """
            GET /api/v1/contract/funding-rates
            GET /api/v1/funding-history
            GET /api/v1/funding-rate/{symbol}/current
        """,
        "deposits and withdrawals": """
            GET /api/v1/deposit-address
            GET /api/v1/deposit-list
            GET /api/v1/withdrawal-list
            POST /api/v1/withdrawals
            GET /api/v1/withdrawals/quotas
            DELETE /api/v1/withdrawals/{withdrawalId}
        """,
        "sub-accounts": """
            GET /api/v1/account-overview-all
            DELETE /api/v1/sub/api-key
            GET /api/v1/sub/api-key
            POST /api/v1/sub/api-key
            POST /api/v1/sub/api-key/update
        """,
        "copy trading": """
            GET /api/v1/copy-trade/futures/get-max-open-size
            DELETE /api/v1/copy-trade/futures/orders
            POST /api/v1/copy-trade/futures/orders
            DELETE /api/v1/copy-trade/futures/orders/client-order
            POST /api/v1/copy-trade/futures/orders/test
            POST /api/v1/copy-trade/futures/position/changeCrossUserLeverage
            POST /api/v1/copy-trade/futures/position/changeMarginMode
            POST /api/v1/copy-trade/futures/position/margin/auto-deposit-status
            POST /api/v1/copy-trade/futures/position/margin/deposit-margin
            GET /api/v1/copy-trade/futures/position/margin/max-withdraw-margin
            POST /api/v1/copy-trade/futures/position/margin/withdraw-margin
            POST /api/v1/copy-trade/futures/position/risk-limit-level/change
            POST /api/v1/copy-trade/futures/st-orders
            POST /api/v1/copy-trade/getCrossModeMarginRequirement
            POST /api/v1/copy-trade/position/switchPositionMode
        """,
    },
}
