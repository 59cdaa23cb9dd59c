"""The agent `tree-search`: its model writes whole solutions, of which the best are improved."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence

from mlgym_agents.asking import Asker, Temperature, model_of, shown_output
from mlgym_agents.conversation import without_middle
from mlgym_agents.prompting import Prompts
from mlgym_agents.remaining import remaining
from mlgym_agents.tree.nodes import Node, Tree
from mlgym_agents.tree.policy import KINDS, Choice, Policy, policy_class
from mlgym_agents.tree.shell import in_own_process, look_command
from mlgym_agents.tree.solutions import Solution, SolutionProblem, parse_solution
from mlgym_core import (
    Agent,
    AsyncEnv,
    ContextTooLong,
    EpisodeModel,
    Message,
    ModelReply,
    SandboxError,
    UsageError,
)

_OF_TASK = ("left", "limits", "task")
_OF_NODE = (*_OF_TASK, "best", "nodes", "parent", "workspace")
PROMPTS = {
    "tree_system": _OF_TASK,
    "tree_draft": _OF_NODE,
    "tree_debug": _OF_NODE,
    "tree_improve": _OF_NODE,
    "tree_reminder": ("problem",),
}
"""The prompts of the agent, and what each is rendered with."""
_STEPS_BESIDE_FILES = 3
"""The command, the validation, and the submission at the end."""
_FEWEST_STEPS = 1 + 2 + _STEPS_BESIDE_FILES
"""Of an episode in which there is to be a solution: the look at the workspace, and more than one of one file takes."""
_SUMMARIES = 20
"""How many of the last nodes the model is told of, besides the best."""
_LONGEST_PLAN = 400
"""Characters of a plan in a list of nodes."""
_log = logging.getLogger("mlgym.agents.tree")


class TreeSearchAgent(Agent):
    """Lets a model write solutions as a whole, and improves those that validate best.

    Each node of the tree is one answer: a plan, and files that are written over those of the node's parent, from a
    snapshot. What they make is executed and validated. The best node by validation is submitted, also where a limit
    ends the episode.

    Args:
        temperature: 0 always takes the likeliest token; `default` leaves it to the provider.
        top_p: Share of the probability from which tokens are drawn; unless given, the provider's.
        max_tokens: Longest answer, in tokens; unless given, the provider's.
        drafts: How many solutions are begun anew before the best is improved.
        debug_depth: How many repairs in a row are tried of a solution that does not work.
        nodes: How many solutions to make at most; unless given, as many as the limits of the episode allow.
        policy: What is made next: `Greedy`, or `package.module:Class` with a class that derives from
            `mlgym_agents.tree.policy.Policy`.
        reminders: How many answers in a row may be malformed. The model is told what is wrong and asked again; after
            the next one, the best node is submitted.
        observation_tokens: Longest output that the model is shown, in tokens. The middle of longer ones is cut out.
        context_tokens: How long what it is asked and an answer may be together, in tokens; unless given, what the
            model's context holds.
        prompts: Folder with Jinja templates that replace those of the package with the same names.
    """

    sends_tools = False

    def __init__(
        self,
        *,
        temperature: Temperature = 0.5,
        top_p: float | None = None,
        max_tokens: int | None = None,
        drafts: int = 3,
        debug_depth: int = 3,
        nodes: int | None = None,
        policy: str = "Greedy",
        reminders: int = 3,
        observation_tokens: int = 4000,
        context_tokens: int | None = None,
        prompts: str | None = None,
    ) -> None:
        for name, value, least in (("drafts", drafts, 1), ("debug_depth", debug_depth, 0), ("nodes", nodes, 1)):
            if value is not None and value < least:
                raise UsageError(f"{name} is {value}: the least is {least}.")
        self._asker = Asker(
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            context_tokens=context_tokens,
            observation_tokens=observation_tokens,
            reminders=reminders,
        )
        self._drafts = drafts
        self._debug_depth = debug_depth
        self._nodes = nodes
        self._policy = policy_class(policy)
        self._prompts = Prompts(PROMPTS, prompts)
        self._workspace = ""

    async def opening(self, env: AsyncEnv) -> Sequence[Message]:
        """Return the messages that ask for the first solution. It looks around in the workspace for them.

        Raises:
            UsageError: if a prompt of the user's cannot be rendered.
        """
        tree = await self._begin(env)
        model = model_of(env)
        if (choice := self._choice(self._policy_of(env), tree)) is None:
            return ()
        longest = self._asker.longest_observation(model)
        _, messages = self._asker.fitting(
            model, lambda longest: self._messages(env, model, tree, choice, longest), longest
        )
        return messages

    async def run(self, env: AsyncEnv) -> None:
        """Play the episode.

        Raises:
            BudgetExhausted: if a limit is reached.
            ModelError: if the provider fails, or says that even the shortest question is too long.
            UsageError: if the environment has no model, or a prompt of the user's cannot be rendered.
        """
        model = model_of(env)
        tree = await self._begin(env)
        if env.is_over:
            return
        env.fall_back_on(tree.start.snapshot)
        policy = self._policy_of(env)
        while self._may_go_on(env, tree):
            choice = self._choice(policy, tree)
            if choice is None:
                break
            solution = await self._ask(env, model, tree, choice)
            if solution is None or env.observation.steps_left < len(solution.files) + _STEPS_BESIDE_FILES:
                break
            node = await self._try(env, model, tree, choice, solution)
            if env.is_over:
                return
            tree.add(node)
            if tree.best is node:
                env.fall_back_on(node.snapshot)
        if not tree.nodes:
            self._tell(env)
        await self._submit(env, tree)

    @staticmethod
    def _tell(env: AsyncEnv) -> None:
        """Say that the model made nothing of what is submitted, which the result alone does not show."""
        calls = env.model.calls if env.model is not None else 0
        _log.warning(
            "%s: no solution was made with %d calls of the model: what the starter has or makes is submitted. It "
            "needs answers in its format, a validation (--max-validations) and at least %d steps (--max-steps).",
            env.task.id, calls, _FEWEST_STEPS,
        )  # fmt: skip

    def _policy_of(self, env: AsyncEnv) -> Policy:
        return self._policy(drafts=self._drafts, debug_depth=self._debug_depth, seed=env.seed)

    @staticmethod
    def _choice(policy: Policy, tree: Tree) -> Choice | None:
        """Return what the policy wants to be made next."""
        choice = policy.choose(tree)
        if choice is not None and (choice.kind not in KINDS or choice.parent not in (tree.start, *tree)):
            raise UsageError(f"The policy {type(policy).__name__} chose what cannot be made: {choice}.")
        return choice

    @staticmethod
    async def _submit(env: AsyncEnv, tree: Tree) -> None:
        """Submit the best node; if nothing worked, what the starter makes."""
        await env.restore((tree.best or tree.start).snapshot)
        script = env.task.baseline_script
        if tree.best is None and script is not None and env.observation.steps_left > 1:
            await env.step(in_own_process(f"python3 {shlex.quote(script)}"))
        if not env.is_over:
            await env.step({"tool": "submit"})

    async def _begin(self, env: AsyncEnv) -> Tree:
        """Look at the workspace, and return the tree that has only the start."""
        observation, *_ = await env.step(in_own_process(look_command(env.task)))
        self._workspace = observation.text
        start = Node(number=0, kind="start", snapshot=await env.snapshot())
        return Tree(start, env.task.direction)

    def _may_go_on(self, env: AsyncEnv, tree: Tree) -> bool:
        """Whether another node can be made, validated, and the best one still be submitted."""
        enough = self._nodes is None or len(tree.nodes) < self._nodes
        return enough and env.validations_left != 0 and env.observation.steps_left > 1 + _STEPS_BESIDE_FILES

    async def _ask(self, env: AsyncEnv, model: EpisodeModel, tree: Tree, choice: Choice) -> Solution | None:
        """Return a solution of the model's, or None if it writes none, however often it is asked."""
        refused: tuple[ModelReply, str] | None = None
        for _ in range(self._asker.reminders + 1):

            def render(longest: int, refused: tuple[ModelReply, str] | None = refused) -> list[Message]:
                messages = self._messages(env, model, tree, choice, longest)
                if refused is not None:
                    text = without_middle(refused[0].text.strip(), longest, model.count_tokens) or "(nothing)"
                    reminder = self._prompts.render("tree_reminder", problem=refused[1])
                    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": reminder}]
                return messages

            try:
                reply = await self._asker.answer_to(model, render)
            except ContextTooLong:
                if tree.best is None:
                    raise
                return None
            try:
                return parse_solution(reply, env.task)
            except SolutionProblem as problem:
                refused = reply, str(problem)
        return None

    async def _try(self, env: AsyncEnv, model: EpisodeModel, tree: Tree, choice: Choice, solution: Solution) -> Node:
        """Return what becomes of a solution. The episode may end meanwhile."""
        await env.restore(choice.parent.snapshot)
        node = Node(
            number=len(tree.nodes) + 1,
            kind=choice.kind,
            parent=choice.parent,
            plan=solution.plan,
            files=solution.files,
            snapshot=choice.parent.snapshot,
        )
        node.problem = await self._execute(env, model, node, solution)
        if env.is_over:
            return node
        try:
            node.snapshot = await env.snapshot()
        except SandboxError as error:
            # What it did to the sandbox is its own affair; the others go on without it.
            await env.restore(choice.parent.snapshot)
            node.problem = f"Its files cannot be kept: {error}"
        if node.problem is None:
            await self._validate(env, node)
        return node

    async def _execute(self, env: AsyncEnv, model: EpisodeModel, node: Node, solution: Solution) -> str | None:
        """Write and run a solution, and return what went wrong, if something did."""
        longest = self._asker.longest_observation(model)
        for path, content in solution.files.items():
            observation, *_ = await env.step({"tool": "write_file", "arguments": {"path": path, "content": content}})
            if env.is_over:
                return None
            if observation.error:
                return f"{path} could not be written: {observation.text}"
        if solution.command is None:
            return None
        observation, *_ = await env.step(in_own_process(solution.command))
        if env.is_over:
            return None
        node.output = shown_output(observation, longest, model)
        if observation.timed_out:
            return "Its command took too long."
        return "Its command failed." if observation.error or observation.exit_code != 0 else None

    @staticmethod
    async def _validate(env: AsyncEnv, node: Node) -> None:
        observation, *_ = await env.step({"tool": "validate"})
        score = observation.score
        if score is not None and score.value is not None:
            node.score = score.value
        else:
            node.problem = observation.text.partition("\nValidations left")[0]

    def _messages(self, env: AsyncEnv, model: EpisodeModel, tree: Tree, choice: Choice, longest: int) -> list[Message]:
        """Return what asks for a node, with outputs of at most so many tokens, and files if that is less than usual."""
        known = {"task": env.task, "limits": env.limits, "left": remaining(env, validates=True)}
        parent = choice.parent
        best = tree.best
        told = [node for node in tree if node in tree.nodes[-_SUMMARIES:] or node is best]
        files = parent.all_files
        if longest < self._asker.longest_observation(model):
            files = {path: without_middle(text, longest, model.count_tokens) for path, text in files.items()}
        question = self._prompts.render(
            f"tree_{choice.kind}",
            **known,
            workspace=without_middle(self._workspace.rstrip(), longest, model.count_tokens),
            nodes=[_summary(node) for node in told],
            best=None if best is None else best.number,
            parent={
                **_summary(parent),
                "files": files,
                "output": without_middle(parent.output, longest, model.count_tokens),
            },
        )
        return [
            {"role": "system", "content": self._prompts.render("tree_system", **known)},
            {"role": "user", "content": question},
        ]


def _summary(node: Node) -> dict[str, object]:
    """Return a node as prompts have it."""
    plan = " ".join(node.plan.split())
    return {
        "number": node.number,
        "kind": node.kind,
        "parent": None if node.parent is None else node.parent.number,
        "plan": plan if len(plan) <= _LONGEST_PLAN else f"{plan[:_LONGEST_PLAN]} …",
        "score": node.score,
        "problem": node.problem and node.problem[:2000],
    }
