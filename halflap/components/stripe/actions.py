"""Actions of Stripe, declared from its OpenAPI document."""

from __future__ import annotations

from pathlib import Path

from halflap import Operation, Paging, Specification
from halflap.components.stripe.connection import component

SPECIFICATION = Specification(
    Path(__file__).with_name("openapi.json"), hidden=("ending_before", "expand")
)
PAGES = Paging.cursor("data", "starting_after", more="has_more", size="limit", largest=100)
SEARCH = Paging.token("data", "page", "next_page", size="limit", largest=100)

ACTIONS = component.operations(
    SPECIFICATION,
    {
        "create_customer": Operation(
            "PostCustomers", "Create a customer", "email name phone description metadata"
        ),
        "get_customer": Operation("GetCustomersCustomer", "Get a customer", missing=True),
        "update_customer": Operation(
            "PostCustomersCustomer", "Update a customer", "email name phone description metadata"
        ),
        "delete_customer": Operation("DeleteCustomersCustomer", "Delete a customer"),
        "list_customers": Operation("GetCustomers", "List customers", "email most", PAGES),
        "search_customers": Operation("GetCustomersSearch", "Search for customers", "most", SEARCH),
        "create_payment_intent": Operation(
            "PostPaymentIntents",
            "Create a payment intent",
            "customer payment_method description receipt_email confirm metadata",
        ),
        "get_payment_intent": Operation(
            "GetPaymentIntentsIntent", "Get a payment intent", "client_secret", missing=True
        ),
        "confirm_payment_intent": Operation(
            "PostPaymentIntentsIntentConfirm",
            "Confirm a payment intent",
            "payment_method return_url",
        ),
        "capture_payment_intent": Operation(
            "PostPaymentIntentsIntentCapture", "Capture a payment intent", "amount_to_capture"
        ),
        "cancel_payment_intent": Operation(
            "PostPaymentIntentsIntentCancel", "Cancel a payment intent", "cancellation_reason"
        ),
        "list_payment_intents": Operation(
            "GetPaymentIntents", "List payment intents", "customer created most", PAGES
        ),
        "create_invoice": Operation(
            "PostInvoices",
            "Create an invoice",
            "customer collection_method days_until_due description auto_advance metadata",
        ),
        "add_invoice_item": Operation(
            "PostInvoiceitems",
            "Add an item to an invoice",
            "invoice amount currency description price quantity",
        ),
        "get_invoice": Operation("GetInvoicesInvoice", "Get an invoice", missing=True),
        "finalize_invoice": Operation("PostInvoicesInvoiceFinalize", "Finalize an invoice"),
        "pay_invoice": Operation("PostInvoicesInvoicePay", "Pay an invoice", "payment_method"),
        "send_invoice": Operation("PostInvoicesInvoiceSend", "Send an invoice"),
        "void_invoice": Operation("PostInvoicesInvoiceVoid", "Void an invoice"),
        "list_invoices": Operation(
            "GetInvoices", "List invoices", "customer status subscription created most", PAGES
        ),
        "create_subscription": Operation(
            "PostSubscriptions",
            "Create a subscription",
            "items trial_period_days collection_method days_until_due metadata",
        ),
        "get_subscription": Operation(
            "GetSubscriptionsSubscriptionExposedId", "Get a subscription", missing=True
        ),
        "update_subscription": Operation(
            "PostSubscriptionsSubscriptionExposedId",
            "Update a subscription",
            "items cancel_at_period_end proration_behavior metadata",
        ),
        "cancel_subscription": Operation(
            "DeleteSubscriptionsSubscriptionExposedId",
            "Cancel a subscription",
            "prorate invoice_now",
        ),
        "list_subscriptions": Operation(
            "GetSubscriptions", "List subscriptions", "customer price status most", PAGES
        ),
        "create_product": Operation(
            "PostProducts", "Create a product", "description active metadata default_price_data"
        ),
        "list_products": Operation("GetProducts", "List products", "active most", PAGES),
        "create_price": Operation(
            "PostPrices", "Create a price", "product unit_amount recurring nickname metadata"
        ),
        "list_prices": Operation("GetPrices", "List prices", "product active most", PAGES),
        "create_refund": Operation(
            "PostRefunds", "Refund a payment", "payment_intent charge amount reason metadata"
        ),
        "get_refund": Operation("GetRefundsRefund", "Get a refund", missing=True),
        "list_refunds": Operation(
            "GetRefunds", "List refunds", "payment_intent charge most", PAGES
        ),
        "create_checkout_session": Operation(
            "PostCheckoutSessions",
            "Create a checkout session",
            "mode line_items success_url cancel_url customer customer_email client_reference_id metadata",
        ),
        "get_checkout_session": Operation(
            "GetCheckoutSessionsSession", "Get a checkout session", missing=True
        ),
        "expire_checkout_session": Operation(
            "PostCheckoutSessionsSessionExpire", "Expire a checkout session"
        ),
        "get_balance": Operation("GetBalance", "Get the account's balance"),
    },
)
globals().update(ACTIONS)
