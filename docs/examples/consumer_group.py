"""A consumer group that handles every order once: consumer_group.py URL publish|work [COUNT]

Publishing: each order has an id (Nats-Msg-Id), so that one sent again after a lost answer is stored once.
Working: the instances share the durable consumer "billing"; an order is done when the bus has confirmed its
acknowledgement, which it does when that is on disk. What was handled is printed, one a line.
"""

import asyncio
import sys

import nats
from nats.errors import TimeoutError
from nats.js.api import ConsumerConfig, StreamConfig


async def orders(js):
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"], duplicate_window=120))


async def publish(url, count):
    """Publishes orders, each of them twice, as a publisher does that did not hear the first answer."""
    client = await nats.connect(url)
    js = client.jetstream()
    await orders(js)
    for number in range(count):
        for _ in range(2):
            await js.publish("orders.new", str(number).encode(), headers={"Nats-Msg-Id": f"order-{number}"})
    await client.close()


async def work(url):
    """Handles orders until there are none for a while."""
    client = await nats.connect(url)
    js = client.jetstream()
    await orders(js)
    # ack_wait: longer than handling one takes; after that somebody else gets it.
    config = ConsumerConfig(ack_wait=30)
    group = await js.pull_subscribe("orders.>", durable="billing", stream="ORDERS", config=config)
    while True:
        try:
            messages = await group.fetch(20, timeout=2)
        except TimeoutError:
            break
        for message in messages:
            # Here the order is booked, with its id, so that one that comes again after a crash is seen to be booked.
            print(message.data.decode(), flush=True)
            await message.ack_sync()
    await client.close()


if __name__ == "__main__":
    url, what = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    asyncio.run(publish(url, count) if what == "publish" else work(url))
