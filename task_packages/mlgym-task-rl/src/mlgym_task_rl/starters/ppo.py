"""Proximal policy optimisation (PPO) in JAX, for environments of gymnax. It trains several policies at once."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import gymnax
import jax
import jax.numpy as jnp
import optax


class Network(Protocol):
    """A network that turns sequences of observations into distributions of actions and estimates of the return."""

    def parameters(self, key: jax.Array) -> Any:
        """Draw the parameters with which training begins."""

    def memory(self, count: int) -> Any:
        """Return what `count` episodes remember at their beginning."""

    def apply(
        self, parameters: Any, memory: Any, observations: jax.Array, begun: jax.Array
    ) -> tuple[Any, Any, jax.Array]:
        """Return the memory at the end, the distributions, and the estimates.

        Args:
            observations: Of the shape (steps, episodes, …).
            begun: Whether an episode begins with the step, of the shape (steps, episodes).
        """


class Normal(NamedTuple):
    """Normal distributions of continuous actions."""

    mean: jax.Array
    log_deviation: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw an action from each."""
        return self.mean + jnp.exp(self.log_deviation) * jax.random.normal(key, self.mean.shape)

    def log_probability(self, actions: jax.Array) -> jax.Array:
        """Return the logarithm of the density at an action of each."""
        distance = (actions - self.mean) / jnp.exp(self.log_deviation)
        return -0.5 * distance**2 - self.log_deviation - 0.5 * jnp.log(2 * jnp.pi)

    def entropy(self) -> jax.Array:
        """Return the entropy of each."""
        return self.log_deviation + 0.5 * jnp.log(2 * jnp.pi * jnp.e) + jnp.zeros_like(self.mean)


class Categorical(NamedTuple):
    """Distributions of discrete actions."""

    logits: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw an action from each."""
        return jax.random.categorical(key, self.logits)

    def log_probability(self, actions: jax.Array) -> jax.Array:
        """Return the logarithm of the probability of an action of each."""
        return jnp.take_along_axis(jax.nn.log_softmax(self.logits), actions[..., None], axis=-1)[..., 0]

    def entropy(self) -> jax.Array:
        """Return the entropy of each."""
        logarithms = jax.nn.log_softmax(self.logits)
        return -(jnp.exp(logarithms) * logarithms).sum(axis=-1)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train a policy.

    Attributes:
        steps: Steps in the environment, of all episodes together.
        episodes: How many episodes are played at the same time.
        rollout: How many steps of each are played before the policy is changed.
        epochs: How often each step is learned from.
        minibatches: In how many parts; each has all steps of some of the episodes.
        learning_rate: Size of the first step of gradient descent; it falls linearly to 0.
        discount: What a reward is worth one step later.
        trace: Decay of the traces (lambda) by which advantages are estimated.
        clip: How far the probability of an action may be changed, as a share of it.
        entropy: What the entropy of the actions is worth.
        value_weight: Weight of the loss of the estimates of returns.
        largest_gradient: Longer gradients are shortened to it.
        reward_scale: What rewards are multiplied with.
    """

    steps: int
    episodes: int
    rollout: int
    epochs: int
    minibatches: int
    learning_rate: float
    discount: float
    trace: float
    clip: float
    entropy: float
    value_weight: float = 0.5
    largest_gradient: float = 0.5
    reward_scale: float = 1.0


class Steps(NamedTuple):
    """What was played, of the shape (steps, episodes)."""

    observations: jax.Array
    begun: jax.Array
    actions: jax.Array
    log_probabilities: jax.Array
    estimates: jax.Array
    rewards: jax.Array
    over: jax.Array
    returns: jax.Array


def train(
    name: str,
    network: Network,
    settings: Settings,
    policies: int,
    seed: int,
    prepared: Callable[[jax.Array], jax.Array] = lambda action: action,
    reports: int = 6,
) -> Any:
    """Train independent policies, and return their parameters, the policies along the first axis.

    Args:
        name: The environment's name in gymnax.
        policies: How many to train.
        seed: All that is random derives from it.
        prepared: Makes an action for the environment of one of the policy.
        reports: How often to print how it goes.
    """
    environment, environment_parameters = gymnax.make(name)
    # The same number between any two reports, since each number is compiled for itself.
    steps_per_update = settings.episodes * settings.rollout
    updates_per_report = max(settings.steps // steps_per_update // reports, 1)
    updates = updates_per_report * reports
    optimizer = optax.chain(
        optax.clip_by_global_norm(settings.largest_gradient),
        optax.adam(
            optax.linear_schedule(settings.learning_rate, 0.0, updates * settings.epochs * settings.minibatches),
            eps=1e-5,
        ),
    )
    reset = jax.vmap(environment.reset, in_axes=(0, None))
    step = jax.vmap(environment.step, in_axes=(0, 0, 0, None))

    def begin(key: jax.Array) -> Any:
        key, network_key, reset_key = jax.random.split(key, 3)
        parameters = network.parameters(network_key)
        observations, states = reset(jax.random.split(reset_key, settings.episodes), environment_parameters)
        begun = jnp.ones(settings.episodes, bool)
        memory = network.memory(settings.episodes)
        returns = jnp.zeros(settings.episodes)
        return key, parameters, optimizer.init(parameters), (states, observations, begun, memory, returns)

    def play(parameters: Any, place: Any, key: jax.Array) -> tuple[Any, Steps]:
        states, observations, begun, memory, returns = place
        action_key, step_key = jax.random.split(key)
        memory, distribution, estimates = network.apply(parameters, memory, observations[None], begun[None])
        actions = distribution.sample(action_key)
        log_probabilities = distribution.log_probability(actions)
        next_observations, states, rewards, terminated, truncated, _ = step(
            jax.random.split(step_key, settings.episodes), states, prepared(actions[0]), environment_parameters
        )
        over = terminated | truncated
        returns = jnp.where(begun, 0.0, returns) + rewards
        played = Steps(observations, begun, actions[0], log_probabilities[0], estimates[0], rewards, over, returns)
        return (states, next_observations, over, memory, returns), played

    def advantages(played: Steps, last_estimates: jax.Array) -> jax.Array:
        def backwards(carried: Any, now: Any) -> Any:
            advantage, next_estimates = carried
            rewards, estimates, over = now
            surprise = rewards * settings.reward_scale + settings.discount * next_estimates * ~over - estimates
            advantage = surprise + settings.discount * settings.trace * ~over * advantage
            return (advantage, estimates), advantage

        start = (jnp.zeros_like(last_estimates), last_estimates)
        return jax.lax.scan(backwards, start, (played.rewards, played.estimates, played.over), reverse=True)[1]

    def loss(parameters: Any, memory: Any, played: Steps, advantage: jax.Array) -> jax.Array:
        _, distribution, estimates = network.apply(parameters, memory, played.observations, played.begun)
        ratio = jnp.exp(distribution.log_probability(played.actions) - played.log_probabilities)
        weight = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
        gain = jnp.minimum(ratio * weight, clipped * weight).mean()
        errors = jnp.square(estimates - (advantage + played.estimates)).mean()
        return settings.value_weight * errors - gain - settings.entropy * distribution.entropy().mean()

    def learn(carried: Any, part: Any) -> Any:
        parameters, optimizer_state = carried
        gradients = jax.grad(loss)(parameters, *part)
        changes, optimizer_state = optimizer.update(gradients, optimizer_state)
        return (optax.apply_updates(parameters, changes), optimizer_state), None

    def update(carried: Any, _: Any) -> Any:
        key, parameters, optimizer_state, place = carried
        key, play_key, epoch_key = jax.random.split(key, 3)
        memory = place[3]
        place, played = jax.lax.scan(
            lambda place, key: play(parameters, place, key), place, jax.random.split(play_key, settings.rollout)
        )
        _, _, last_estimates = network.apply(parameters, place[3], place[1][None], place[2][None])
        advantage = advantages(played, last_estimates[0])

        def epoch(carried: Any, key: jax.Array) -> Any:
            order = jax.random.permutation(key, settings.episodes).reshape(settings.minibatches, -1)
            # Each part has some of the episodes, which are along the second axis of all but the memory.
            parts = jax.tree.map(lambda values: jnp.moveaxis(values[:, order], 1, 0), (played, advantage))
            memories = jax.tree.map(lambda values: values[order], memory)
            return jax.lax.scan(learn, carried, (memories, *parts))

        (parameters, optimizer_state), _ = jax.lax.scan(
            epoch, (parameters, optimizer_state), jax.random.split(epoch_key, settings.epochs)
        )
        ended = (played.returns * played.over).sum(), played.over.sum()
        return (key, parameters, optimizer_state, place), ended

    advance = jax.jit(jax.vmap(lambda state: jax.lax.scan(update, state, None, updates_per_report)))
    state = jax.jit(jax.vmap(begin))(jax.random.split(jax.random.key(seed), policies))
    # With weak types, which constants have, the first report would be compiled for itself.
    state = (state[0], *jax.tree.map(lambda values: jax.lax.convert_element_type(values, values.dtype), state[1:]))
    # What is computed before the loop has to be there when the loop is: jaxlib 0.10.2 was seen to wait for it for ever.
    jax.block_until_ready(state)
    started = time.monotonic()
    for report in range(1, reports + 1):
        state, (earned, ended) = advance(state)
        latest = ", ".join(f"{value:.1f}" for value in earned.sum(axis=1) / jnp.maximum(ended.sum(axis=1), 1))
        print(
            f"{report * updates_per_report * steps_per_update:,} steps in {time.monotonic() - started:.0f} s; "
            f"mean return of the episodes that ended: {latest}",
            flush=True,
        )
    return state[1]
