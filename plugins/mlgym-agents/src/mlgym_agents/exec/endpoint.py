"""What programs in the sandbox reach: the episode's language model, validations, and the submission."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from mlgym_agents.exec import chat
from mlgym_agents.exec.chat import BadRequest, ChatRequest
from mlgym_agents.exec.server import Answer, Request
from mlgym_core import (
    AsyncEnv,
    BudgetExhausted,
    ContextTooLong,
    EpisodeModel,
    EpisodeOver,
    InfrastructureError,
    ModelError,
    ModelReply,
    RequestRefused,
    Sampling,
    ToolError,
)

_CALLS_AT_A_TIME = 8
_REFUSAL_SECONDS = 0.05
"""Pause before each answer that refuses something, so that a program cannot keep us busy with nonsense."""
_FAREWELL_SECONDS = 1.0
"""In which a program may read why the episode ends, and write it to its log."""
_MOST_REFUSALS = 1000
"""After which a program is ended that has not learnt from them."""
_PROBE = ({"role": "user", "content": "Answer with the word OK and nothing else."},)
# Clients try most errors again. These statuses they do not, and one client looks at this header as well.
_FINAL = {"x-should-retry": "false"}
_log = logging.getLogger("mlgym.agents.exec")


class Endpoint:
    """Answers the requests of one episode's programs.

    Each call of the model and each validation is a step. When something ends the episode, the shell's command is ended:
    a limit that is reached, a submission, a failure of the infrastructure.

    Args:
        env: The environment; its `run_program` is going on.
        secret: The first part of all paths: others on a machine whose network the sandbox shares do not know it.

    Attributes:
        failure: What the episode has to end with, if there is something; raise it.
    """

    def __init__(self, env: AsyncEnv, secret: str) -> None:
        self._env = env
        self._secret = secret
        self._tools = {tool["name"] for tool in env.tools}
        self._model = env.model
        self._calling = asyncio.Semaphore(_CALLS_AT_A_TIME)
        self._probing = asyncio.Lock()
        self._validating = asyncio.Lock()
        self._kept: dict[str, Mapping[str, Any]] = {}
        self._is_over = False
        self._refusals = 0
        self.failure: Exception | None = None

    async def answer(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            answer = await self._routed(request)
        except BadRequest as problem:
            answer = Answer(400, chat.error(str(problem), "invalid_request_error"))
        except BudgetExhausted as limit:
            self._end(limit)
            answer = Answer(
                402, chat.error(f"The episode ends: {limit}", "insufficient_quota", limit.limit), headers=_FINAL
            )
        except EpisodeOver:
            answer = self._over()
        except InfrastructureError as problem:
            self._end(problem)
            # Without the reason, which may say something of the host.
            answer = Answer(
                400, chat.error("The episode ends: its infrastructure failed.", "server_error"), headers=_FINAL
            )
        except Exception as problem:  # noqa: BLE001 - a bug of ours must not be an agent's way to end bad episodes
            _log.exception("A request of a program could not be answered.")
            answer = Answer(
                400, chat.error(f"This request cannot be answered: {type(problem).__name__}.", "server_error")
            )
        if answer.status >= 400:
            await self._slow_down()
        return answer

    def refuse(self, status: int, reason: str) -> Answer:
        """Return the answer to what is no request, or one that is too large."""
        return Answer(status, chat.error(reason, "invalid_request_error"))

    async def _slow_down(self) -> None:
        self._refusals += 1
        if self._refusals == _MOST_REFUSALS:
            _log.warning("A program was ended after %d requests that had to be refused.", _MOST_REFUSALS)
            self._end(None)
        await asyncio.sleep(_REFUSAL_SECONDS)

    def _end(self, failure: Exception | None) -> None:
        """End the command, because of a failure or a limit if there is one; only the first counts."""
        if not self._is_over:
            self._is_over = True
            self.failure = failure
            # The answer goes out first, since it says why.
            asyncio.get_running_loop().call_later(_FAREWELL_SECONDS, self._end_command)

    def _end_command(self) -> None:
        if not self._env.is_over:
            self._env.end_command()

    def _over(self) -> Answer:
        return Answer(402, chat.error("The episode is over.", "insufficient_quota", "episode_over"), headers=_FINAL)

    async def _routed(self, request: Request) -> Answer:
        if self._is_over:
            return self._over()
        prefix, _, path = request.path.removeprefix("/").partition("/")
        if prefix != self._secret:
            return self._unknown(request.path)
        if request.method == "GET" and (path == "v1/models" or path.startswith("v1/models/")):
            model = self._own_model().id
            return Answer(200, chat.model_list(model) if path == "v1/models" else chat.model_entry(model))
        if request.method == "POST" and path == "v1/chat/completions":
            return await self._complete(chat.parsed(request.body))
        if request.method == "POST" and path in ("mlgym/validate", "mlgym/submit"):
            return await self._episode_action(path.removeprefix("mlgym/"))
        return self._unknown(path)

    @staticmethod
    def _unknown(path: str) -> Answer:
        message = (
            f"There is no {path[:100]!r} for this method: there are POST /v1/chat/completions and GET /v1/models below "
            "the address in OPENAI_BASE_URL."
        )
        return Answer(404, chat.error(message, "invalid_request_error", "not_found"))

    def _own_model(self) -> EpisodeModel:
        if self._model is None:
            raise BadRequest("This episode has no language model: it was started without --model.")
        return self._model

    async def _episode_action(self, action: str) -> Answer:
        if action not in self._tools:
            return _plain(409, f"This episode has no tool {action!r}.")
        if action == "submit":
            self._is_over = True
            result = await self._env.submit()
            # At once: what comes after a submission is no part of it.
            self._end_command()
            return _plain(200, result.text)
        # One after another, so that only those count as steps for which a validation is left.
        async with self._validating:
            if self._is_over:
                return self._over()
            if self._env.validations_left != 0:
                self._env.count_step()
            try:
                return _plain(200, (await self._env.validate()).text)
            except ToolError as problem:
                return _plain(409, str(problem))

    async def _complete(self, request: ChatRequest) -> Answer:
        model = self._own_model()
        async with self._calling:
            if self._is_over:
                return self._over()
            self._env.count_step()
            try:
                messages = chat.with_kept_fields(request.messages, self._kept)
                reply = await model.complete(messages, request.tools, request.sampling)
            except ContextTooLong as problem:
                message = f"The conversation is too long for the model's context: {problem}"
                return Answer(400, chat.error(message, "invalid_request_error", "context_length_exceeded"))
            except ModelError as problem:
                return await self._request_or_provider(model, problem)
        self._keep(reply)
        if request.streams:
            stream = chat.event_stream(reply, model.id, model.calls, includes_usage=request.includes_usage)
            return Answer(200, stream, "text/event-stream")
        return Answer(200, chat.completion(reply, model.id, model.calls))

    def _keep(self, reply: ModelReply) -> None:
        if reply.extra:
            self._kept[chat.key_of(reply.as_message())] = reply.extra

    async def _request_or_provider(self, model: EpisodeModel, problem: ModelError) -> Answer:
        """Answer a request with which the model failed, if the fault lies with the request.

        A program could otherwise get rid of a bad episode by something on which the provider breaks. Whether one that
        fails can answer at all shows when it is asked the simplest question.

        Raises:
            ModelError: if the provider is at fault.
        """
        if not (isinstance(problem, RequestRefused) and model.calls > 0):
            async with self._probing:
                try:
                    await model.complete(_PROBE, (), Sampling())
                except ModelError:
                    raise problem from None
        message = str(problem) if isinstance(problem, RequestRefused) else "The model failed on this request."
        return Answer(400, chat.error(message, "invalid_request_error"))


def _plain(status: int, text: str) -> Answer:
    return Answer(status, text.encode("utf-8", "backslashreplace"), "text/plain; charset=utf-8")
