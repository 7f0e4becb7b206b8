"""Speaks a script over a WebSocket, with a client library that knows nothing of the daemon.

Standard input: a JSON object with `uri`, `headers`, `subprotocols`, and `steps`, each of which is ["text", TEXT],
["binary", BASE64], ["sleep", SECONDS], ["await", TEXT that a message must contain] or ["close"]. Standard output: what was
heard, once the other side has closed.
"""

import base64
import json
import sys
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

script = json.load(sys.stdin)
texts = []
with connect(
    script["uri"],
    additional_headers=script["headers"],
    subprotocols=script["subprotocols"] or None,
    open_timeout=60,
    close_timeout=60,
    proxy=None,
) as socket:
    try:
        for kind, *value in script["steps"]:
            if kind == "text":
                socket.send(value[0])
            elif kind == "binary":
                socket.send(base64.b64decode(value[0]))
            elif kind == "sleep":
                time.sleep(value[0])
            elif kind == "close":
                socket.close()
            else:
                while not texts or value[0] not in texts[-1]:
                    texts.append(socket.recv(timeout=60))
        while True:
            texts.append(socket.recv(timeout=60))
    except ConnectionClosed as closed:
        frame = closed.rcvd
    print(
        json.dumps(
            {
                "texts": texts,
                "code": frame.code if frame else None,
                "reason": frame.reason if frame else None,
                "subprotocol": socket.subprotocol,
            }
        )
    )
