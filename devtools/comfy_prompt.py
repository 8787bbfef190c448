"""What ComfyUI tells about a prompt: results and events, or the reason why there are none."""

from __future__ import annotations


class PromptError(RuntimeError):
    """A prompt that ComfyUI refused, or that failed or was interrupted while it ran.

    `kind` is "refused", "failed" or "interrupted". A refusal has `node_errors` as /prompt returns them (by
    node id); a failure has the node and the exception's type and text. `message` is what the user reads.
    """

    def __init__(self, kind, message, *, node_id=None, node_type=None, exception_type=None, node_errors=None):
        super().__init__(f"{kind}: {message}" + (f" [node {node_id}, {node_type}]" if node_id else ""))
        self.kind = kind
        self.message = message
        self.node_id = node_id
        self.node_type = node_type
        self.exception_type = exception_type
        self.node_errors = node_errors or {}


class Run(dict):
    """A /history entry (`outputs`, `status`, `prompt`) that also knows the events of its prompt."""

    def __init__(self, prompt_id: str, history: dict, events: list[tuple[str, dict]]):
        super().__init__(history)
        self.prompt_id = prompt_id
        self.events = events

    def _data(self, kind: str) -> list[dict]:
        return [data for seen, data in self.events if seen == kind]

    @property
    def executed(self) -> list[str]:
        """Ids of the nodes that ran, in order."""
        return [data["node"] for data in self._data("executing") if data["node"] is not None]

    @property
    def cached(self) -> list[str]:
        """Ids of the nodes whose results were taken from the cache."""
        return [node for data in self._data("execution_cached") for node in data["nodes"]]

    @property
    def progress(self) -> list[tuple[str, int, int]]:
        """(node id, value, maximum) of every progress event."""
        return [(data["node"], data["value"], data["max"]) for data in self._data("progress")]

    def files(self, node_id: str) -> list[dict]:
        """Output items of a node that name a file (`filename`, `subfolder`, `type`), whatever their kind."""
        return [
            item
            for items in self["outputs"].get(str(node_id), {}).values()
            if isinstance(items, list)
            for item in items
            if isinstance(item, dict) and "filename" in item
        ]


def refusal(answer: dict) -> PromptError:
    """The PromptError of a /prompt answer; its message lists what each node has to say."""
    errors = answer.get("node_errors") or {}
    said = [
        f"{node.get('class_type')} ({node_id}): {error['message']} - {error['details']}"
        for node_id, node in errors.items()
        for error in node.get("errors", [])
    ]
    error = answer["error"]
    overall = error if isinstance(error, str) else f"{error['message']} {error.get('details', '')}".strip()
    first = next(iter(errors), None)
    return PromptError(
        "refused",
        "; ".join(said) or overall,
        node_id=first,
        node_errors=errors,
        node_type=errors[first].get("class_type") if first else None,
    )


def raise_on_failure(run: Run) -> None:
    """Raise the PromptError that a history entry tells of."""
    status = run["status"]
    if status["status_str"] == "success":
        return
    for kind, data in status["messages"]:
        if kind == "execution_error":
            raise PromptError(
                "failed",
                data["exception_message"].strip(),
                node_id=data["node_id"],
                node_type=data["node_type"],
                exception_type=data["exception_type"],
            )
        if kind == "execution_interrupted":
            raise PromptError(
                "interrupted", "the prompt was interrupted", node_id=data["node_id"], node_type=data["node_type"]
            )
    raise PromptError("failed", f"the prompt ended as {status}")
