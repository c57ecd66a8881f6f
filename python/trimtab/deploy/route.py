"""All that a request must know of where it goes, in one object.

A request reads it once, and so is answered by one version as a whole; a swap puts
another one in its place. Who holds the object keeps its arms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab import _core

if TYPE_CHECKING:
    from trimtab.deploy.arm import Arm
    from trimtab.deploy.shadow import Shadow
    from trimtab.deploy.traffic import Traffic
    from trimtab.pipeline import Pipeline

__all__ = ["Route"]


class Route:
    """Which arm answers, and who else is shown the request.

    Parameters
    ----------
    champion : Arm
    traffic : Traffic or None
    shadow : Shadow or None
    is_plain : bool
        Nothing stands between a request and the champion: no queue, no deadline. Not
        plain where there is traffic.
    """

    __slots__ = (
        "champion",
        "is_plain",
        "pipeline",
        "program",
        "request",
        "shadow",
        "traffic",
    )

    def __init__(
        self,
        champion: Arm,
        traffic: Traffic | None,
        shadow: Shadow | None,
        *,
        is_plain: bool,
    ) -> None:
        self.champion = champion
        self.traffic = traffic
        self.shadow = shadow
        self.is_plain = is_plain and traffic is None
        self.pipeline: Pipeline = champion.pipeline
        self.program: _core.Program = champion.program
        #: Of plain routes without steps, the only thing that has to be called.
        self.request: _core.Program | None = None
        if self.is_plain:
            self.request = champion.request
