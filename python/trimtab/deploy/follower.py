"""Follows an alias of the registry: what it names serves, a moment later.

A look is one stat. A version that is not fit to serve is told of and let alone until
the alias changes again; the one that serves goes on.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from trimtab.monitor.troubles import Troubles
from trimtab.monitor.worker import Worker

if TYPE_CHECKING:
    from trimtab.deploy.deployment import Deployment
    from trimtab.deploy.source import Source
    from trimtab.registry.alias import Alias

__all__ = ["Follower"]

#: Between two looks; twice as long after every one that fails, up to the longest.
INTERVAL_S = 0.1
LONGEST_S = 5.0


class Follower:
    """A thread that lets a deployment serve what an alias names.

    Parameters
    ----------
    deployment : Deployment
        Held weakly.
    source : Source
    """

    def __init__(self, deployment: Deployment, source: Source) -> None:
        self._deployment = weakref.ref(deployment)
        self._watch = source.registry.watch(source.reference)
        self._troubles = Troubles("following an alias", "Deployment.follower.troubles")
        self._worker = Worker(self, name="trimtab-follower")
        self._lock = threading.Lock()
        self._pause_s = INTERVAL_S
        #: Swaps that an alias has led to.
        self.n_swaps = 0

    def start(self) -> None:
        """Start the thread, unless it runs."""
        self._worker.start()

    def renew(self) -> None:
        """In a forked child: the registry is followed there too."""
        self._lock = threading.Lock()
        self._troubles.renew()
        self._worker.start()

    @property
    def is_alive(self) -> bool:
        """Does the thread run, in this process?"""
        return self._worker.is_alive

    @property
    def alias(self) -> Alias | None:
        """What the alias said at the last look."""
        return self._watch.seen

    @property
    def troubles(self) -> dict[str, int]:
        """What failed, and how often."""
        return self._troubles.counts

    @property
    def last_trouble(self) -> dict[str, str]:
        """The last message of each kind of trouble."""
        return self._troubles.last

    def tick(self) -> float:
        """Look once.

        Returns
        -------
        seconds : float
            Until the next look.
        """
        if self.look():
            self._pause_s = INTERVAL_S
        else:
            self._pause_s = min(2 * self._pause_s, LONGEST_S)
        return self._pause_s

    def look(self) -> bool:
        """Look now, and swap where the alias names another version.

        Returns
        -------
        is_read : bool
            False where the alias could not be read.
        """
        with self._lock:
            try:
                alias = self._watch.poll()
            except Exception as error:
                self._troubles.note("reading the alias", error)
                return False
            deployment = self._deployment()
            if alias is not None and deployment is not None:
                with self._troubles.guard("swapping"):
                    self._swap(deployment, alias)
        return True

    def _swap(self, deployment: Deployment, alias: Alias) -> None:
        champion = deployment.champion
        if (champion.version, champion.digest) == (alias.version, alias.digest):
            return
        deployment.swap(alias.version)
        self.n_swaps += 1

    def close(self) -> None:
        """End the thread."""
        self._worker.stop()
