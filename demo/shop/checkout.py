"""The shop's first service: the list of orders, a cart, and placing an order.

    GET  /orders      the latest orders with their items        PostgreSQL
    GET  /carts/ID    what is in a cart, and is there stock?    inventory
    POST /orders      place an order                            Redis, inventory, PostgreSQL, payment

Two of its pages are written as they should not be, which is what the demo finds: the list asks the database for the
items of each order (N+1), and the cart asks the inventory for one item after the other. With FAULTS=off they are
written well.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import psycopg
import redis
from service import Client, Service, serve

IS_WELL = os.environ.get("FAULTS") == "off"
CART = (3, 5, 8, 13)

inventory = Client("127.0.0.1", 8002)
payment = Client("127.0.0.1", 8003)
cache = redis.Redis(port=6379, decode_responses=True)
own = threading.local()


def database() -> psycopg.Connection:
    """This thread's connection."""
    if not hasattr(own, "database"):
        place = "postgresql://shop@127.0.0.1:5432/shop"
        own.database = psycopg.connect(place, autocommit=True, prepare_threshold=None)
    return own.database


def latest_orders() -> list[dict[str, Any]]:
    """Twelve orders with their items."""
    if IS_WELL:
        rows = database().execute(
            "SELECT orders.id, items.name FROM orders JOIN items ON items.order_id = orders.id "
            "WHERE orders.id <= 12 ORDER BY orders.id"
        )
        found: dict[int, list[str]] = {}
        for number, name in rows:
            found.setdefault(number, []).append(name)
        return [{"order": number, "items": names} for number, names in found.items()]
    orders = database().execute("SELECT id FROM orders WHERE id <= 12 ORDER BY id").fetchall()
    listed = []
    for (number,) in orders:
        items = database().execute("SELECT name FROM items WHERE order_id = %s", (number,))
        listed.append({"order": number, "items": [name for (name,) in items]})
    return listed


def cart() -> list[Any]:
    """What is in the cart."""
    if IS_WELL:
        return inventory.call("GET", "/stock?items=" + ",".join(map(str, CART)))[1]
    return [inventory.call("GET", f"/stock/{item}")[1] for item in CART]


def place_order(order: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Reserve, write down, charge."""
    customer = order["customer"]
    name = cache.get(f"customer:{customer}")
    inventory.call("GET", f"/stock/{order['item']}")
    number = (
        database()
        .execute("INSERT INTO orders (customer) VALUES (%s) RETURNING id", (customer,))
        .fetchone()
    )
    assert number is not None
    status, paid = payment.call("POST", "/payments", {"order": number[0], "cents": order["cents"]})
    answer = {"order": number[0], "for": str(name), "payment": paid}
    return answer, 201 if status == 200 else 502


class Checkout(Service):
    """See the module's text."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/orders":
            self.answer(latest_orders())
        elif self.path.startswith("/carts/"):
            self.answer(cart())
        else:
            self.answer({"error": "there is no such page"}, 404)

    def do_POST(self) -> None:
        self.answer(*place_order(self.body()))


if __name__ == "__main__":
    serve(8001, Checkout)
