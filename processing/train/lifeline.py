"""Connections between the hosts of one job: values exchanged among all, and the end of one noticed by all others.

A star: every host is connected with the first. A parameter server alone would let the others wait for a dead host
without end, in a call that no signal interrupts; here a thread listens.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from train import messages
from train.meeting import Peer

BEAT_SECONDS = 2.0
# A host that swaps is not dead yet.
SILENCE_SECONDS = 60.0
# How long the end waits for its reason to be sent to hosts that may not read any more.
LAST_WORDS_SECONDS = 5.0
ALIVE, VALUE, FAILED, DONE = "alive", "value", "failed", "done"


class Lifeline:
    """One host's connections, watched by a thread each."""

    def __init__(self, peers: Sequence[Peer], *, is_first: bool, lost: Callable[[str], None]) -> None:
        """`lost` is called once, in a thread, with a one-line reason, when a peer fails, falls silent or is gone,
        or by `end`.
        """
        self._peers = peers
        self._is_first = is_first
        self._lost = lost
        self._values: dict[str, queue.SimpleQueue[Any]] = {peer.name: queue.SimpleQueue() for peer in peers}
        self._done = {peer.name: threading.Event() for peer in peers}
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self._over = threading.Event()
        for peer in peers:
            threading.Thread(target=self._listen, args=(peer,), name=f"listen-{peer.name}", daemon=True).start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def gather(self, value: object) -> list[Any]:
        """Return the values of all hosts, the first host's first; all hosts must call it equally often.

        Values are what `messages.encode` takes.
        """
        if not self._is_first:
            self._send(VALUE, value)
            values: list[Any] = self._values[self._peers[0].name].get()
            return values
        values = [value, *(self._values[peer.name].get() for peer in self._peers)]
        self._send(VALUE, values)
        return values

    def finish(self) -> None:
        """Say that this host has ended well, and wait for the others to say so."""
        self._send(DONE, None)
        for done in self._done.values():
            done.wait()
        self._over.set()

    def fail(self, reason: str) -> None:
        """Say why this host ends; what the others do then is no news any more."""
        self._over.set()
        self._send_last(reason)

    def end(self, reason: str) -> None:
        """End the job on all hosts, this one by `lost`; nothing where it has ended already."""
        with self._ending:
            if self._over.is_set():
                return
            self._over.set()
        self._send_last(reason)
        self._lost(reason)

    def _send(self, kind: str, content: object) -> None:
        message = messages.encode([kind, content])
        with self._sending:
            for peer in self._peers:
                try:
                    peer.connection.send_bytes(message)
                except OSError:
                    continue  # the thread that listens to this peer finds it gone too, and says so

    def _send_last(self, reason: str) -> None:
        """Send why it is over, without waiting for long for a host that is alive but does not read."""
        sender = threading.Thread(target=self._send, args=(FAILED, reason), name="last words", daemon=True)
        sender.start()
        sender.join(LAST_WORDS_SECONDS)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._send(ALIVE, None)

    def _listen(self, peer: Peer) -> None:
        try:
            reason = self._heard(peer)
        except (EOFError, OSError):
            reason = f"host {peer.name} is gone; its log may say why"
        except Exception as error:  # a thread that ended silently would let the job wait for ever
            reason = f"host {peer.name} sent what cannot be read: {type(error).__name__}: {error}"
        if reason is not None:
            self.end(" ".join(reason.split()))

    def _heard(self, peer: Peer) -> str | None:
        """Listen until the peer is done (None), or there is a reason to end."""
        while peer.connection.poll(SILENCE_SECONDS):
            kind, content = messages.decode(peer.connection.recv_bytes())
            if kind == DONE:
                self._done[peer.name].set()
                return None
            if kind == FAILED:
                return str(content)
            if kind == VALUE:
                self._values[peer.name].put(content)
        return f"host {peer.name} has been silent for {SILENCE_SECONDS:g} s"
