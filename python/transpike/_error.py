# SPDX-License-Identifier: Apache-2.0
"""The one exception of the package."""

from __future__ import annotations


class Error(Exception):
    """A refusal of the library: one line of text, and its fields.

    Attributes:
        status: ``"IO"``, ``"FORMAT"``, ``"UNSUPPORTED"``, ``"SHAPE"``, ``"RANGE"``, ``"LIMIT"``,
            ``"MISMATCH"``, ``"NOMEM"``, ``"INTERRUPTED"`` or ``"USAGE"``.
        exit_code: exit code of the command for this status.
        message: what was found and what was expected, with the file where there is one.
        stage: part of the library that refused, such as ``"import"`` or ``"data"``.
        node: node of the source network or layer of the spiking one; empty when there is none.
        op: operator of the node.
        tensor: tensor, archive member or site.
    """

    def __init__(
        self,
        line: str,
        status: str,
        exit_code: int,
        message: str,
        stage: str = "",
        node: str = "",
        op: str = "",
        tensor: str = "",
    ) -> None:
        super().__init__(line)
        self.status = status
        self.exit_code = exit_code
        self.message = message
        self.stage = stage
        self.node = node
        self.op = op
        self.tensor = tensor

    def __reduce__(self) -> tuple[type[Error], tuple[str, str, int, str, str, str, str, str]]:
        return (
            type(self),
            (
                str(self),
                self.status,
                self.exit_code,
                self.message,
                self.stage,
                self.node,
                self.op,
                self.tensor,
            ),
        )


def usage_error(message: str) -> Error:
    """What the library would say of a call with impossible settings."""
    return Error(f"python: {message} [USAGE]", "USAGE", 2, message, "python")
