"""How each operator is differentiated: the table `GRADIENTS`.

A rule sees one node (`trimtab.train.site.Site`), adds nodes that compute the gradients
of its inputs from that of its output, and gives them in the order of the inputs. A
family of operators is one file with a table of its own; an operator without a line is
refused by name. What is constant almost everywhere has the rule `flat`.
"""

from __future__ import annotations

from trimtab.train.gradients.arithmetic import ARITHMETIC
from trimtab.train.gradients.matmul import MATMUL
from trimtab.train.gradients.moves import MOVES
from trimtab.train.gradients.normalisation import NORMALISATION
from trimtab.train.gradients.recurrent import RECURRENT
from trimtab.train.gradients.reduction import REDUCTION
from trimtab.train.gradients.resize import RESIZE
from trimtab.train.gradients.unary import UNARY
from trimtab.train.gradients.windows import WINDOWS
from trimtab.train.site import Rule

__all__ = ["GRADIENTS"]

#: Operator, with its domain and a dot before it where that is not ai.onnx -> its rule.
GRADIENTS: dict[str, Rule] = {
    **UNARY,
    **ARITHMETIC,
    **MATMUL,
    **REDUCTION,
    **MOVES,
    **WINDOWS,
    **NORMALISATION,
    **RECURRENT,
    **RESIZE,
}
